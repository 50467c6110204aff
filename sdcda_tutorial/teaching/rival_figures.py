"""Tables and figures of notebook 10: the rivals of Table 1 beside the paper's method, each with both counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from sdcda_tutorial.datasets import Sample
from sdcda_tutorial.evaluation.colours import BLACK, GREY, LIGHT, METHODS
from sdcda_tutorial.evaluation.pictures import STYLE, show_pixels
from sdcda_tutorial.experiments.benchmark import METHOD_TITLES
from sdcda_tutorial.experiments.statistics import counts
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.paper import TABLE_1

COUNTERS = {"": "the paper's counter", "sfcn-": "SFCN"}  # what stands before a method's name in the results
COMPARED = ("noadapt", "cyclegan", "se-cyclegan", "se+fd")
PAPER = {  # the rows of the paper's Table 1 by our names
    "NoAdpt [16]": "sfcn-noadapt", "Cycle GAN [26]": "sfcn-cyclegan", "SE Cycle GAN [16]": "sfcn-se-cyclegan",
    "NoAdpt (ours)": "noadapt", "SE+FD": "se+fd",
}  # fmt: skip


def mae_by_seed(found: Mapping[str, Any], method: str) -> np.ndarray:
    """The MAE on the target, in people, one value per seed."""
    by_seed = {c["seed"]: c["mae"] for c in found["cells"] if (c["method"], c["domain"]) == (method, "target")}
    return np.array([by_seed[seed] for seed in found["seeds"]])


def mean_table(found: Mapping[str, Any]) -> str:
    """MAE on the target, mean ± standard deviation over seeds: a row per counter, a column per method."""
    rows = []
    for prefix, counter in COUNTERS.items():
        values = [mae_by_seed(found, prefix + method) for method in COMPARED]
        rows.append([counter, *(f"{of_seeds.mean():.1f} ± {of_seeds.std(ddof=1):.1f}" for of_seeds in values)])
    return markdown_table(["MAE, people", *map(METHOD_TITLES.__getitem__, COMPARED)], rows, aligned=False)


@matplotlib.rc_context(STYLE)
def seeds_joined(found: Mapping[str, Any]) -> Figure:
    """MAE by method, a panel per counter; a line joins the runs of one seed, a bar is the mean."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (prefix, counter) in zip(axes, COUNTERS.items(), strict=True):
        values = np.array([mae_by_seed(found, prefix + method) for method in COMPARED])  # (methods, seeds)
        axis.plot(values, color=LIGHT, linewidth=1, zorder=1)
        for place, (method, of_seeds) in enumerate(zip(COMPARED, values, strict=True)):
            axis.scatter([place] * len(of_seeds), of_seeds, color=METHODS[method], s=36, zorder=2)
            axis.plot([place - 0.25, place + 0.25], [of_seeds.mean()] * 2, color=BLACK, linewidth=2, zorder=3)
        axis.set(title=f"with {counter}", xlim=(-0.5, len(COMPARED) - 0.5))
        axis.set_xticks(range(len(COMPARED)), [METHOD_TITLES[method] for method in COMPARED])
        axis.grid(axis="y", linewidth=0.3)
    axes[0].set(ylabel="MAE on the target, people", ylim=(0, None))
    return figure


@matplotlib.rc_context(STYLE)
def background_against_crowd(found: Mapping[str, Any]) -> Figure:
    """People predicted on the background against the error on the crowd; a mark per seed, a larger one is the mean."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for axis, (prefix, counter) in zip(axes, COUNTERS.items(), strict=True):
        for method in COMPARED:
            kinds = [counts(found, prefix + method, what) for what in ("predicted", "background", "count")]
            points = np.array([(b.mean(), (p - b - true).mean()) for p, b, true in zip(*kinds, strict=True)])
            look = {"color": METHODS[method], "zorder": 3 if method == "se+fd" else 2}
            axis.scatter(*points.T, s=30, alpha=0.7, linewidths=0, **look)
            axis.scatter(*points.mean(axis=0), s=110, edgecolors=BLACK, label=METHOD_TITLES[method], **look)
        axis.plot([0, 30], [0, -30], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        axis.axhline(0, color=BLACK, linewidth=0.6, zorder=0)
        axis.set(title=f"with {counter}", xlabel="people predicted on the background, per image")
    axes[0].set(ylabel="error on the crowd, people per image", xlim=(0, None), ylim=(-18, 12))
    axes[1].legend(loc="upper right", frameon=False)
    return figure


@matplotlib.rc_context(STYLE)
def maps(samples: Sequence[Sample], truths: Sequence[Tensor], predicted: Mapping[str, Sequence[Tensor]]) -> Figure:
    """A row per image: the image, its true map, a map per counter with its count.

    The maps of a row share a colour scale, which ends at the maximum of the true map.
    """
    titles = ["image", "ground truth", *predicted]
    figure = Figure(figsize=(10, 1.2 * len(samples) + 0.3), layout="constrained")
    axes = figure.subplots(len(samples), len(titles), squeeze=False)
    for i, sample in enumerate(samples):
        shown: list[Any] = [sample.image, truths[i], *(of_counter[i] for of_counter in predicted.values())]
        texts = ["", f"{sample.count}", *(f"{float(density.sum()):.1f}" for density in shown[2:])]
        brightest = max(float(truths[i].max()), 1e-6)  # of an image without people too
        for axis, pixels, title, text in zip(axes[i], shown, titles, texts, strict=True):
            drawn = show_pixels(axis, pixels, "" if i else title, brightest)
            axis.text(
                0.97, 0.95, text, transform=axis.transAxes, color="white", ha="right", va="top", fontweight="bold"
            )
        bar = figure.colorbar(drawn, ax=list(axes[i]), extend="max", ticks=MaxNLocator(3), pad=0.01)
        if i == len(samples) // 2:
            bar.set_label("people per pixel")
    return figure


def paper_table(found: Mapping[str, Any]) -> str:
    """The MAE of the five rows that the paper's Table 1 and ours have in common, and the paper's on its three sets."""
    sets = list(dict.fromkeys(score.dataset for score in TABLE_1))
    rows = []
    for theirs, ours in PAPER.items():
        papers = [next(s.mae for s in TABLE_1 if (s.method, s.dataset) == (theirs, name)) for name in sets]
        rows.append([METHOD_TITLES[ours], f"{mae_by_seed(found, ours).mean():.1f}", *(f"{mae:.1f}" for mae in papers)])
    return markdown_table(["MAE, people", "mini world", *(f"paper, {name}" for name in sets)], rows, aligned=False)
