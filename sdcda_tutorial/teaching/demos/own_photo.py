"""Demo of notebook 11: your own photograph, counted at the size that you choose."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets.images import image_size, read_image_at_least
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.pictures import row, show_pixels
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching.demos import choice, explore, slider

LONGEST = 1024  # pixels; more of a photograph is not kept: a demo should answer in about a second
MOST_BYTES = 10 * 2**20  # more in one message closes the connection of JupyterLab's server to the page


def render_own_photo(
    image: np.ndarray, counters: Mapping[str, nn.Module], counter: str, side: int, opacity: float
) -> Figure:
    """A photograph as the counter sees it, and with the density laid over it.

    Args:
        image: (H, W, 3) uint8.
        counters: title -> E and C.
        side: pixels of the longer side that the counter sees, which decides how large the heads are.
        opacity: of the density, 0 to 1; it is transparent where nobody is.
    """
    seen = resize_image(image, _size_at(image.shape[:2], side / max(image.shape[:2])))
    density = _density(counters[counter], seen.tobytes(), seen.shape)
    height, width = density.shape
    count = f"{counter}: {float(density.sum()):.1f} people"
    figure = row({f"seen at {width} × {height} pixels": seen, count: seen}, height=min(5 * height / width, 8) + 0.4)
    # The square root shows single heads beside dense crowds.
    strength = (density / density.max().clamp(min=1e-6)).clamp(0, 1).sqrt().numpy()
    show_pixels(figure.axes[1], strength, count, brightest=1, alpha=strength * opacity)
    return figure


def own_photo(counters: Mapping[str, nn.Module], stand_in: np.ndarray) -> ipywidgets.VBox:
    """A button to choose a photograph, in place of `stand_in`; which counter, at which size, how strong the density."""
    controls = {
        "upload": ipywidgets.FileUpload(
            accept="image/*", multiple=False, description="your photograph", layout={"width": "max-content"}
        ),
        "counter": choice("counter", list(counters)),
        "side": slider("longer side, pixels", 256, 128, LONGEST, 32),
        "opacity": slider("density laid over", 0.8, 0, 1, 0.1),
    }
    return explore(_render_upload, controls, {"counters": counters, "stand_in": stand_in})


def uploaded(value: Any) -> tuple[str, bytes] | None:
    """Name and content of the file that a FileUpload holds; None if no file has been chosen.

    The widget's value is a sequence of files in ipywidgets 8, and a dict of them by name in ipywidgets 7.
    """
    files = [{"name": name, **file} for name, file in value.items()] if isinstance(value, Mapping) else list(value)
    return (str(files[-1]["name"]), bytes(files[-1]["content"])) if files else None


@lru_cache(maxsize=2)
def photograph(name: str, content: bytes) -> np.ndarray:
    """The picture in a file's content, upright as its EXIF says, shrunk to `LONGEST`: (H, W, 3) uint8.

    Raises:
        InputError: more than `MOST_BYTES`, or no picture.
    """
    if len(content) > MOST_BYTES:
        raise InputError(f"{name} has more than {MOST_BYTES >> 20} MB; shrink it, or count it with `predict_density`")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photograph"
        path.write_bytes(content)
        try:
            full = image_size(path, upright=True)
            size = _size_at(full, min(1.0, LONGEST / max(full)))
            return resize_image(read_image_at_least(path, size, upright=True)[0], size)
        except InputError:  # which names our temporary file
            raise InputError(
                f"{name} cannot be read as a picture; choose a JPEG or PNG that other programs open"
            ) from None


def _render_upload(upload: Any, stand_in: np.ndarray, **values: Any) -> Figure:
    chosen = uploaded(upload)
    return render_own_photo(stand_in if chosen is None else photograph(*chosen), **values)


def _size_at(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = size
    return max(1, round(height * scale)), max(1, round(width * scale))


@lru_cache(maxsize=8)
def _density(counter: nn.Module, pixels: bytes, shape: tuple[int, ...]) -> Tensor:
    """Kept, since the forward pass is the slow part."""
    return predict_density(counter, np.frombuffer(pixels, np.uint8).reshape(shape).copy())
