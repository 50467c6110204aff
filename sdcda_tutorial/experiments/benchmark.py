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
from sdcda_tutorial.evaluation.results import Results, evaluate, mask_quality, refuse_unlabelled
from sdcda_tutorial.experiments.benchmark_rows import EARLY, METHOD_TITLES, controls, run_folder, titles
from sdcda_tutorial.experiments.cell_records import read_cells, write_cells
from sdcda_tutorial.experiments.measurements import beyond_counts, look_inside
from sdcda_tutorial.experiments.parallel_seeds import side_by_side
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import MINI, Preset, split_run_name
from sdcda_tutorial.experiments.statistics import summarise
from sdcda_tutorial.experiments.variants import Variant, parse
from sdcda_tutorial.files import read_json, write_json
from sdcda_tutorial.mini_world import ensure_mini_world
from sdcda_tutorial.training import Hardware
from sdcda_tutorial.training.checkpoints import load_counter, versions
from sdcda_tutorial.training.config import AdaptationConfig


@dataclass(frozen=True)
class Domains:
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


def mini_domains(root: str | Path, seed: int) -> Domains:
    """The mini world of `seed`, drawn in `root` where it is not there yet."""
    root = ensure_mini_world(root, seed=seed)
    return Domains(
        source=open_dataset(f"mini-source:{root}", "train", cache=True),
        target=open_dataset(f"mini-target:{root}", "train", cache=True),
        boxes=open_dataset(f"mini-third:{root}", "train", cache=True),
        tests={d: open_dataset(f"mini-{d}:{root}", "test", cache=True) for d in ("source", "target")},
    )


def run_seed(
    seed: int,
    methods: Sequence[str],
    preset: Preset,
    folder: str | Path,
    domains: Domains,
    *,
    vgg_weights: Path | None = None,
    hardware: Hardware | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Path], dict[str, dict[str, Results]]]:
    """Train `methods` and evaluate them on the test images.

    Args:
        methods: keys of `METHOD_TITLES`, or variants of them.
        folder: of this seed; see `training.experiment`. Evaluations lie beside each run as source.json and target.json.
    Returns:
        method -> its model, and method -> results on each of `domains.tests`, by their names.
    Raises:
        InputError: before any training, for what a method lacks.
    """
    folder = Path(folder)
    experiment = Experiment(
        folder,
        preset,
        source=domains.source,
        target=domains.target,
        boxes=domains.boxes,
        vgg_weights=vgg_weights,
        seed=seed,
        hardware=hardware or Hardware(),
    )
    trainings: dict[str, Callable[[], Path | None]] = {EARLY: experiment.warm_start}
    for name in methods:
        if name != EARLY:
            of, run = split_run_name(name)
            variant = parse(run)
            one = replace(experiment, preset=preset.counter(of))
            config = variant.config(controls(one.preset).get(variant.method) or one.preset.method(variant.method))
            one.check(run, config, resume=True)
            trainings[name] = partial(_train, one, variant, run, config)
    results: dict[str, dict[str, Results]] = {}
    checkpoints: dict[str, Path] = {}
    for method in methods:
        say(titles([method])[method])
        checkpoint = trainings[method]()
        assert checkpoint is not None, "the preset has no warm start"
        checkpoints[method], results[method] = checkpoint, {}
        if "source" in domains.tests:
            look_inside(checkpoint, split_run_name(method)[1], domains.tests["source"], domains.tests["target"])
        for domain, test in domains.tests.items():
            path, data = checkpoint.parent / f"{domain}.json", test.describe()
            found = Results.from_json(path) if path.exists() else None
            if found is None or found.about.get("data") != data:  # a copy of the data may have been completed since
                counter, card = load_counter(checkpoint)
                about = {"method": method, "seed": seed, "domain": domain, "data": data, "chosen": card["chosen"]}
                found = evaluate(counter, test, kernel=preset.adaptation.kernel, about=about, progress=False)
                found.to_json(path)
            results[method][domain] = found
    quality = folder / "mask_quality.json"
    if (folder / "masks").exists() and not quality.exists():  # after all training: it reads the labels of the target
        write_json(quality, mask_quality(domains.target, folder / "masks"))
    return checkpoints, results


