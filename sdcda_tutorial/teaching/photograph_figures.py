"""Figures and tables of notebook 11: what happened on real photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.evaluation.colours import BLACK, METHODS
from sdcda_tutorial.evaluation.pictures import STYLE
from sdcda_tutorial.experiments.benchmark_rows import EARLY, METHOD_TITLES, titles
from sdcda_tutorial.experiments.statistics import counts, difference, errors, methods_of
from sdcda_tutorial.markdown import markdown_table

LEFT_OUT = "best", "best 5", "worst 5"  # images that gain most, or lose most


def better_baseline(found: Mapping[str, Any]) -> str:
    """Of the two source-only counters, stopped where the adaptation begins or not, the one with the lower MAE."""
    return min((EARLY, "noadapt"), key=lambda method: found["summary"][f"{method} / target"]["mae"]["mean"])


def photographs_table(found: Mapping[str, Any]) -> str:
    """A row per method: MAE, MSE and where the error lies, in people, mean ± standard deviation over seeds."""
    rows = []
    for method, title in titles(methods_of(found)).items():
        of_target = found["summary"][f"{method} / target"]
        figures = (of_target[name] for name in ("mae", "mse", "background", "crowd"))
        rows.append([title, *(f"{figure['mean']:.1f} ± {figure['sd']:.1f}" for figure in figures)])
    return markdown_table(["people per image", "MAE", "MSE", "background", "crowd"], rows, aligned=False)


def gains(found: Mapping[str, Any], method: str) -> np.ndarray:
    """Per image of the target, how much smaller the error of a method is than `better_baseline`'s, mean over seeds."""
    pairs = zip(errors(found, better_baseline(found)), errors(found, method), strict=True)
    return np.mean([before - after for before, after in pairs], axis=0)


def gains_table(found: Mapping[str, Any]) -> str:
    """A row per method that adapts: its MAE minus `better_baseline`'s, and on how many images the difference rests."""
    rows, base = [], better_baseline(found)
    for method, title in titles(methods_of(found)).items():
        if method in (EARLY, "noadapt"):
            continue
        one = difference(errors(found, method), errors(found, base), base, same_images=True)
        largest_last = np.sort(gains(found, method))
        parts = largest_last[:-1], largest_last[:-5], largest_last[5:]
        rows.append([
            title, f"{one.mae:+.1f}", f"{one.low:+.1f} to {one.high:+.1f}", f"{one.lower_on} of {one.seeds}",
            f"{(largest_last > 0).mean():.0%}", *(f"{-part.mean():+.1f}" for part in parts),
        ])  # fmt: skip
    header = f"MAE minus that of {METHOD_TITLES[base]}"
    columns = ["all images", "95 % interval", "seeds", "images better", *(f"without the {n}" for n in LEFT_OUT)]
    return markdown_table([header, *columns], rows, aligned=False)


@matplotlib.rc_context(STYLE)
def predicted_against_true(found: Mapping[str, Any], methods: tuple[str, ...]) -> Figure:
    """Predicted against true counts, a panel per method, a mark per image and seed; the line is a perfect count.

    Rings mark the image whose error falls most from the first method to the last.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, len(methods), sharex=True, sharey=True)
    before, after = (np.mean(errors(found, method), axis=0) for method in (methods[0], methods[-1]))
    most = int((before - after).argmax())
    for axis, method in zip(axes, methods, strict=True):
        true = counts(found, method, "count")
        ringed = [[of_seed[most] for of_seed in values] for values in (true, counts(found, method))]
        axis.scatter(true, counts(found, method), s=14, color=METHODS[method], alpha=0.8, linewidths=0)
        axis.scatter(*ringed, s=60, facecolor="none", edgecolor=BLACK, linewidths=0.8)
        axis.plot([0, np.max(true)], [0, np.max(true)], color=BLACK, linewidth=0.8)
        axis.set(title=METHOD_TITLES[method], xlabel="true count, people")
    axes[0].set(ylabel="predicted count, people", xlim=(0, None), ylim=(0, None))
    return figure
