"""Figures of a benchmark's results: which method is better by how much, for which crowds, and where it errs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from sdcda_tutorial.evaluation import pictures as plotting
from sdcda_tutorial.evaluation.colours import BLACK, BLUE, GREY, VERMILION
from sdcda_tutorial.evaluation.pictures import STYLE
from sdcda_tutorial.experiments.statistics import counts, errors, methods_of


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of a few values, by Student's t; a single value gives itself twice."""
    mean, n = float(np.mean(values)), len(values)
    reach = 0.0 if n < 2 else float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean - reach, mean + reach


def dot_plot(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """MAE on the target: a dot per seed, the mean over seeds and its 95 % interval.

    `found` holds a benchmark's results; `titles` names its methods in the figure.
    """
    return _dots(found, titles, [""], (6.5, 0.8), "MAE on the target, people")


def error_by_crowd_size(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """`dot_plot` for three thirds of each seed's images, ordered by their number of people."""
    return _dots(found, titles, ["fewest people", "middle", "most people"], (8.0, 1.0), "MAE, people")


@matplotlib.rc_context(STYLE)
def _dots(
    found: Mapping[str, Any], titles: Mapping[str, str], parts: Sequence[str], size: tuple[float, float], label: str
) -> Figure:
    """MAE by method, in a plot for each of equal `parts` of a seed's images; `size` is the width and the base height.

    The images are ordered by their number of people.
    """
    import seaborn

    methods = methods_of(found)
    figure = Figure(figsize=(size[0], size[1] + 0.3 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)
    for which, (axis, part) in enumerate(zip(axes.flat, parts, strict=True)):
        columns: dict[str, list[Any]] = {"method": [], "value": []}
        for method in methods:
            for true, error in zip(counts(found, method, "count"), errors(found, method), strict=True):
                chosen = np.array_split(np.argsort(true), len(parts))[which]
                if len(chosen):
                    columns["method"].append(titles.get(method, method))
                    columns["value"].append(float(error[chosen].mean()))
        seaborn.stripplot(columns, x="value", y="method", ax=axis, color=BLUE, size=4, alpha=0.7, jitter=False)
        seaborn.pointplot(
            columns, x="value", y="method", ax=axis, color=VERMILION, linestyle="none", marker="|", markersize=13,
            errorbar=interval_of_mean, err_kws={"linewidth": 1.2},
        )  # fmt: skip
        axis.set(title=part, xlabel=label, ylabel="")
        axis.set_xlim(left=0)  # no error lies below zero, whatever an interval says
        axis.grid(axis="x", linewidth=0.3)
    return figure


@matplotlib.rc_context(STYLE)
def background_against_crowd(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """People predicted on the background against the error on the crowd; a dot per seed, arguments as in `dot_plot`.

    On the dashed line the two cancel: the count is right on average and the map is not.
    """
    import seaborn

    methods = methods_of(found)
    columns: dict[str, list[Any]] = {"background": [], "crowd": [], "method": []}
    for method in methods:
        of_seeds = (counts(found, method, what) for what in ("predicted", "background", "count"))
        for predicted, background, true in zip(*of_seeds, strict=True):
            columns["background"].append(float(background.mean()))
            columns["crowd"].append(float((predicted - background - true).mean()))
            columns["method"].append(titles.get(method, method))
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    axis = figure.subplots()
    palette = "colorblind" if len(methods) <= 10 else "husl"
    by_method = {"hue": "method", "style": "method", "palette": palette}
    seaborn.scatterplot(columns, x="background", y="crowd", ax=axis, s=34, **by_method)
    reach = max(axis.get_xlim()[1], -axis.get_ylim()[0], 1.0)
    axis.plot([0, reach], [0, -reach], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axis.axhline(0, color=BLACK, linewidth=0.6, zorder=0)
    lowest = min(*columns["crowd"], -1.0)
    axis.set(xlim=(0, None), ylim=(1.2 * lowest, None))
    axis.set(xlabel="people predicted on the background, an image", ylabel="error on the crowd, people an image")
    seaborn.move_legend(axis, "center left", bbox_to_anchor=(1, 0.5), frameon=False, title=None)
    return figure


def save_pictures(out: Path, found: Mapping[str, Any], titles: Mapping[str, str]) -> list[Path]:
    """Save the three figures of a benchmark, with descriptions; returns their paths."""
    seeds = f"{len(found['seeds'])} seeds"
    both = f"Error on the background against error on the crowd: {seeds}."
    pictures = {
        "mae.png": (dot_plot, f"MAE of every method: {seeds}, mean, 95 % interval of the mean."),
        "crowd_size.png": (error_by_crowd_size, f"MAE by thirds of the images, by people: {seeds}."),
        "background_and_crowd.png": (background_against_crowd, both),
    }
    for name, (draw, description) in pictures.items():
        plotting.save(draw(found, titles), out / name, description)
    return [out / name for name in pictures]
