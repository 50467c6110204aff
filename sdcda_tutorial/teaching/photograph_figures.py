"""Figures and tables of notebook 11: a large image seen in tiles, and what happened on real photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sdcda_tutorial.evaluation.colours import BLACK, METHODS, ORANGE
from sdcda_tutorial.evaluation.pictures import STYLE, show_pixels
from sdcda_tutorial.experiments.benchmark import METHOD_TITLES
from sdcda_tutorial.markdown import markdown_table

Place = tuple[slice, slice]


@matplotlib.rc_context(STYLE)
def tiles_and_difference(image: np.ndarray, tile: Place, seen: Place, difference: Tensor) -> Figure:
    """A tile (white) and what is seen for it (orange) in an image; and where tiles have changed its density map.

    `difference` (H, W) is in parts of the map's maximum.
    """
    figure = Figure(figsize=(10, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    show_pixels(left, image, "a tile (white) with its margin (orange)")
    for (rows, columns), colour in ((tile, "white"), (seen, ORANGE)):
        height, width = (min(s.stop, side) - s.start for s, side in zip((rows, columns), image.shape[:2], strict=True))
        left.add_patch(Rectangle((columns.start, rows.start), width, height, fill=False, edgecolor=colour, linewidth=2))
    drawn = show_pixels(right, difference, "change of the map by tiles without a margin", brightest=0.05)
    figure.colorbar(drawn, ax=right, extend="max", label="part of the map's maximum")
    return figure


def errors_by_image(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Absolute errors of the count by method, (seeds, images), of results whose seeds share their test images."""
    true = np.array(found["images"]["count"])
    counted = {method: np.array(list(of.values())) for method, of in found["images"]["predicted"].items()}
    return {method: np.abs(counts - true) for method, counts in counted.items()}


def photographs_table(found: Mapping[str, Any]) -> str:
    """A row per method: MAE and where the error lies, in people, mean ± standard deviation over seeds."""
    rows = []
    for method in found["images"]["predicted"]:
        of_target = found["summary"][f"{method} / target"]
        figures = [
            f"{of_target[name]['mean']:.1f} ± {of_target[name]['sd']:.1f}" for name in ("mae", "background", "crowd")
        ]
        rows.append([METHOD_TITLES[method], *figures])
    return markdown_table(["people per image", "MAE", "background", "crowd"], rows, aligned=False)


@matplotlib.rc_context(STYLE)
def predicted_against_true(found: Mapping[str, Any], methods: tuple[str, ...]) -> Figure:
    """Predicted against true counts, a panel per method, a mark per image and seed; the line is a perfect count."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, len(methods), sharex=True, sharey=True)
    for axis, method in zip(axes, methods, strict=True):
        of_seeds = list(found["images"]["predicted"][method].values())
        true = [found["images"]["count"]] * len(of_seeds)
        axis.scatter(true, of_seeds, s=14, color=METHODS[method], alpha=0.8, linewidths=0)
        axis.plot([0, 600], [0, 600], color=BLACK, linewidth=0.8)
        axis.set(title=METHOD_TITLES[method], xlabel="true count, people")
    axes[0].set(ylabel="predicted count, people", xlim=(0, 600), ylim=(0, None))
    return figure
