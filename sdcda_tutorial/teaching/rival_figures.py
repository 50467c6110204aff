"""Tables and figures of notebook 10: the rivals of Table 1 beside the paper's method, each with both counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from sdcda_tutorial.evaluation.colours import BLACK, LIGHT, METHODS
from sdcda_tutorial.evaluation.pictures import STYLE
from sdcda_tutorial.experiments.benchmark import METHOD_TITLES
from sdcda_tutorial.markdown import markdown_table

COUNTERS = {"": "the paper's counter", "sfcn-": "SFCN"}  # what stands before a method's name in the results
COMPARED = ("noadapt", "cyclegan", "se-cyclegan", "se+fd")


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
