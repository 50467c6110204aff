"""Count the people in a photograph and lay the density over it: `sdcda predict`."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import nn

from sdcda_tutorial.datasets.images import image_size, read_image_at_least
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.evaluation import pictures as plotting
from sdcda_tutorial.files import file_digest
from sdcda_tutorial.prediction import predict_density


def save_overlay(out: Path, photo: Path, counter: nn.Module, max_side: int | None = None) -> str:
    """Count the people in a photograph and write the overlay to `out`; returns the count and the overlay's path.

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
    path = next(path for path in paths if not path.exists() or plotting.origin_of(path) == origin)
    count = f"{float(density.sum(dtype=torch.float64)):.1f} people"
    description = f"{photo.name} with the predicted density: {count}"
    plotting.save(plotting.overlay(image, density), path, description, origin)
    return f"{count}, {path}"
