"""What a scene is: where people stand, how tall they are, what they wear. No pixel is painted here.

Everything that labels an image (head points, boxes, counts) follows from these numbers alone and comes from one seeded
generator (`sampling.py`). Rendering has its own generator, so a change to the pictures can never move a head. Positions
and heights are rounded to quarter pixels: the last digit of a logarithm, which may differ between machines, cannot
matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Colour = tuple[int, int, int]  # red, green, blue in 0 ... 255
Domain = Literal["source", "target", "third"]
Split = Literal["train", "test"]
DOMAINS: tuple[Domain, ...] = ("source", "target", "third")
SPLITS: tuple[Split, ...] = ("train", "test")

SCALE = 2  # everything is painted that much larger and reduced at the end, which gives smooth edges
HEAD_RADIUS = 0.085  # of a person's height
HALF_WIDTH = 0.20  # of a person's height, arms included, for a person of build 1


@dataclass(frozen=True)
class Person:
    """One person; x, y is the centre of the head and `height` head to heel, all in pixels of the final image."""

    x: float
    y: float
    height: float
    build: float  # width relative to the average
    stride: float  # -1 ... 1, how far the legs are apart and which one is in front
    back: bool  # seen from behind: the head is all hair
    long_hair: bool
    striped: bool
    skin: Colour
    hair: Colour
    shirt: Colour
    stripe: Colour
    trousers: Colour

    @property
    def head_radius(self) -> float:
        return HEAD_RADIUS * self.height

    @property
    def half_width(self) -> float:
        return HALF_WIDTH * self.build * self.height

    @property
    def top(self) -> float:
        return self.y - self.head_radius

    @property
    def feet(self) -> float:
        return self.top + self.height


@dataclass(frozen=True)
class Scene:
    """A crowd seen by a camera: geometry and conditions."""

    domain: Domain  # game-like, photograph-like, or with large people for the mask model
    size: tuple[int, int]  # (height, width) in pixels
    horizon: float  # row at which people would be infinitely small
    growth: float  # pixels of body height per row below the horizon, measured at the feet
    people: tuple[Person, ...]  # in the order of painting, far to near
    level: int  # GCC's level 0 ... 8, see `datasets.scene_regularization.CAPACITY`
    hour: int
    minute: int
    weather: int  # GCC's code 0 ... 6, named in `weather.py`
    drawing_seed: int  # of everything in the picture that labels nothing

    @property
    def points(self) -> np.ndarray:
        """(N, 2) float64 head centres as (x, y), all inside the image."""
        return np.array([(p.x, p.y) for p in self.people], dtype=np.float64).reshape(-1, 2)

    @property
    def head_boxes(self) -> np.ndarray:
        """(N, 4) float64 (x0, y0, x1, y1) around the heads; may reach over the border."""
        rows = [(p.x - p.head_radius, p.top, p.x + p.head_radius, p.y + p.head_radius) for p in self.people]
        return np.array(rows, dtype=np.float64).reshape(-1, 4)

    @property
    def full_boxes(self) -> np.ndarray:
        """(N, 4) float64 (x0, y0, x1, y1) around whole bodies, hidden parts included; may reach over the border."""
        rows = [(p.x - p.half_width, p.top, p.x + p.half_width, p.feet) for p in self.people]
        return np.array(rows, dtype=np.float64).reshape(-1, 4)

    def height_at(self, row: float) -> float:
        """Height in pixels of an average person whose feet are at `row`."""
        return max(self.growth * (row - self.horizon), 0.0)


def geometry_digest(scene: Scene) -> str:
    """A SHA-256 of all that labels a scene: points, boxes, count and attributes, in quarter-pixel integers."""
    attributes = repr((scene.domain, scene.size, scene.level, scene.hour, scene.weather)).encode()
    quarters = np.rint(np.hstack([scene.points, scene.head_boxes, scene.full_boxes]) * 4)
    return hashlib.sha256(attributes + quarters.astype("<i4").tobytes()).hexdigest()


def scaled(colour: Colour, factor: float) -> Colour:
    """A lighter (factor above 1) or darker colour."""
    red, green, blue = colour  # written out, as below: a scene mixes a thousand colours
    return min(int(red * factor), 255), min(int(green * factor), 255), min(int(blue * factor), 255)


def shifted(colour: Colour, offset: Sequence[int]) -> Colour:
    """The colour plus an offset in each channel."""
    (red, green, blue), (more_red, more_green, more_blue) = colour, offset
    return (
        min(max(red + more_red, 0), 255),
        min(max(green + more_green, 0), 255),
        min(max(blue + more_blue, 0), 255),
    )


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """From `first` (share 0) to `second` (share 1)."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue
