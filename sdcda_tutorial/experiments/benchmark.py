"""Methods × seeds: Table 1 at a scale where every figure can be had in minutes, or on data of one's own.

On the mini world each seed is a new world *and* a new training, so the spread is what a reader of the package would
meet; on given data it is that of the training alone. Everything that is done stays done: a benchmark that was
interrupted goes on where it was.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sdcda_tutorial.datasets import MINI_ROOT, CrowdDataset, open_dataset
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.evaluation.results import Results, evaluate, mask_quality, refuse_unlabelled
from sdcda_tutorial.experiments.benchmark_rows import EARLY, METHOD_TITLES, parse, run_folder, titles
from sdcda_tutorial.experiments.cell_records import read_cells, write_cells
from sdcda_tutorial.experiments.measurements import collect_measurements, measure_features_and_translation
from sdcda_tutorial.experiments.parallel_seeds import run_seeds_in_parallel
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import MINI, Preset, split_run_name
from sdcda_tutorial.experiments.statistics import summarise
from sdcda_tutorial.files import read_json, write_json
from sdcda_tutorial.mini_world import ensure_mini_world
from sdcda_tutorial.training import Hardware
from sdcda_tutorial.training.checkpoints import load_counter, versions

Say = Callable[[str], None]


@dataclass(frozen=True)
class SeedData:
    """The data of one seed.

    Attributes:
        source, target, boxes: to learn from, as `Experiment` takes them; of the target the images only.
        tests: labelled images to measure on: "target", and "source" where there are any.
    Raises:
        InputError: there is nothing to measure against.
    """

    source: CrowdDataset
    target: CrowdDataset
    boxes: CrowdDataset | None
    tests: Mapping[str, CrowdDataset]

    def __post_init__(self) -> None:
        for test in self.tests.values():
            refuse_unlabelled(test)

    def describe(self) -> dict[str, Any]:
        """What each of them is, without a path of this machine."""
        given = {"source": self.source, "target": self.target, "boxes": self.boxes}
        given |= {f"{name}_test": test for name, test in self.tests.items()}
        return {name: data.describe() for name, data in given.items() if data is not None}


def mini_data(root: str | Path, seed: int) -> SeedData:
    """The mini world of `seed`, made in `root` where it is not there yet."""
    root = ensure_mini_world(root, seed=seed)
    source, target, boxes = (
        open_dataset(f"mini-{domain}:{root}", "train", cache=True) for domain in ("source", "target", "third")
    )
    tests = {domain: open_dataset(f"mini-{domain}:{root}", "test", cache=True) for domain in ("source", "target")}
    return SeedData(source, target, boxes, tests)


def run_seed(
    seed: int,
    methods: Sequence[str],
    preset: Preset,
    folder: str | Path,
    data: SeedData,
    *,
    vgg_weights: Path | None = None,
    say: Say = lambda line: None,
) -> tuple[dict[str, Path], dict[str, dict[str, Results]]]:
    """Train `methods` and evaluate them on the test images.

    Args:
        methods: keys of `METHOD_TITLES`, also with a setting changed.
        folder: of this seed; see `pipeline`. Evaluations lie beside each run as source.json and target.json.
    Returns:
        method -> its model, and method -> results on each of `data.tests`, by their names.
    Raises:
        InputError: before any training, for what a method lacks.
    """
    folder = Path(folder)
    experiment = Experiment(folder, preset, data.source, data.target, data.boxes, vgg_weights=vgg_weights, seed=seed)
    trainings: dict[str, Callable[[], Path | None]] = {EARLY: experiment.warm_start}
    for name in methods:
        if name != EARLY:
            counter, run = split_run_name(name)
            one, method = replace(experiment, preset=preset.counter(counter)), parse(run)
            one.check(run, method.config(one.preset), resume=True)
            trainings[name] = partial(method.train, one, run)
    checkpoints, results = {}, {}
    for name in methods:
        say(titles([name])[name])
        checkpoint = trainings[name]()
        assert checkpoint is not None, "the preset has no warm start"
        if "source" in data.tests:
            measure_features_and_translation(checkpoint, split_run_name(name)[1], **data.tests)
        about = {"method": name, "seed": seed}
        tests = data.tests.items()
        checkpoints[name] = checkpoint
        results[name] = {d: _evaluate(checkpoint, d, test, preset.adaptation.kernel, about) for d, test in tests}
    quality = folder / "mask_quality.json"
    if (folder / "masks").exists() and not quality.exists():  # after all training: it reads the labels of the target
        write_json(quality, mask_quality(data.target, folder / "masks"))
    return checkpoints, results


def _evaluate(
    checkpoint: Path, domain: str, test: CrowdDataset, kernel: DensityKernel, about: Mapping[str, Any]
) -> Results:
    """What a model reaches on a test set, from the file beside it where that is of the same data."""
    path, data = checkpoint.parent / f"{domain}.json", test.describe()
    found = Results.from_json(path) if path.exists() else None
    if found is None or found.about.get("data") != data:  # a copy of the data may have been completed since
        counter, card = load_counter(checkpoint)
        about = {**about, "domain": domain, "data": data, "chosen": card["chosen"]}
        found = evaluate(counter, test, kernel=kernel, about=about, progress=False)
        found.to_json(path)
    return found


def provenance(at_once: int = 1) -> dict[str, Any]:
    """When, on what and with what: what every stored result carries.

    Args:
        at_once: trainings that shared the threads.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "hardware": {
            "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
            "cores": os.cpu_count(),
            "threads": max(1, torch.get_num_threads() // at_once),
            "trainings_at_once": at_once,
            "precision": Hardware().resolved_precision(),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "system": platform.system(),
        },
    }


