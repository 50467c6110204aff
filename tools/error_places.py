"""Where the counters of a benchmark err on the target's test images: see `evaluation.spacing`.

    python tools/error_places.py build/a shanghaitech-a:ROOT --size 576 --methods noadapt-early,se+fd

Prints a table and writes it to FOLDER/error_places.json: true and predicted people per image, mean and standard
deviation over the seeds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from sdcda_tutorial.cli.options import open_data
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.spacing import CLASSES, people_by_spacing
from sdcda_tutorial.experiments.benchmark_rows import run_folder, titles
from sdcda_tutorial.files import read_object, write_json
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training.checkpoints import load_counter


def places(checkpoint: Path, test: CrowdDataset) -> np.ndarray:
    """(2, 4): true and predicted people per image, by `CLASSES`."""
    counter, _ = load_counter(checkpoint)
    return np.mean([people_by_spacing(predict_density(counter, one.image), one.points) for one in test], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a benchmark that is done")
    parser.add_argument("target", help="as that of the benchmark")
    parser.add_argument("--size", help="as that of the benchmark")
    parser.add_argument("--methods", default="noadapt-early,se+fd")
    asked = parser.parse_args()
    done, names = read_object(asked.folder / "results.json"), titles(asked.methods.split(","))
    test, seeds = open_data(asked.target, "target", "test", asked.size), done["seeds"]
    if done.get("data", {}).get("target_test") != test.describe():
        sys.exit(f"{asked.folder} was measured on other images than {asked.target} at this --size; name the same")
    found, rows = {}, []
    for method, title in names.items():
        runs = [run_folder(asked.folder / f"seed_{seed}", method) / "model.safetensors" for seed in seeds]
        (true, *_), predicted = zip(*(places(run, test) for run in runs), strict=True)
        mean, sd = np.mean(predicted, axis=0), np.std(predicted, axis=0, ddof=min(1, len(seeds) - 1))
        found[method] = {"true": np.round(true, 2).tolist(), "mean": np.round(mean, 2).tolist(),
                         "sd": np.round(sd, 2).tolist()}  # fmt: skip
        rows.append([title, *(f"{p:.1f} ± {s:.1f}" for p, s in zip(mean, sd, strict=True))])
    rows.insert(0, ["true", *(f"{people:.1f}" for people in true)])
    write_json(asked.folder / "error_places.json", {"classes": CLASSES, "seeds": seeds, "methods": found})
    print(markdown_table(["people per image", *CLASSES], rows))


if __name__ == "__main__":
    main()
