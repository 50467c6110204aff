"""Methods × seeds: Table 1 at a scale where every figure can be had in minutes, or on data of your own.

On the mini world each seed is a new world *and* a new training; on given data it is a new training only, and so is the
spread over seeds. Finished parts are kept: a benchmark that was interrupted goes on where it was.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sdcda_tutorial.datasets import CrowdDataset, open_dataset
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.datasets.sample import refuse_unlabelled
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.model_card import load_measured
from sdcda_tutorial.evaluation.results import Results, evaluate, mask_quality
from sdcda_tutorial.experiments.benchmark_rows import EARLY, needs_pseudo_masks, parse, run_folder, titles
from sdcda_tutorial.experiments.benchmark_rows import METHOD_TITLES as METHOD_TITLES
from sdcda_tutorial.experiments.cell_records import read_cells, write_cells
from sdcda_tutorial.experiments.measurements import (
    collect_measurements,
    measure_features_and_translation,
    measure_once,
)
from sdcda_tutorial.experiments.pipeline import Experiment
from sdcda_tutorial.experiments.presets import Preset, split_run_name
from sdcda_tutorial.experiments.statistics import summarise
from sdcda_tutorial.files import (
    folder_digest,
    read_object,
    refuse_other_file,
    require_writable,
    write_json,
    write_text,
)
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.guards.provenance import CONTENTS, difference
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.mini_world import ensure_mini_world
from sdcda_tutorial.places import MINI_WORLD
from sdcda_tutorial.rivals.translation import TRANSLATIONS
from sdcda_tutorial.training import Hardware
from sdcda_tutorial.training.checkpoints import export, load_counter, read_card, versions, weights_digest
from sdcda_tutorial.training.processes import call_in_processes

Say = Callable[[str], None]
# method -> its model, and method -> results on each test set by name
Measured = tuple[dict[str, Path], dict[str, dict[str, Results]]]


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

    def other_than(self, card: Mapping[str, Any]) -> bool:
        """Whether a counter's card says that it learnt from other data; earlier versions do not say."""
        config = card.get("config", {}) if card.get("kind") == "adaptation" else {}
        ours = {"source_data": self.source.describe(), "target_data": self.target.describe(labelled=False)}
        theirs = {name: config.get(name) or {} for name in ours}
        return any(
            CONTENTS in theirs[name] and "translated_by" not in theirs[name] and theirs[name][CONTENTS] != one[CONTENTS]
            for name, one in ours.items()
        )


def mini_data(root: Path, seed: int) -> SeedData:
    """The mini world of `seed`, made in `root` where it is not there yet."""
    root = ensure_mini_world(root, seed=seed)
    source, target, boxes = (
        open_dataset(f"mini-{domain}:{root}", "train", cache=True) for domain in ("source", "target", "third")
    )
    tests = {domain: open_dataset(f"mini-{domain}:{root}", "test", cache=True) for domain in ("source", "target")}
    return SeedData(source, target, boxes, tests)