def run_benchmark(
    seeds: Sequence[int],
    methods: Sequence[str],
    preset: Preset,
    folder: str | Path,
    *,
    data: SeedData | None = None,
    vgg_weights: Path | None = None,
    at_once: int = 1,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """All methods on all seeds; `folder`/results.json and cells.jsonl are written anew after each seed.

    With several at once they are written when all are trained. results.json covers the seeds of this call. An earlier
    call's date and machine stay in it only if all its seeds are asked for again. cells.jsonl keeps the cells of all
    calls.

    Args:
        data: the data of every seed, described in the file; by default each seed makes a mini world of its own.
        vgg_weights: file with the weights that a pretrained preset begins with.
        at_once: seeds to train at the same time; see `run_seeds_in_parallel`.
    """
    folder = Path(folder)
    per_seed: dict[int, dict[str, dict[str, Results]]] = {}
    path = folder / "results.json"
    stored = read_json(path) if path.exists() else {}
    kept = stored.get("provenance") if set(stored.get("seeds", [])) <= set(seeds) else None
    read_cells(folder / "cells.jsonl")  # a damaged file shows now, not after hours
    at_once = min(at_once, len(seeds))
    one_seed = partial(_run_in_own_folder, methods, preset, folder, data, vgg_weights)
    if at_once > 1:
        run_seeds_in_parallel(at_once, one_seed, seeds)
    for seed in seeds:  # where they were trained in parallel, this finds all of it done
        checkpoints, per_seed[seed] = one_seed(seed, say if at_once == 1 else lambda line: None)
        write_cells(folder / "cells.jsonl", seed, checkpoints, per_seed[seed])
        about = {} if data is None else {"data": data.describe()}
        about |= summarise(per_seed, same_images=data is not None)
        about |= collect_measurements(folder, per_seed)
        write_json(path, {"provenance": kept or provenance(at_once), **about})
    return dict(read_json(path))


def _run_in_own_folder(
    methods: Sequence[str],
    preset: Preset,
    folder: Path,
    data: SeedData | None,
    vgg_weights: Path | None,
    seed: int,
    say: Say = print,
) -> tuple[dict[str, Path], dict[str, dict[str, Results]]]:
    """`run_seed`; a function of the module, since it goes to other processes."""
    of_seed = folder / f"seed_{seed}"
    data = data or mini_data(of_seed / "world", seed)
    return run_seed(
        seed, methods, preset, of_seed, data, vgg_weights=vgg_weights, say=lambda line: say(f"seed {seed}: {line}")
    )


def save_pictures(
    methods: Sequence[str], preset: Preset, folder: str | Path, data: SeedData | None, found: Mapping[str, Any]
) -> None:
    """Pictures of a finished benchmark in its folder: those of `figures`, and Fig. 2 with the first seed's."""
    from sdcda_tutorial.evaluation.comparison import save_panel  # they draw, and take their time to import
    from sdcda_tutorial.experiments import figures

    names = titles(methods)
    figures.save_pictures(Path(folder), found, names)
    seed = found["seeds"][0]
    of_seed = Path(folder) / f"seed_{seed}"
    runs = {names[method]: run_folder(of_seed, method) for method in methods}
    save_panel(
        Path(folder) / "panel.png",
        (data or mini_data(of_seed / "world", seed)).tests["target"],
        {title: Results.from_json(run / "target.json") for title, run in runs.items()},
        {title: load_counter(run / "model.safetensors")[0] for title, run in runs.items()},
        preset.adaptation.kernel,
    )


def run_demo(seed: int, folder: str | Path, *, say: Say = lambda line: None) -> dict[str, Any]:
    """NoAdapt and SE+FD on one mini world, for `demo.save_demo`."""
    folder, methods = Path(folder), ("noadapt", "se+fd")
    data = mini_data(MINI_ROOT if seed == 0 else folder / "world", seed)
    checkpoints, results = run_seed(seed, methods, MINI, folder, data, say=say)
    return {
        "provenance": {**provenance(), "seed": seed},
        "results": {METHOD_TITLES[method]: results[method]["target"] for method in methods},
        "counters": {METHOD_TITLES[method]: load_counter(checkpoints[method])[0] for method in methods},
        "dataset": data.tests["target"],
        "kernel": MINI.adaptation.kernel,
    }
