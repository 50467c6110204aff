"""Demo of notebook 11: your own photograph, counted at the size that you choose."""

import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets.images import image_size, read_image_at
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.pictures import row, show_pixels
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching.demos import choice, explore, slider

LONGEST = 1024  # pixels of the longer side, so that the demo answers in about a second
MOST_BYTES = 10 * 2**20  # a larger message closes the connection of JupyterLab's server to the page
UPLOAD = f"your photograph, at most {MOST_BYTES >> 20} MB"  # said before it is chosen, not after


def render_own_photo(
    image: np.ndarray, counters: Mapping[str, nn.Module], counter: str, side: int, opacity: float
) -> Figure:
    """A photograph as the counter sees it, with a longer side of `side` pixels, and with the density laid over it.

    `side` decides how large the heads are. The density has an opacity of 0 to 1, and is transparent where nobody is.
    """
    seen = resize_image(image, _size_at(image.shape[:2], side))
    density = _density(counters[counter], seen.tobytes(), seen.shape)
    height, width = density.shape
    count = f"{counter}: {float(density.sum()):.1f} people"
    figure = row({f"seen at {width} × {height} pixels": seen, count: seen}, height=min(5 * height / width, 8) + 0.4)
    # The square root shows single heads beside dense crowds.
    strength = (density / density.max().clamp(min=1e-6)).clamp(0, 1).sqrt().numpy()
    show_pixels(figure.axes[1], strength, count, brightest=1, alpha=strength * opacity)
    return figure


def own_photo(counters: Mapping[str, nn.Module], stand_in: np.ndarray) -> ipywidgets.VBox:
    """Choose a photograph to replace `stand_in`, a counter, the size, and the opacity of the density."""
    layout = {"width": "max-content"}
    controls = {
        "upload": ipywidgets.FileUpload(accept="image/*", description=UPLOAD, layout=layout),
        "counter": choice("counter", list(counters)),
        "side": slider("longer side, pixels", 256, 128, LONGEST, 32),
        "opacity": slider("density laid over", 0.8, 0, 1, 0.1),
    }

    def render(upload: Any, **values: Any) -> Figure:
        chosen = uploaded(upload)
        return render_own_photo(photograph(*chosen) if chosen else stand_in, counters, **values)

    return explore(render, controls)


def uploaded(value: Any) -> tuple[str, bytes] | None:
    """Name and content of the file in a FileUpload (ipywidgets 8: a sequence; 7: a dict by name); None without one."""
    files = [{"name": name, **file} for name, file in value.items()] if isinstance(value, Mapping) else list(value)
    return (str(files[-1]["name"]), bytes(files[-1]["content"])) if files else None


@lru_cache(maxsize=2)
def photograph(name: str, content: bytes) -> np.ndarray:
    """The image in a file, turned upright by its EXIF and shrunk to `LONGEST`.

    Raises:
        InputError: more than `MOST_BYTES`, or not an image.
    """
    if len(content) > MOST_BYTES:
        raise InputError(f"{name} has more than {MOST_BYTES >> 20} MB; shrink it, or count it with `predict_density`")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photograph"
        path.write_bytes(content)
        try:
            full = image_size(path, upright=True)
            size = _size_at(full, min(LONGEST, max(full)))
            return read_image_at(path, size, upright=True)[0]
        except InputError as error:
            why = str(error).replace(str(path), "the file")  # its name is that of a temporary one
            raise InputError(f"{name} cannot be read as a picture ({why})") from None


def _size_at(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """(height, width) in the proportions of `size`, with a longer side of `side` pixels."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@lru_cache(maxsize=8)
def _density(counter: nn.Module, pixels: bytes, shape: tuple[int, ...]) -> Tensor:
    """The density map of an image given as bytes, cached because the forward pass is slow."""
    return predict_density(counter, np.frombuffer(pixels, np.uint8).reshape(shape).copy())