@dataclass(frozen=True)
class Benchmark:
    """Methods to train and measure on several seeds.

    Attributes:
        methods: keys of `METHOD_TITLES`, also with a setting changed.
        folder: of the results, with a folder for each seed.
        data: of every seed; None: each seed makes a mini world of its own.
        vgg_weights: file with the weights that a pretrained preset begins with.
        report: see `Experiment`.
    """

    methods: Sequence[str]
    preset: Preset
    folder: Path
    data: SeedData | None = None
    vgg_weights: Path | None = None
    report: Callable[[str, int, int], None] | None = None

    def run(self, seeds: Sequence[int], *, at_once: int = 1, say: Say) -> dict[str, Any]:
        """Train and measure all methods on all seeds; results.json and cells.jsonl are written again after each seed.

        With several at once they are written when all are trained. results.json covers the seeds of this call.
        cells.jsonl keeps the cells of all calls, each with the date and machine of its own; results.json names the
        latest of them, and the `others`.

        Args:
            at_once: seeds to train at the same time; see `run_seeds_in_parallel`.
        Raises:
            InputError: another process runs a benchmark in this folder, or a method lacks something.
        """
        require_writable(self.folder)
        with one_writer(self.folder):
            return self._run(seeds, at_once, say)

    def _run(self, seeds: Sequence[int], at_once: int, say: Say) -> dict[str, Any]:
        path, cells = self.folder / "results.json", self.folder / "cells.jsonl"
        stored = read_object(path) if path.exists() else {}
        if not all(isinstance(stored.get(name, {}), dict) for name in ("data", "provenance")):
            raise InputError(f"{path} is damaged; move it away: it is written anew")
        read_cells(cells)  # a damaged file shows now, not after hours
        at_once = min(at_once, len(seeds))
        if at_once > 1:
            run_seeds_in_parallel(at_once, self._run_in_own_folder, seeds)
        per_seed, made = {}, list[dict[str, Any]]()
        for seed in seeds:  # where they were trained in parallel, this finds all of it done
            checkpoints, per_seed[seed] = self._run_in_own_folder(seed, say if at_once == 1 else lambda line: None)
            made += write_cells(cells, seed, checkpoints, per_seed[seed], provenance(at_once))
            about = {} if self.data is None else {"data": self.data.describe()}
            about |= summarise(per_seed, same_images=self.data is not None)
            about |= collect_measurements(self.folder, per_seed, made, self.masked)
            write_json(path, {"provenance": _latest(made, stored), **about})
        return read_object(path)

    def refuse_other_files(self, kept: Path | None = None, seed: int | None = None) -> None:
        """Raise an InputError where this benchmark would replace what none has written; for before the training.

        Args:
            kept: folder for `export_models`, where there is one, and the `seed` of the models for it.
        """
        from sdcda_tutorial.evaluation.comparison import PANEL  # they draw, and take their time to import
        from sdcda_tutorial.evaluation.pictures import refuse_other_picture
        from sdcda_tutorial.experiments.figures import PICTURES

        results = self.folder / "results.json"
        refuse_other_file(results, "{")
        if os.path.lexists(results) and "seeds" not in read_object(results):
            raise InputError(f"{results} holds something else, which would be lost; move it away or name another place")
        for name, beginning in {**PICTURES, "panel.png": PANEL}.items():
            refuse_other_picture(self.folder / name, beginning)
        if kept is not None:
            for model in sorted(kept.glob("*.safetensors")):
                card, mixed = read_card(model), "which would be mixed; name another place"
                if (other := card.get("seed", seed)) != seed:
                    raise InputError(f"{kept} holds models of seed {other}, {mixed}")
                others = card.get("data", MINI_WORLD) != MINI_WORLD if self.data is None else self.data.other_than(card)
                if others:
                    raise InputError(f"{kept} holds models of other data, {mixed}")
                if changed := self._other_settings(model.stem, card):
                    raise InputError(f"{model} was trained with other settings ({changed}), {mixed}")
            for name in (*self.methods, "segmenter", *(f"{name}-translation" for name in TRANSLATIONS)):
                refuse_other_file(kept / f"{name}.jsonl", '{"step": ')
                model = kept / f"{name}.safetensors"
                if os.path.lexists(model) and not read_card(model).keys() >= {"method", "seed", "data"}:
                    raise InputError(f"{model} is none that a benchmark has kept; move it away or name another place")

    def _other_settings(self, name: str, card: Mapping[str, Any]) -> str | None:
        """In what the settings of a kept counter differ from those that this preset gives its method."""
        if card.get("kind") != "adaptation" or name not in METHOD_TITLES:
            return None
        counter, method = split_run_name(name)
        preset = self.preset.counter(counter)
        settings = preset.warm_start if name == EARLY else parse(method).config(preset)
        ours = {} if settings is None else json.loads(json.dumps(asdict(settings) | {"seed": card["config"]["seed"]}))
        theirs = {key: value for key, value in card["config"].items() if key in ours}
        return difference(theirs, {key: ours[key] for key in theirs})  # earlier versions knew fewer

    def _data_of(self, seed: int) -> SeedData:
        return self.data or mini_data(self.folder / f"seed_{seed}/world", seed)

    def _run_in_own_folder(self, seed: int, say: Say = print) -> Measured:
        folder = self.folder / f"seed_{seed}"
        with one_writer(folder):
            return self.run_seed(seed, folder, self._data_of(seed), lambda line: say(f"seed {seed}: {line}"))

    def run_seed(
        self, seed: int, folder: Path, data: SeedData, say: Say,
        measured: Callable[[str, dict[str, Results]], None] = lambda name, results: None,
    ) -> Measured:  # fmt: skip
        """Train the methods in `folder` (see `pipeline`) and evaluate them on the test images.

        Evaluations lie beside each run as source.json and target.json.

        Args:
            measured: called with each method and its results as soon as they are there.
        Raises:
            InputError: before any training, for what a method lacks.
        """
        experiment = Experiment(
            folder, self.preset, data.source, data.target, data.boxes, vgg_weights=self.vgg_weights, seed=seed,
            report=self.report,
        )  # fmt: skip
        trainings: dict[str, Callable[[], Path | None]] = {EARLY: experiment.warm_start}
        for name in self.methods:
            if name != EARLY:
                counter, run = split_run_name(name)
                one, method = replace(experiment, preset=self.preset.counter(counter)), parse(run)
                one.check(run, method.config(one.preset), resume=True)
                trainings[name] = partial(method.train, one, run)
        checkpoints, results = {}, {}
        for name, title in titles(self.methods).items():
            say(title)
            checkpoint = trainings[name]()
            assert checkpoint is not None, "the preset has no warm start"
            if "source" in data.tests:
                measure_features_and_translation(checkpoint, split_run_name(name)[1], **data.tests)
            checkpoints[name], kernel = checkpoint, self.preset.adaptation.kernel
            results[name] = {
                domain: evaluate_once(
                    checkpoint.with_name(f"{domain}.json"), checkpoint, test, kernel,
                    {"method": name, "seed": seed, "domain": domain},
                )
                for domain, test in data.tests.items()
            }  # fmt: skip
            measured(name, results[name])
        if self.masked:  # after all training: it reads the target's labels
            masks, quality = folder / "masks", folder / "mask_quality.json"
            of = {"data": data.target.describe(), "masks": folder_digest(masks)}
            try:
                measure_once(quality, of, lambda: mask_quality(data.target, masks), "heads_inside")
            except InputError as error:  # of a label that no training needs
                quality.unlink(missing_ok=True)
                say(f"how good the pseudo-masks are is not measured: {error}")
        return checkpoints, results

    @property
    def masked(self) -> bool:
        """Whether a method learns from the target's pseudo-masks."""
        return any(needs_pseudo_masks(name, self.preset) for name in self.methods)

    def export_models(self, seed: int, out: Path, data: str) -> None:
        """Copy a model per method of a finished seed to `out`, at half precision, with its figures and its log.

        The mask model and the translations go with the methods that have learnt from them. The log, metrics.jsonl in
        the run's folder, becomes METHOD.jsonl.

        Args:
            data: what the cards call the data.
        """
        of_seed = self.folder / f"seed_{seed}"
        configs = [read_card(run_folder(of_seed, name) / "model.safetensors")["config"] for name in self.methods]
        translated = {split_run_name(name)[1] for name in self.methods}
        rests_on = [f"{name}-translation" for name in TRANSLATIONS if name in translated]
        if any(LossWeights(**config["weights"]).needs_pseudo_masks for config in configs):
            rests_on.append("segmenter")
        for name in (*rests_on, *self.methods):
            run, about = run_folder(of_seed, name), {"method": name, "seed": seed, "data": data}
            for domain in ("source", "target"):
                if (run / f"{domain}.json").exists():
                    about[f"{domain}_test"] = Results.from_json(run / f"{domain}.json").totals()
            with one_writer(out, wait=math.inf):
                export(run / "model.safetensors", out / f"{name}.safetensors", about)
                write_text(out / f"{name}.jsonl", (run / "metrics.jsonl").read_text(encoding="utf-8"))

    def save_pictures(self, found: Mapping[str, Any]) -> None:
        """Pictures of the finished benchmark in its folder: those of `figures`, and Fig. 2 with the first seed's."""
        from sdcda_tutorial.evaluation.comparison import save_panel  # they draw, and take their time to import
        from sdcda_tutorial.experiments import figures

        names, seed = titles(self.methods), found["seeds"][0]
        figures.save_pictures(self.folder, found, names)
        runs = {title: run_folder(self.folder / f"seed_{seed}", method) for method, title in names.items()}
        save_panel(
            self.folder / "panel.png",
            self._data_of(seed).tests["target"],
            {title: Results.from_json(run / "target.json") for title, run in runs.items()},
            {title: load_counter(run / "model.safetensors")[0] for title, run in runs.items()},
            self.preset.adaptation.kernel,
        )


