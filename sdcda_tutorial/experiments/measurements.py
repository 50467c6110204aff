"""What a benchmark measures besides counts: how far apart features lie, what a translation does, how long it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.feature_distance import alignment
from sdcda_tutorial.experiments.benchmark_rows import run_folder
from sdcda_tutorial.files import read_json, write_json
from sdcda_tutorial.locks import one_writer
from sdcda_tutorial.rivals.translation import TRANSLATIONS, load_generators, translation_quality
from sdcda_tutorial.training.checkpoints import load_counter, read_card


def measure_features_and_translation(checkpoint: Path, method: str, source: CrowdDataset, target: CrowdDataset) -> None:
    """How far apart the features lie, or what a translation does: once for these data, into files beside the models.

    A counter that learnt from translated images has never seen the source as it is: its features are not measured.
    """
    data = {"source": source.describe(), "target": target.describe()}

    def once(path: Path, measure: Callable[[], dict[str, Any]], figure: str) -> None:
        stored = read_json(path) if path.exists() else {}
        if stored.get("data") != data or figure not in stored:  # an earlier version may not have known it
            measured = measure() | {"data": data}
            with one_writer(path.parent, wait=math.inf):
                write_json(path, measured)

    if method in TRANSLATIONS:
        run = checkpoint.parent.parent / f"{method}-translation"
        model = run / "model.safetensors"
        once(run / "quality.json", lambda: translation_quality(load_generators(model)[0], source, target), "source")
    elif len(source) > 1 and len(target) > 1:
        features = checkpoint.parent / "alignment.json"
        once(features, lambda: alignment(load_counter(checkpoint)[0].E, source, target), "place_probe")


def collect_measurements(folder: Path, per_seed: Mapping[int, Any]) -> dict[str, Any]:
    """What was measured besides the counts, by seed: pseudo-masks, features, translations, and seconds of training."""
    found: dict[str, dict[str, Any]] = {"mask_quality": {}, "alignment": {}, "translation": {}, "seconds": {}}
    for seed, methods in per_seed.items():
        of_seed = folder / f"seed_{seed}"
        features = {m: run_folder(of_seed, m) / "alignment.json" for m in methods}
        translations = {m: of_seed / f"{m}-translation/quality.json" for m in TRANSLATIONS}
        for name, paths in (("alignment", features), ("translation", translations)):
            known = {method: read_json(path) for method, path in paths.items() if path.exists()}
            if known:
                found[name][str(seed)] = {m: {k: v for k, v in one.items() if k != "data"} for m, one in known.items()}
        if (of_seed / "mask_quality.json").exists():
            found["mask_quality"][str(seed)] = read_json(of_seed / "mask_quality.json")
        runs = sorted(of_seed.glob("*/last.safetensors"))  # their own records say how long each took
        found["seconds"][str(seed)] = {run.parent.name: read_card(run)["state"]["seconds"] for run in runs}
    return found
