"""Pictures in one style, safe for colour-blind readers, and saved with a description."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image
from torch import Tensor, nn

from sdcda_tutorial.datasets.images import image_size, opened, read_image_at_least
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.colours import DENSITY
from sdcda_tutorial.files import atomic_path, file_digest, in_utf8
from sdcda_tutorial.prediction import predict_density

OVERLAY_SIDE = 2000  # pixels of the longer side; drawn at 1200, so no detail is lost
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
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


@matplotlib.rc_context(STYLE)
def overlay(image: np.ndarray, density: Tensor) -> Figure:
    """A photograph with the predicted density laid over it, and the count in the corner.

    A large one is reduced by a whole factor to at most `OVERLAY_SIDE` pixels: the mean of colours, the sum of people.
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
    height, width = values.shape
    inch = max(height, width) / 8  # the longer side is 8 inches
    figure = Figure(figsize=(max(width / inch, 0.1), max(height / inch, 0.1)))
    axis = figure.add_axes((0, 0, 1, 1))
    show_pixels(axis, image)
    show_pixels(axis, colours)
    axis.text(
        0.98, 0.97, f"{count:.1f} people", transform=axis.transAxes, ha="right", va="top",
        color="white", fontsize=14, fontweight="bold", bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0},
    )  # fmt: skip
    return figure


def save_overlay(out: Path, photo: Path, counter: nn.Module, max_side: int | None = None) -> str:
    """Count the people in a photograph and write its `overlay` to `out`; returns the count and the overlay's path.

    The overlay has the name of the photograph and replaces only an earlier overlay of the same photograph. If the name
    is taken (by another photograph of that name, or a picture of the user's own) it becomes NAME-2.png and so on.

    Args:
        max_side: a photograph whose longer side exceeds this is shrunk to it first.
    """
    size = image_size(photo, upright=True)
    scale = 1.0 if max_side is None else min(1.0, max_side / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    image = resize_image(read_image_at_least(photo, (height, width), upright=True)[0], (height, width))
    density = predict_density(counter, image)
    origin = file_digest(photo)
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    paths = (out / f"{photo.stem}{number}.png" for number in numbers)
    path = next(path for path in paths if not path.exists() or origin_of(path) == origin)
    count = f"{float(density.sum(dtype=torch.float64)):.1f} people"
    save(overlay(image, density), path, f"{photo.name} with the predicted density: {count}", origin)
    return f"{count}, {path}"


def save(figure: Figure, path: str | Path, description: str, origin: str | None = None) -> None:
    """Write a PNG atomically, with a description for readers who cannot see it, and an `origin` for `origin_of`."""
    metadata = {"Description": in_utf8(description), "Software": None, "Source": origin}
    with atomic_path(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", metadata=metadata)


def origin_of(path: str | Path) -> str | None:
    """The `origin` with which `save` wrote a picture; None for every other file."""
    try:
        with opened(path) as image:
            return image.info.get("Source")
    except InputError:
        return None