def evaluate_once(
    path: Path, checkpoint: Path, test: CrowdDataset, kernel: DensityKernel, about: Mapping[str, Any]
) -> Results:
    """What a model reaches on a test set, from the file at `path` where that is of the same model and data."""
    of = {"weights_sha256": weights_digest(checkpoint), "data": test.describe()}  # either may have changed since
    found = None
    if path.exists():
        try:
            found = Results.from_json(path)
        except InputError:
            raise InputError(f"{path} is damaged; move it away: it is measured again") from None
    whole = found is not None and [row.name for row in found.rows] == test.names and math.isfinite(found.mae)
    current = found is not None and whole and all(found.about.get(key) == value for key, value in of.items())
    current = current and found is not None and found.about.get("kernel") in (None, asdict(kernel))
    if found is not None and current and found.about.get("rows_sha256") not in (None, found.digest()):
        raise InputError(f"{path} was changed since it was measured; move it away: it is measured again")
    if found is None or not current:
        counter, card, of["weights_sha256"] = load_measured(checkpoint)  # a training may have saved meanwhile
        about = {**about, **of, "chosen": card["chosen"]}
        found = evaluate(counter, test, kernel=kernel, about=about, progress=False)
        found.about["rows_sha256"] = found.digest()
        with one_writer(path.parent, wait=math.inf):
            found.to_json(path)
    return found


