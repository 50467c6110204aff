"""Models of a benchmark small enough to go with the package: what lies in data/checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.experiments.benchmark_rows import run_folder
from sdcda_tutorial.experiments.presets import split_run_name
from sdcda_tutorial.files import write_text
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.rivals.translation import TRANSLATIONS
from sdcda_tutorial.training.checkpoints import export, read_card


def export_models(folder: str | Path, methods: Sequence[str], seed: int, out: str | Path, data: str) -> None:
    """Copy a model per method of a finished seed to `out`, at half precision, with their figures.

    The mask model and the translations go with the methods that have learnt from them. The log of each training, what
    `training.loop` calls metrics.jsonl, goes with it as METHOD.jsonl.

    Args:
        data: what the cards call the data.
    """
    run = Path(folder) / f"seed_{seed}"
    translations = [f"{name}-translation" for name in TRANSLATIONS if name in {split_run_name(m)[1] for m in methods}]
    configs = [read_card(run_folder(run, method) / "model.safetensors")["config"] for method in methods]
    masks_needed = any(LossWeights(**config["weights"]).needs_pseudo_masks for config in configs)
    for name in (*(["segmenter"] if masks_needed else []), *translations, *methods):
        model, exported = run_folder(run, name) / "model.safetensors", Path(out) / f"{name}.safetensors"
        about: dict[str, Any] = {"method": name, "seed": seed, "data": data}
        for domain in ("source", "target"):
            evaluation = model.parent / f"{domain}.json"
            if evaluation.exists():
                about[f"{domain}_test"] = Results.from_json(evaluation).totals()
        export(model, exported, about)
        write_text(exported.with_suffix(".jsonl"), (model.parent / "metrics.jsonl").read_text(encoding="utf-8"))
