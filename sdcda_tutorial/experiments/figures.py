"""Pictures of what a benchmark found: who is better by how much, for which crowds, and where the error lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from sdcda_tutorial.evaluation import pictures as plotting
from sdcda_tutorial.evaluation.colours import BLACK, BLUE, GREY, VERMILION
from sdcda_tutorial.evaluation.pictures import STYLE
from sdcda_tutorial.experiments.statistics import counts, errors, methods_of


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of a few values, Student's t; of a single value, the value."""
    mean, n = float(np.mean(values)), len(values)
    reach = 0.0 if n < 2 else float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean - reach, mean + reach


@matplotlib.rc_context(STYLE)
def dot_plot(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """MAE on the target: a dot per seed, the mean over seeds and its 95 % interval.

    Args:
        found: a benchmark's results.
        titles: method -> what it is called in the figure.
    """
    rows = [(method, float(of_seed.mean())) for method in methods_of(found) for of_seed in errors(found, method)]
    figure = Figure(figsize=(6.5, 0.8 + 0.3 * len(methods_of(found))), layout="constrained")
    _dots(figure.subplots(), rows, titles, xlabel="MAE on the target, people")
    return figure


@matplotlib.rc_context(STYLE)
def error_by_crowd_size(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """`dot_plot` for the third of each seed's images with the fewest people, the middle third, and that with the most.

    Args: as `dot_plot`.
    """
    methods = methods_of(found)
    figure = Figure(figsize=(8.0, 1.0 + 0.3 * len(methods)), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    for which, (axis, name) in enumerate(zip(axes, ("fewest people", "middle", "most people"), strict=True)):
        rows = []
        for method in methods:
            for true, error in zip(counts(found, method, "count"), errors(found, method), strict=True):
                third = np.array_split(np.argsort(true), 3)[which]
                rows += [(method, float(error[third].mean()))] if len(third) else []
        _dots(axis, rows, titles, title=name, xlabel="MAE, people")
    return figure


def _dots(axis: Axes, rows: Sequence[tuple[str, float]], titles: Mapping[str, str], **labels: str) -> None:
    """A line for each method, from (method, value): its values, their mean and its interval."""
    import seaborn

    columns = {"method": [titles.get(method, method) for method, _ in rows], "value": [value for _, value in rows]}
    seaborn.stripplot(columns, x="value", y="method", ax=axis, color=BLUE, size=4, alpha=0.7, jitter=False)
    seaborn.pointplot(
        columns, x="value", y="method", ax=axis, color=VERMILION, linestyle="none", marker="|", markersize=13,
        errorbar=interval_of_mean, err_kws={"linewidth": 1.2},
    )  # fmt: skip
    axis.set_xlim(left=0)  # no error lies below zero, whatever an interval says
    axis.grid(axis="x", linewidth=0.3)
    axis.set(ylabel="", **labels)


@matplotlib.rc_context(STYLE)
def background_against_crowd(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """People counted where nobody is, against people missed or counted twice where some are; a dot per seed.

    On the dashed line the two cancel: the count is right on average and the map is not.

    Args: as `dot_plot`.
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
    seaborn.scatterplot(
        columns, x="background", y="crowd", hue="method", style="method", ax=axis, palette=palette, s=34
    )
    reach = max(axis.get_xlim()[1], -axis.get_ylim()[0], 1.0)
    axis.plot([0, reach], [0, -reach], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axis.axhline(0, color=BLACK, linewidth=0.6, zorder=0)
    lowest = min(*columns["crowd"], -1.0)
    axis.set(xlim=(0, None), ylim=(1.2 * lowest, None), xlabel="people predicted on the background, an image")
    axis.set_ylabel("error on the crowd, people an image")
    seaborn.move_legend(axis, "center left", bbox_to_anchor=(1, 0.5), frameon=False, title=None)
    return figure


def save_pictures(out: Path, found: Mapping[str, Any], titles: Mapping[str, str]) -> list[Path]:
    """The three pictures of a benchmark, with what they show as their description; their paths."""
    seeds = f"{len(found['seeds'])} seeds"
    pictures = {
        "mae.png": (dot_plot, f"MAE of every method: {seeds}, mean, 95 % interval of the mean."),
        "crowd_size.png": (error_by_crowd_size, f"MAE by thirds of the images, by people: {seeds}."),
    }
    on_both = f"Error on the background against error on the crowd: {seeds}."
    pictures["background_and_crowd.png"] = (background_against_crowd, on_both)
    for name, (draw, description) in pictures.items():
        plotting.save(draw(found, titles), out / name, description)
    return [out / name for name in pictures]
