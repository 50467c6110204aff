"""Figures in one style, safe for colour-blind readers, and saved with a description."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from sdcda_tutorial.datasets.images import opened
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.colours import DENSITY
from sdcda_tutorial.files import atomic_path, in_utf8, refuse_read_only

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # where it stands anyway; to look for ticks above the axes is slow
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 110,
    "savefig.dpi": 150,
}


def show_pixels(
    axis: Axes, pixels: Any, title: str = "", brightest: float | None = None, cmap: str = DENSITY, **options: Any
) -> AxesImage:
    """Show an image (H, W, 3) uint8 or a map (H, W) on an axis, without ticks.

    The colours of a map run from 0 to `brightest`, by default its maximum. `options` are those of `Axes.imshow`.
    """
    axis.set_title(title)
    axis.set_axis_off()
    return axis.imshow(np.asarray(pixels), cmap=cmap, vmin=0, vmax=brightest, **options)


def row(pictures: Mapping[str, Any], height: float, brightest: float | None = None, **options: Any) -> Figure:
    """Images and maps by title, side by side, in a figure of 10 × `height` inches; arguments as in `show_pixels`."""
    figure = Figure(figsize=(10, height), layout="constrained")
    axes = figure.subplots(1, len(pictures), squeeze=False)
    for axis, (title, pixels) in zip(axes.flat, pictures.items(), strict=True):
        show_pixels(axis, pixels, title, brightest, **options)
    return figure


@matplotlib.rc_context(STYLE)
def panel(samples: Sequence[Sample], truths: Sequence[Tensor], predictions: Mapping[str, Sequence[Tensor]]) -> Figure:
    """Fig. 2 of the paper: a row per image with the image, its true map and one map per method, counts printed.

    All maps of a row share the colour scale of the true map, or of the predictions if the image shows nobody. Truths
    and the predictions of a title hold one (H, W) map per sample.
    """
    columns = ["image", "truth", *predictions]
    height, width = samples[0].size
    figure = Figure(figsize=(2.6 * len(columns), 2.6 * len(samples) * height / width + 0.5), layout="constrained")
    axes = figure.subplots(len(samples), len(columns), squeeze=False)
    for i, sample in enumerate(samples):
        maps = [truths[i], *(of_method[i] for of_method in predictions.values())]
        brightest = float(truths[i].max()) or max(*(float(density.max()) for density in maps), 1e-6)
        counts = ["", f"{sample.count}", *(f"{float(density.sum()):.1f}" for density in maps[1:])]
        for axis, pixels, title, count in zip(axes[i], [sample.image, *maps], columns, counts, strict=True):
            show_pixels(axis, pixels, "" if i else title, brightest)
            if count:
                axis.text(
                    0.97, 0.95, count, transform=axis.transAxes, color="white", ha="right", va="top", fontweight="bold"
                )
    return figure


def save(figure: Figure, path: str | Path, description: str) -> None:
    """Write a PNG atomically, with a description for readers who cannot see it."""
    metadata = {"Description": in_utf8(description), "Software": None}
    with atomic_path(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", metadata=metadata)


def refuse_other_picture(path: str | Path, beginning: str) -> None:
    """Raise an InputError where `save` would replace a picture whose description does not begin so."""
    if os.path.lexists(path):
        try:
            with opened(path) as image:
                ours = str(image.info.get("Description", "")).startswith(beginning)
        except InputError:
            ours = False
        if not ours:
            raise InputError(f"{path} is not ours and would be lost; move it away or name another place")
        refuse_read_only(path)
