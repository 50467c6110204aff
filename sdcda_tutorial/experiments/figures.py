"""Figures of a benchmark's results: which method is better by how much, for which crowds, and where it errs.

Every figure shows each seed. A method has its colour of `colours.METHODS`, the paper's is the strong one; in black
stand the mean over the seeds and its 95 % interval.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from sdcda_tutorial.evaluation import pictures as plotting
from sdcda_tutorial.evaluation.colours import BLACK, GREY, LIGHT, METHODS
from sdcda_tutorial.evaluation.pictures import STYLE
from sdcda_tutorial.experiments.presets import split_run_name
from sdcda_tutorial.experiments.statistics import counts, errors, methods_of

_PAPERS = "se+fd"  # the paper's method: drawn larger, and above the others
_COUNTER_MARKS = {"paper": "o", "sfcn": "^"}


def colour_of(method: str) -> str:
    """The colour of a method in every figure, whatever its counter; a variant has that of the method it varies."""
    _, plain = split_run_name(method.partition("@")[0])
    return METHODS.get(plain, GREY)


def interval_of_mean(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of a few values, by Student's t; a single value gives itself twice."""
    mean, n = float(np.mean(values)), len(values)
    reach = 0.0 if n < 2 else float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean - reach, mean + reach


def per_seed(found: Mapping[str, Any], method: str, domain: str = "target", figure: str = "mae") -> np.ndarray:
    """One figure of a method, a value for each seed of a benchmark, in the order of its seeds."""
    cells = {cell["seed"]: cell for cell in found["cells"] if (cell["method"], cell["domain"]) == (method, domain)}
    return np.array([cells[seed][figure] for seed in found["seeds"]])


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
    methods = methods_of(found)
    figure = Figure(figsize=(size[0], size[1] + 0.3 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)
    for which, (axis, part) in enumerate(zip(axes.flat, parts, strict=True)):
        rows = {}
        for method in methods:
            of_seeds = zip(counts(found, method, "count"), errors(found, method), strict=True)
            means = [error[np.array_split(np.argsort(true), len(parts))[which]] for true, error in of_seeds]
            rows[method] = [float(chosen.mean()) for chosen in means if len(chosen)]
        _draw_rows(axis, rows, titles)
        axis.set(title=part, xlabel=label)
        axis.set_xlim(left=0)  # no error lies below zero, whatever an interval says
    return figure


@matplotlib.rc_context(STYLE)
def both_domains(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """MAE on the target and on the source, each on its own scale; a thin line joins the values of a seed.

    Takes what `dot_plot` takes, also of a benchmark that was stored without its images.
    """
    methods = [key.removesuffix(" / target") for key in found["summary"] if key.endswith(" / target")]
    figure = Figure(figsize=(9.5, 0.8 + 0.3 * len(methods)), layout="constrained")
    for axis, domain in zip(figure.subplots(1, 2, sharey=True), ("target", "source"), strict=True):
        rows = {method: per_seed(found, method, domain) for method in methods}
        axis.plot(np.array(list(rows.values())), range(len(rows)), color=LIGHT, linewidth=0.6, zorder=0)
        _draw_rows(axis, rows, titles)
        axis.set(xlabel=f"MAE on the {domain}, people")
        axis.set_xlim(left=0)
    return figure


@matplotlib.rc_context(STYLE)
def difference_plot(
    found: Mapping[str, Any],
    pairs: Sequence[tuple[str, str]],
    titles: Mapping[str, str],
    *,
    linear: float | None = None,
) -> Figure:
    """MAE on the target of a method minus that of another, seed by seed: a row of dots for each of the pairs.

    Args:
        pairs: the method and what it is compared with; a row has the colour of the method.
        linear: the scale is linear up to so many people on either side, and logarithmic beyond.
    """
    rows = {pair: per_seed(found, pair[0]) - per_seed(found, pair[1]) for pair in pairs}
    names = {pair: f"{titles[pair[0]]} − {titles[pair[1]]}" for pair in pairs}
    figure = Figure(figsize=(9.0, 0.8 + 0.27 * len(rows)), layout="constrained")
    axis = figure.subplots()
    if linear is not None:
        axis.set_xscale("symlog", linthresh=linear)
    axis.axvline(0, color=BLACK, linewidth=0.8, zorder=0)
    _draw_rows(axis, rows, names)
    if linear is not None:
        low, high = axis.get_xlim()
        ticks = [tick for tick in linear * np.array([-10, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10]) if low <= tick <= high]
        axis.set_xticks(ticks, [f"{tick:+g}".replace("-", "−") if tick else "0" for tick in ticks])
    axis.set(xlabel="difference of the MAE on the target, people: left of zero, the first is better")
    return figure


def _draw_rows(axis: Axes, rows: Mapping[Any, Sequence[float] | np.ndarray], titles: Mapping[Any, str]) -> None:
    """A row of dots for each method, from the top; key is its name, or a pair that begins with it."""
    for place, (key, values) in enumerate(rows.items()):
        method = key if isinstance(key, str) else key[0]
        size, colour = 34 if method.endswith(_PAPERS) else 20, colour_of(method)
        axis.scatter(values, [place] * len(values), s=size, color=colour, alpha=0.85, zorder=2)
        if len(values):
            axis.plot(interval_of_mean(values), [place] * 2, color=BLACK, linewidth=1.0, zorder=1)
            axis.plot(np.mean(values), place, "|", color=BLACK, markersize=12, markeredgewidth=1.6, zorder=3)
    axis.set_yticks(range(len(rows)), [titles.get(key, str(key)) for key in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)  # the first is on top
    axis.grid(axis="x", linewidth=0.3)
    axis.set_axisbelow(True)


@matplotlib.rc_context(STYLE)
def background_against_crowd(found: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """People predicted on the background against the error on the crowd; a mark per seed, arguments as in `dot_plot`.

    On the dashed line the two cancel: the count is right on average and the map is not. The mark says which counter.
    """
    figure = Figure(figsize=(6.5, 3.6), layout="constrained")
    axis = figure.subplots()
    for method in methods_of(found):
        predicted, background, true = (counts(found, method, what) for what in ("predicted", "background", "count"))
        on_background = [float(of_seed.mean()) for of_seed in background]
        crowd = [float((p - b - y).mean()) for p, b, y in zip(predicted, background, true, strict=True)]
        strong = method.endswith(_PAPERS)
        axis.scatter(
            on_background, crowd, s=60 if strong else 34, color=colour_of(method), zorder=3 if strong else 2,
            marker=_COUNTER_MARKS.get(split_run_name(method)[0], "s"), alpha=0.85, label=titles.get(method, method),
        )  # fmt: skip
    dots = np.concatenate([np.asarray(drawn.get_offsets()) for drawn in axis.collections])
    right, lowest = 1.05 * max(*dots[:, 0], 1.0), min(*dots[:, 1], -1.0)
    axis.plot([0, right], [0, -right], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
    axis.axhline(0, color=BLACK, linewidth=0.6, zorder=0)
    axis.set(xlim=(-0.02 * right, right), ylim=(1.2 * lowest, None))  # no mark on the border is cut
    axis.set(xlabel="people predicted on the background, per image", ylabel="error on the crowd, people per image")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


# How their descriptions begin, by which earlier ones are known.
PICTURES = {
    "mae.png": "MAE of every method",
    "crowd_size.png": "MAE by thirds of the images",
    "background_and_crowd.png": "Error on the background against error on the crowd",
}


def save_pictures(out: Path, found: Mapping[str, Any], titles: Mapping[str, str]) -> list[Path]:
    """Save the `PICTURES` of a benchmark, with descriptions; returns their paths."""
    seeds = f"{len(found['seeds'])} seeds"
    drawn = (
        (dot_plot, f": {seeds}, mean, 95 % interval of the mean."),
        (error_by_crowd_size, f", by people: {seeds}."),
        (background_against_crowd, f": {seeds}."),
    )
    for (name, beginning), (draw, rest) in zip(PICTURES.items(), drawn, strict=True):
        plotting.save(draw(found, titles), out / name, beginning + rest)
    return [out / name for name in PICTURES]
