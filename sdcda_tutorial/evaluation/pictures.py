"""Pictures in one style: colour-blind safe, and every one with a text that says what is seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.files import atomic_path

DENSITY = "magma"  # even in lightness, so it can be read in grey and by every kind of colour vision
OVERLAY_SIDE = 2000  # pixels of the longer side; drawn at 1200, so no detail is lost
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 110,
    "savefig.dpi": 150,
}


def panel(
    samples: Sequence[Sample],
    truths: Sequence[Tensor],
    predictions: Mapping[str, Sequence[Tensor]],
) -> Figure:
    """Fig. 2 of the paper: one row an image; the image, the true map, then one column a method, counts printed.

    All maps of a row share one colour scale, that of the true map, so that a brighter spot is more people. Where nobody
    is, it is that of the predictions.

    Args:
        samples: images.
        truths: (H, W) true density map of each.
        predictions: title -> (H, W) predicted map of each image.
    """
    columns = ["image", "truth", *predictions]
    with matplotlib.rc_context(STYLE):
        height, width = samples[0].size
        figure = Figure(figsize=(2.6 * len(columns), 2.6 * len(samples) * height / width + 0.5), layout="constrained")
        axes = figure.subplots(len(samples), len(columns), squeeze=False)
        for i, sample in enumerate(samples):
            axes[i, 0].imshow(sample.image)
            maps = [truths[i], *(maps_of_method[i] for maps_of_method in predictions.values())]
            brightest = float(truths[i].max()) or max(*(float(density.max()) for density in maps), 1e-6)
            for j, density in enumerate(maps, start=1):
                axes[i, j].imshow(np.asarray(density), cmap=DENSITY, vmin=0, vmax=brightest)
                count = f"{float(density.sum()):.1f}" if j > 1 else f"{sample.count}"
                axes[i, j].text(
                    0.97, 0.95, count, transform=axes[i, j].transAxes, color="white", ha="right", va="top",
                    fontweight="bold",
                )  # fmt: skip
        for j, title in enumerate(columns):
            axes[0, j].set_title(title)
        for axis in axes.flat:
            axis.set_axis_off()
    return figure


def overlay(image: np.ndarray, density: Tensor) -> Figure:
    """A photograph with the predicted density laid over it, and the count in the corner.

    A large one is reduced by a whole factor to at most `OVERLAY_SIDE` pixels: its blocks to their mean colour and to
    the sum of their people, so the count stays.
    """
    count, block = float(density.sum(dtype=torch.float64)), math.ceil(max(density.shape) / OVERLAY_SIDE)
    if block > 1:
        image = np.asarray(Image.fromarray(image).reduce(block))
        density = F.avg_pool2d(density[None, None], block, ceil_mode=True, divisor_override=1)[0, 0]
    values = np.asarray(density)
    # Transparent where nobody is; the square root shows single heads beside dense crowds.
    strength = np.sqrt(np.clip(values / max(float(values.max()), 1e-6), 0, 1))
    colours = matplotlib.colormaps[DENSITY](0.25 + 0.75 * strength)
    colours[..., 3] = strength * 0.85
    with matplotlib.rc_context(STYLE):
        height, width = values.shape
        inch = max(height, width) / 8  # the longer side is 8 inches, whatever the photograph's shape
        figure = Figure(figsize=(max(width / inch, 0.1), max(height / inch, 0.1)))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.imshow(image)
        axis.imshow(colours)
        axis.text(
            0.98, 0.97, f"{count:.1f} people", transform=axis.transAxes, ha="right", va="top",
            color="white", fontsize=14, fontweight="bold", bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0},
        )  # fmt: skip
        axis.set_axis_off()
    return figure


def save(figure: Figure, path: str | Path, description: str, origin: str | None = None) -> None:
    """Write a PNG atomically; `description`, what a reader who cannot see the picture should know, goes into it.

    So does `origin`, which `origin_of` gives back.
    """
    metadata = {"Description": description, "Software": None, "Source": origin}
    with atomic_path(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", metadata=metadata)


def origin_of(path: str | Path) -> str | None:
    """The `origin` with which `save` wrote a picture; None for every other file."""
    try:
        with Image.open(path) as image:
            return image.info.get("Source")
    except (OSError, SyntaxError, ValueError):
        return None
