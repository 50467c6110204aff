"""The prepared questions of the laboratory, and how their answers in data/results/laboratory.json were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.experiments.benchmark import provenance
from sdcda_tutorial.files import write_json
from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.laboratory import WARM_START, Laboratory
from sdcda_tutorial.teaching.laboratory_run import AVERAGE, DEFAULTS, FIGURES

# Number -> the call that answers it. Notebook 08 asks, its solutions read the stored figures.
QUESTIONS: dict[str, dict[str, Any]] = {
    "0": {},
    "1": {"lambda_s": 0, "lambda_t": 0, "lambda_d": 0},
    "2": {"lambda_t": 0},
    "3": {"lambda_d": 0},
    "4": {"masks": "perfect"},
    "5": {"masks": "shuffled"},
    "6": {"masks": "none"},
    "7": {"lambda_d": 0.1},
    "8": {"D_sees": "mask"},
    "9": {"learning_rate": 5e-3},
    "10": {"lambda_t": 1},
}


def measure(seeds: Sequence[int], folder: Path = Path("build/laboratory")) -> dict[str, Any]:
    """Train every question with every seed and return what data/results/laboratory.json holds.

    Runs that are kept in `folder` are not made again.
    """
    lab = Laboratory(folder)
    start = lab.measure(DEFAULTS, notebook.CHECKPOINTS / f"{WARM_START}.safetensors")
    cells = []
    for number, changed in QUESTIONS.items():
        for seed in seeds:
            run, _ = lab.train(**changed, seed=seed)
            cells.append({
                "question": number, "seed": seed, "changed": changed, "seconds": round(run.seconds, 1),
                **{name: round(getattr(run, name), 4) for name in FIGURES},
            })  # fmt: skip
            print(number, run)
    rows = [{name: [c[name] for c in cells if c["question"] == number] for name in FIGURES} for number in QUESTIONS]
    return {
        "what": "The laboratory of notebook 08: SE+FD, a few steps from noadapt-early with one thing changed. MAE in "
        "people; background: people predicted where the true map is zero; crowd: signed error elsewhere.",
        "command": "python -c 'from sdcda_tutorial.teaching.laboratory_questions import write; "
        f"write({list(seeds)})'",
        "how": f"mini world of seed 0, {len(lab.data[1])} target images, {len(lab.data[2])} test images, "
        f"{DEFAULTS.steps} steps, running mean {AVERAGE}; the seed is that of the training, the world stays",
        "provenance": provenance(), "seeds": list(seeds),
        "start": {name: round(getattr(start, name), 4) for name in FIGURES},
        "mean_count": round(float(np.mean([sample.count for sample in _all(lab.data[2])])), 2),
        "summary": {
            number: {name: round(float(np.mean(values)), 4) for name, values in of.items()}
            for number, of in zip(QUESTIONS, rows, strict=True)
        },
        "cells": cells,
    }  # fmt: skip


def _all(dataset: CrowdDataset) -> Iterator[Sample]:
    return (dataset[index] for index in range(len(dataset)))


def write(seeds: Sequence[int]) -> None:
    """Measure, and write data/results/laboratory.json."""
    notebook.begin()
    write_json(notebook.RESULTS / "laboratory.json", measure(seeds))
