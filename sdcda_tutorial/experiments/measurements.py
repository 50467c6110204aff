"""What a benchmark measures besides counts: how far apart features lie, what a translation does, how long it took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.evaluation.feature_distance import alignment
from sdcda_tutorial.experiments.benchmark_rows import run_folder
from sdcda_tutorial.files import read_json, write_json
from sdcda_tutorial.rivals.translation import load_generators
from sdcda_tutorial.rivals.translation_config import TRANSLATIONS
from sdcda_tutorial.rivals.translation_quality import translation_quality
from sdcda_tutorial.training.checkpoints import load_counter, read_card


def look_inside(checkpoint: Path, method: str, source: CrowdDataset, target: CrowdDataset) -> None:
    """How far apart the features lie, and what a translation does: once for these data, into files beside the models.

    A counter that learnt from translated images has never seen the source as it is: of its features nothing is said.
    """
    data = {"source": source.describe(), "target": target.describe()}

    def once(path: Path, measure: Callable[[], dict[str, Any]], figure: str) -> None:
        stored = read_json(path) if path.exists() else {}
        if stored.get("data") != data or figure not in stored:  # an earlier version may not have known it
            write_json(path, measure() | {"data": data})

    if method in TRANSLATIONS:
        run = checkpoint.parent.parent / f"{method}-translation"
        generators = partial(load_generators, run / "model.safetensors")
        once(run / "quality.json", lambda: translation_quality(generators()[0], source, target), "source")
    elif len(source) > 1 and len(target) > 1:
        counter = partial(load_counter, checkpoint)
        once(checkpoint.parent / "alignment.json", lambda: alignment(counter()[0].E, source, target), "place_probe")


def beyond_counts(folder: Path, per_seed: Mapping[int, Any]) -> dict[str, Any]:
    """What was measured besides the counts, by seed: pseudo-masks, features, translations, and seconds of training."""
    found: dict[str, dict[str, Any]] = {"mask_quality": {}, "alignment": {}, "translation": {}}
    for seed, methods in per_seed.items():
        of_seed = folder / f"seed_{seed}"
        if (of_seed / "mask_quality.json").exists():
            found["mask_quality"][str(seed)] = read_json(of_seed / "mask_quality.json")
        features = {m: run_folder(of_seed, m) / "alignment.json" for m in methods}
        translations = {m: of_seed / f"{m}-translation/quality.json" for m in TRANSLATIONS}
        for name, paths in (("alignment", features), ("translation", translations)):
            known = {method: _without_data(read_json(path)) for method, path in paths.items() if path.exists()}
            found[name] |= {str(seed): known} if known else {}
    return found | {"seconds": _seconds(folder, per_seed)}


def _without_data(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "data"}


def _seconds(folder: Path, per_seed: Mapping[int, Any]) -> dict[str, dict[str, float]]:
    """Training time of every part of every seed, from the runs' own records."""
    return {
        str(seed): {
            path.parent.name: read_card(path)["state"]["seconds"]
            for path in sorted((folder / f"seed_{seed}").glob("*/last.safetensors"))
        }
        for seed in per_seed
    }
