"""Demo of notebook 08: the training logs of the stored models, replayed step by step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from sdcda_tutorial.teaching.demos import choice, explore, slider

Line = dict[str, float]

# Name in the log -> name and equation for the reader, colour (Okabe-Ito), line style.
TERMS = {
    "density": ("density, Eq. 6", "#0072B2", "-"),
    "seg_source": ("mask, source, Eq. 7", "#009E73", "-"),
    "seg_target": ("background, target, Eq. 9", "#D55E00", "-"),
    "adversarial": ("adversarial, Eq. 10", "#CC79A7", "-"),
    "discriminator": ("D's own loss", "#000000", "--"),
}


def read_log(path: str | Path) -> list[Line]:
    """The lines of a metrics.jsonl, in their order: loss terms at some steps, validation errors at others."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def column(log: Sequence[Line], name: str, until: float = math.inf) -> tuple[list[float], list[float]]:
    """Steps and values of one quantity up to a step; both empty where it was never logged."""
    found = [line for line in log if name in line and line["step"] <= until]
    return [line["step"] for line in found], [line[name] for line in found]


def render_training_replay(logs: Mapping[str, Sequence[Line]], method: str, step: int) -> Figure:
    """Losses so far on the left, on the right how D and E hold each other in balance.

    Args:
        logs: of each method, see `read_log`.
        method: one of them.
        step: how far to replay; what comes later is drawn faintly.
    """
    log = logs[method]
    last = max(line["step"] for line in log)
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
    for name, (label, colour, style) in TERMS.items():
        later, values = column(log, name)
        if values:
            axes[0].plot(later, values, style, color=colour, alpha=0.15, linewidth=1)
            axes[0].plot(*column(log, name, step), style, color=colour, linewidth=1.5, label=label)
    axes[0].set(yscale="log", ylim=(1e-5, 10), xlim=(0, last), xlabel="step", ylabel="loss of one batch, before its λ")
    axes[0].set_title(f"{method} after {step} steps: losses")
    axes[0].legend(fontsize=7, ncols=2, loc="lower left")

    later, accuracy = column(log, "D_accuracy")
    axes[1].set(xlim=(0, last), ylim=(0, 1.05), xlabel="step", ylabel="share of D's answers that are right")
    if accuracy:
        axes[1].axhline(0.5, color="#555555", linewidth=0.8, linestyle=":")
        axes[1].text(last, 0.48, "guessing", ha="right", va="top", fontsize=8, color="#555555")
        axes[1].plot(later, accuracy, color="#E69F00", alpha=0.2, linewidth=1)
        axes[1].plot(*column(log, "D_accuracy", step), "o-", color="#E69F00", markersize=3, linewidth=1)
        so_far = column(log, "D_accuracy", step)[1][-10:]
        if so_far:
            mean = sum(so_far) / len(so_far)
            axes[1].set_title(f"D, last {len(so_far)} logged batches: {mean:.0%} right on average")
        else:
            axes[1].set_title("D: nothing logged yet")
    else:
        axes[1].text(0.5, 0.5, "λd = 0: there is no D", transform=axes[1].transAxes, ha="center")
    return figure


def training_replay(logs: Mapping[str, Sequence[Line]]) -> ipywidgets.VBox:
    """Choose a method and move through its training."""
    steps = sorted({int(line["step"]) for log in logs.values() for line in log})
    controls = {
        "method": choice("method", list(logs), list(logs)[-1]),
        "step": slider("step", steps[-1] // 2, steps[0], steps[-1], steps[0]),
    }
    return explore(render_training_replay, controls, {"logs": logs})