def _latest(cells: Sequence[Mapping[str, Any]], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Date and machine of the latest of these cells, and the `others` where they are not all of one."""
    known: list[dict[str, Any]] = []
    for cell in cells:  # earlier versions wrote one provenance for all cells of a call
        one = cell.get("provenance") or stored.get("provenance") or provenance()
        one = {key: value for key, value in one.items() if key != "others"}
        known += [one] if one not in known else []
    *others, latest = sorted(known, key=lambda one: str(one.get("date")))
    return {**latest, **({"others": others} if others else {})}


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


def run_seeds_in_parallel(at_once: int, function: Callable[[int], Any], seeds: Sequence[int]) -> None:
    """Call `function(seed)` for every seed, up to `at_once` at the same time, each in a new process.

    A process gets its share of this one's threads and, where there are GPUs, one of them, in turn. The first that fails
    ends them all, as Ctrl-C does.

    Raises:
        Exception: as `call_in_processes`.
    """
    threads = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // at_once))}
    gpus = _gpus(torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    own = [{"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {} for place in range(at_once)]
    call_in_processes(function, [(seed,) for seed in seeds], [threads | gpu for gpu in own])


def _gpus(number: int, visible: str | None) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    return [str(gpu) for gpu in range(number)] if visible is None else visible.split(",")[:number]
