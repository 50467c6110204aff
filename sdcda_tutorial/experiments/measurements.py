"""What a benchmark measures besides counts: how far apart features lie, what a translation does, how long it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.feature_distance import alignment
from sdcda_tutorial.experiments.benchmark_rows import run_folder
from sdcda_tutorial.experiments.presets import split_run_name
from sdcda_tutorial.files import json_digest, read_object, write_json
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.rivals.translation import TRANSLATIONS, load_generators, translation_quality
from sdcda_tutorial.training.checkpoints import load_counter, read_card, weights_digest

WRITTEN = "figures_sha256"  # by which a file shows that nobody has changed it since


def measure_features_and_translation(checkpoint: Path, method: str, source: CrowdDataset, target: CrowdDataset) -> None:
    """How far apart the features lie, or what a translation does: once for these data, into files beside the models.

    A counter that learnt from translated images has never seen the source as it is: its features are not measured.
    """
    of: dict[str, Any] = {
        "data": {"source": source.describe(labelled=False), "target": target.describe(labelled=False)}
    }
    if method in TRANSLATIONS:
        run = checkpoint.parent.parent / f"{method}-translation"
        model, file = run / "model.safetensors", run / "quality.json"
        of["weights_sha256"] = weights_digest(model)
        measure_once(file, of, lambda: translation_quality(load_generators(model)[0], source, target), "source")
    elif len(source) > 1 and len(target) > 1:
        file, of["weights_sha256"] = checkpoint.parent / "alignment.json", weights_digest(checkpoint)
        measure_once(file, of, lambda: alignment(load_counter(checkpoint)[0].E, source, target), "place_probe")


def measure_once(path: Path, of: Mapping[str, Any], measure: Callable[[], dict[str, Any]], figure: str) -> None:
    """Write to `path` what `measure()` finds, unless it is there, `of` the same, with the `figure` of this version."""
    stored = read_object(path) if path.exists() else {}
    current = figure in stored and all(stored.get(key) == value for key, value in of.items())
    if current and stored.get(WRITTEN) not in (None, _digest(stored)):
        raise InputError(f"{path} was changed since it was measured; move it away: it is measured again")
    if not current:
        measured = {**measure(), **of}
        with one_writer(path.parent, wait=math.inf):
            write_json(path, {**measured, WRITTEN: _digest(measured)})


def _digest(measured: Mapping[str, Any]) -> str:
    return json_digest({key: value for key, value in measured.items() if key != WRITTEN})


def _figures(path: Path) -> dict[str, Any]:
    about = ("data", "weights_sha256", "masks", WRITTEN)
    return {key: value for key, value in read_object(path).items() if key not in about}


def collect_measurements(
    folder: Path, per_seed: Mapping[int, Any], cells: Sequence[Mapping[str, Any]], masked: bool
) -> dict[str, Any]:
    """What was measured besides the counts, by seed: pseudo-masks, features, translations, and seconds of training.

    Earlier calls may have left more in the folder, of other data: only what these methods need counts.

    Args:
        per_seed: seed -> method -> results by test set.
        cells: of these methods; they say from which runs each was made.
        masked: whether one of the methods learns from pseudo-masks.
    """
    found: dict[str, dict[str, Any]] = {"mask_quality": {}, "alignment": {}, "translation": {}, "seconds": {}}
    for seed, methods in per_seed.items():
        of_seed = folder / f"seed_{seed}"
        measured = [method for method, results in methods.items() if "source" in results]
        features = {m: run_folder(of_seed, m) / "alignment.json" for m in measured}
        translated = {split_run_name(method)[1] for method in measured}
        translations = {m: of_seed / f"{m}-translation/quality.json" for m in TRANSLATIONS if m in translated}
        for name, paths in (("alignment", features), ("translation", translations)):
            known = {method: _figures(path) for method, path in paths.items() if path.exists()}
            if known:
                found[name][str(seed)] = known
        if masked and (of_seed / "mask_quality.json").exists():
            found["mask_quality"][str(seed)] = _figures(of_seed / "mask_quality.json")
        found["seconds"][str(seed)] = {}
        for run in sorted({run for cell in cells if cell["seed"] == seed for run in cell["made_from"]}):
            with suppress(InputError, KeyError, TypeError):  # a model that was given has no such record
                seconds = read_card(of_seed / run / "last.safetensors")["state"]["seconds"]
                found["seconds"][str(seed)][run] = seconds
    return found
