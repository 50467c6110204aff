"""Models of a benchmark small enough to go with the package: what lies in data/checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.experiments.benchmark_rows import run_folder
from sdcda_tutorial.experiments.presets import split_run_name
from sdcda_tutorial.files import write_text
from sdcda_tutorial.rivals.translation_config import TRANSLATIONS
from sdcda_tutorial.training.checkpoints import export, read_card


def keep_models(folder: str | Path, methods: Sequence[str], seed: int, out: str | Path, data: str) -> list[Path]:
    """Copy a model per method of a finished seed to `out`, at half precision, with their figures.

    The mask model and the translations go with the methods that have learnt from them. The log of each training, what
    `training.loop` calls metrics.jsonl, goes with it as METHOD.jsonl.

    Args:
        data: what the cards call the data.
    """
    run, kept = Path(folder) / f"seed_{seed}", []
    translations = [f"{name}-translation" for name in TRANSLATIONS if name in {split_run_name(m)[1] for m in methods}]
    cards = [read_card(run_folder(run, method) / "model.safetensors") for method in methods]
    mask_model = ["segmenter"] if any(card["config"]["weights"]["seg_target"] > 0 for card in cards) else []
    for name in (*mask_model, *translations, *methods):
        model = run_folder(run, name) / "model.safetensors"
        about: dict[str, Any] = {"method": name, "seed": seed, "data": data}
        for domain in ("source", "target"):
            evaluation = model.parent / f"{domain}.json"
            if evaluation.exists():
                about[f"{domain}_test"] = Results.from_json(evaluation).totals()
        kept.append(Path(out) / f"{name}.safetensors")
        export(model, kept[-1], about)
        write_text(kept[-1].with_suffix(".jsonl"), (model.parent / "metrics.jsonl").read_text(encoding="utf-8"))
    return kept
