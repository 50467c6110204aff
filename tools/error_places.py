"""Where the counters of a benchmark err on the target's test images: see `evaluation.spacing`.

    python tools/error_places.py build/a shanghaitech-a:ROOT --size 576 --methods noadapt-early,se+fd

Prints a table and writes it to FOLDER/error_places.json: true and predicted people per image, mean and standard
deviation over the seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sdcda_tutorial.cli.options import open_data
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.model_card import load_measured
from sdcda_tutorial.evaluation.spacing import CLASSES, people_by_spacing
from sdcda_tutorial.experiments.benchmark_rows import run_folder, titles
from sdcda_tutorial.experiments.cell_records import read_cells
from sdcda_tutorial.files import read_object, write_json
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.prediction import predict_density


def places(checkpoint: Path, weights: str, test: CrowdDataset) -> np.ndarray:
    """(2, 4): true and predicted people per image, by `CLASSES`; an InputError for a model of other `weights`."""
    counter, _, found = load_measured(checkpoint)
    if found != weights:
        raise InputError(f"{checkpoint} is not the model that the benchmark measured; restore it or run that again")
    return np.mean([people_by_spacing(predict_density(counter, one.image), one.points) for one in test], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a benchmark that is done")
    parser.add_argument("target", help="as that of the benchmark")
    parser.add_argument("--size", help="as that of the benchmark")
    parser.add_argument("--methods", default="noadapt-early,se+fd")
    asked = parser.parse_args()
    try:
        print(table(asked.folder, asked.target, asked.size, titles(asked.methods.split(","))))
    except InputError as error:
        parser.error(str(error))


def digests(folder: Path, method: str, seeds: list[int]) -> dict[Path, str]:
    """A method's model on each seed, and the digest of the weights that the benchmark measured."""
    path, found = folder / "cells.jsonl", {}
    cells = {(cell["seed"], cell["method"]): cell for cell in read_cells(path)}
    for seed in seeds:
        run = run_folder(folder / f"seed_{seed}", method)
        try:
            found[run / "model.safetensors"] = cells[seed, method]["made_from"][run.name]["weights_sha256"]
        except (KeyError, TypeError):
            raise InputError(f"{path} has no {method} on seed {seed}; run the benchmark with it") from None
    return found


def table(folder: Path, target: str, size: str | None, names: dict[str, str]) -> str:
    """Measure, write error_places.json, and give the table; an InputError for what is no benchmark of these images."""
    done, test = read_object(folder / "results.json"), open_data(target, "target", "test", size)
    data, seeds = done.get("data"), done.get("seeds")
    if not isinstance(data, dict) or data.get("target_test") != test.describe():
        raise InputError(f"{folder} was measured on other images than {target} at this --size; name the same")
    if not (isinstance(seeds, list) and seeds and all(isinstance(seed, int) for seed in seeds)):
        raise InputError(f"{folder / 'results.json'} names no seeds; restore it or run the benchmark again")
    found, rows = {}, []
    for method, title in names.items():
        models = digests(folder, method, seeds)
        (true, *_), predicted = zip(*(places(*one, test) for one in models.items()), strict=True)
        mean = np.mean(predicted, axis=0)
        found[method] = {"true": np.round(true, 2).tolist(), "mean": np.round(mean, 2).tolist()}
        rows.append([title, *(f"{people:.1f}" for people in mean)])
        if len(seeds) > 1:  # one has no spread
            sd = np.std(predicted, axis=0, ddof=1)
            found[method]["sd"] = np.round(sd, 2).tolist()
            rows[-1] = [title, *(f"{p:.1f} ± {s:.1f}" for p, s in zip(mean, sd, strict=True))]
    rows.insert(0, ["true", *(f"{people:.1f}" for people in true)])
    write_json(folder / "error_places.json", {"classes": CLASSES, "seeds": seeds, "methods": found})
    return markdown_table(["people per image", *CLASSES], rows)


if __name__ == "__main__":
    main()