def _train(experiment: Experiment, variant: Variant, run: str, config: AdaptationConfig) -> Path:
    masks = variant.masks_folder(experiment)
    return (experiment if masks is None else replace(experiment, masks=masks)).train(run, config, resume=True)


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
    domains: Domains | None = None,
    vgg_weights: Path | None = None,
    hardware: Hardware | None = None,
    at_once: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """All methods on all seeds; `folder`/results.json and cells.jsonl are written anew after each seed.

    With several at once they are written when all are trained. results.json covers the seeds of this call. An earlier
    call's date and machine stay in it only if all its seeds are asked for again. cells.jsonl keeps the cells of all
    calls.

    Args:
        domains: the data of every seed, told in the file; by default each seed draws a mini world of its own.
        vgg_weights: file with the weights that a pretrained preset begins with.
        at_once: seeds to train at the same time; see `side_by_side`.
    """
    folder = Path(folder)
    per_seed: dict[int, dict[str, dict[str, Results]]] = {}
    path = folder / "results.json"
    stored = read_json(path) if path.exists() else {}
    kept = stored.get("provenance") if set(stored.get("seeds", [])) <= set(seeds) else None
    read_cells(folder / "cells.jsonl")  # a damaged file is told now, not after hours
    at_once = min(at_once, len(seeds))
    one_seed = partial(_run_one, methods, preset, folder, domains, vgg_weights, hardware)
    if at_once > 1:
        side_by_side(at_once, one_seed, [(seed,) for seed in seeds])
    for seed in seeds:  # where they were trained side by side, this finds all of it done
        checkpoints, per_seed[seed] = one_seed(seed, say=say if at_once == 1 else lambda line: None)
        write_cells(folder / "cells.jsonl", seed, checkpoints, per_seed[seed])
        about = {} if domains is None else {"data": domains.describe()}
        about |= summarise(per_seed, same_images=domains is not None)
        about |= beyond_counts(folder, per_seed)
        write_json(path, {"provenance": kept or provenance(at_once), **about})
    return dict(read_json(path))


def save_pictures(
    methods: Sequence[str], preset: Preset, folder: str | Path, domains: Domains | None, found: Mapping[str, Any]
) -> None:
    """Pictures of a finished benchmark in its folder: those of `comparison_plots`, and Fig. 2 with the first seed's."""
    from sdcda_tutorial.evaluation.comparison import save_panel  # they draw, and take their time to import
    from sdcda_tutorial.experiments import figures as comparison_plots

    names = titles(methods)
    comparison_plots.save_pictures(Path(folder), found, names)
    seed = found["seeds"][0]
    of_seed = Path(folder) / f"seed_{seed}"
    runs = {method: run_folder(of_seed, method) for method in methods}
    save_panel(
        Path(folder) / "panel.png",
        (domains or mini_domains(of_seed / "world", seed)).tests["target"],
        {names[method]: Results.from_json(run / "target.json") for method, run in runs.items()},
        {names[method]: load_counter(run / "model.safetensors")[0] for method, run in runs.items()},
        preset.adaptation.kernel,
    )


def _run_one(
    methods: Sequence[str],
    preset: Preset,
    folder: Path,
    domains: Domains | None,
    vgg_weights: Path | None,
    hardware: Hardware | None,
    seed: int,
    *,
    say: Callable[[str], None] = print,
) -> tuple[dict[str, Path], dict[str, dict[str, Results]]]:
    """`run_seed` in its folder; a function of the module, since it goes to other processes."""
    of_seed = folder / f"seed_{seed}"
    data = domains or mini_domains(of_seed / "world", seed)
    return run_seed(
        seed, methods, preset, of_seed, data, vgg_weights=vgg_weights, hardware=hardware,
        say=lambda line: say(f"seed {seed}: {line}"),
    )  # fmt: skip


def run_demo(seed: int, folder: str | Path, *, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """NoAdapt and SE+FD on one mini world, for `demo.save_demo`."""
    folder = Path(folder)
    methods = ("noadapt", "se+fd")
    domains = mini_domains(MINI_ROOT if seed == 0 else folder / "world", seed)
    _, results = run_seed(seed, methods, MINI, folder, domains, say=say)
    return {
        "provenance": {**provenance(), "seed": seed},
        "results": {METHOD_TITLES[method]: results[method]["target"] for method in methods},
        "counters": {METHOD_TITLES[m]: load_counter(folder / m / "model.safetensors")[0] for m in methods},
        "dataset": domains.tests["target"],
        "kernel": MINI.adaptation.kernel,
    }
