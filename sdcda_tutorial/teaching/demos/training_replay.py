"""Demo of notebook 08: training logs replayed step by step."""

import math
from collections.abc import Mapping, Sequence

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.evaluation.colours import BLACK, GREY, INDIGO, PURPLE, VERMILION, WINE
from sdcda_tutorial.experiments.benchmark import METHOD_TITLES
from sdcda_tutorial.teaching.demos import choice, explore, slider
from sdcda_tutorial.training.saving import read_log as read_log

Line = dict[str, float]

# Name in the log -> label, colour, line style.
TERMS = {
    "density": ("density, Eq. 6", INDIGO, "-"),
    "seg_source": ("mask, source, Eq. 7", WINE, "-"),
    "seg_target": ("background, target, Eq. 9", VERMILION, "-"),
    "adversarial": ("adversarial, Eq. 10", PURPLE, "-"),
    "discriminator": ("D's own loss", BLACK, "--"),
}


def column(log: Sequence[Line], name: str, until: float = math.inf) -> tuple[list[float], list[float]]:
    """Steps and values of one quantity up to a step; both empty where it was never logged."""
    found = [line for line in log if name in line and line["step"] <= until]
    return [line["step"] for line in found], [line[name] for line in found]


def render_training_replay(logs: Mapping[str, Sequence[Line]], method: str, step: int) -> Figure:
    """The losses of a method (logs from `read_log`) and the accuracy of D up to a step; later ones are faint."""
    log = logs[method]
    last = max(line["step"] for line in log)
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
    for name, (label, colour, style) in TERMS.items():
        later, values = column(log, name)
        if values:
            axes[0].plot(later, values, style, color=colour, alpha=0.15, linewidth=1)
            axes[0].plot(*column(log, name, step), style, color=colour, linewidth=1.5, label=label)
    axes[0].set(yscale="log", xlim=(0, last), xlabel="step", ylabel="loss of one batch, before its λ")
    axes[0].set_title(f"{METHOD_TITLES.get(method, method)} after {step} steps: losses")
    figure.legend(fontsize=8, ncols=len(TERMS), loc="outside lower center", frameon=False)

    later, accuracy = column(log, "D_accuracy")
    axes[1].set(xlim=(0, last), ylim=(0, 1.05), xlabel="step", ylabel="share of D's answers that are right")
    if accuracy:
        steps, so_far = column(log, "D_accuracy", step)
        recent = so_far[-10:]
        right = (
            f"D, last {len(recent)} logged batches: {100 * np.mean(recent):.0f} % right on average" if recent else ""
        )
        axes[1].set_title(right or "D: nothing logged yet")
        axes[1].axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        axes[1].text(last, 0.48, "guessing", ha="right", va="top", fontsize=8, color=GREY)
        axes[1].plot(later, accuracy, color=BLACK, alpha=0.2, linewidth=1)
        axes[1].plot(steps, so_far, "o-", color=BLACK, markersize=3, linewidth=1, clip_on=False)
    else:
        axes[1].text(0.5, 0.5, "λd = 0: there is no D", transform=axes[1].transAxes, ha="center")
    return figure


def training_replay(logs: Mapping[str, Sequence[Line]]) -> ipywidgets.VBox:
    steps = sorted({int(line["step"]) for log in logs.values() for line in log})
    controls = {
        "method": choice("method", list(logs), list(logs)[-1]),
        "step": slider("step", steps[-1] // 2, steps[0], steps[-1], steps[0]),
    }
    return explore(render_training_replay, controls, {"logs": logs})
