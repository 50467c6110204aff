"""What a scene is: where people stand, how tall they are, what they wear. No pixel is drawn here.

Everything that labels an image (head points, boxes, counts) follows from these numbers alone and comes from one seeded
generator. Drawing has a generator of its own, so a change to the pictures can never move a head. Positions and heights
are rounded to quarter pixels: a difference in the last digit of a logarithm between two machines cannot matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdcda_tutorial.datasets.scene_regularization import CAPACITY
from sdcda_tutorial.errors import InputError

Domain = Literal["source", "target", "third"]
Split = Literal["train", "test"]
DOMAINS: tuple[Domain, ...] = ("source", "target", "third")
SPLITS: tuple[Split, ...] = ("train", "test")

HEAD_RADIUS = 0.085  # of a person's height
HALF_WIDTH = 0.20  # of a person's height, arms included, for a person of build 1
SMALLEST_PERSON = 11.0  # pixels
SMALLEST_SIDE = 96  # pixels of an image; in a lower one even the nearest people would be smaller than that
FINE_WEATHER = (0, 1, 5, 6)  # clear, clouds, overcast, extra-sunny

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = ((241, 205, 178), (224, 178, 145), (198, 145, 110), (150, 103, 74), (104, 70, 50))
HAIRS: tuple[Colour, ...] = ((28, 24, 24), (48, 34, 26), (84, 56, 34), (150, 112, 62), (120, 116, 112))
SHIRTS: tuple[Colour, ...] = (
    (190, 52, 48), (44, 84, 150), (236, 236, 230), (40, 42, 48), (214, 160, 46), (66, 122, 78),
    (120, 70, 128), (226, 128, 136), (98, 160, 190), (128, 128, 132), (222, 108, 40), (70, 60, 54),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((38, 46, 76), (34, 34, 38), (96, 88, 76), (62, 66, 72), (128, 108, 84), (70, 92, 130))


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
    def top(self) -> float:
        return self.y - self.head_radius

    @property
    def feet(self) -> float:
        return self.top + self.height


@dataclass(frozen=True)
class Scene:
    """A crowd seen by a camera: geometry and conditions.

    Attributes:
        domain: "source" (game-like), "target" (photograph-like) or "third" (large people, for the mask model).
        size: (height, width) in pixels.
        horizon: row at which people would be infinitely small.
        growth: pixels of body height per row below the horizon, measured at the feet.
        people: in the order of painting, far to near.
        level: GCC's level 0 ... 8, see `CAPACITY`; weather: GCC's code 0 ... 6; hour, minute: time of the day.
        drawing_seed: seed of everything that is drawn and labels nothing.
    """

    domain: Domain
    size: tuple[int, int]
    horizon: float
    growth: float
    people: tuple[Person, ...]
    level: int
    hour: int
    minute: int
    weather: int
    drawing_seed: int

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
        rows = []
        for p in self.people:
            half_width = HALF_WIDTH * p.build * p.height
            rows.append((p.x - half_width, p.top, p.x + half_width, p.feet))
        return np.array(rows, dtype=np.float64).reshape(-1, 4)

    def height_at(self, row: float) -> float:
        """Height in pixels of an average person whose feet are at `row`."""
        return max(self.growth * (row - self.horizon), 0.0)


def scene_generator(seed: int, domain: Domain, split: Split, index: int) -> np.random.Generator:
    """The generator of one image: independent of every other image, so images can be made in any order."""
    return np.random.default_rng([seed, DOMAINS.index(domain), SPLITS.index(split), index])


def sample_scene(rng: np.random.Generator, domain: Domain, *, size: tuple[int, int] = (192, 256)) -> Scene:
    """Draw one scene of a domain: perspective, crowd, clothes, weather and time.

    The number of people is lognormal (median 45, σ 0.7, within 3 ... 200; for the third domain median 14). Coordinates
    are in pixels of an image of `size` (height, width); sizes of people grow with the height of the image.
    """
    height, width = size
    if height < SMALLEST_SIDE or width < SMALLEST_SIDE:
        raise InputError(f"a scene of {height}×{width} pixels is too small; use {SMALLEST_SIDE} or more a side")
    horizon = _quarter(height * rng.uniform(0.14, 0.30))
    nearest = height * rng.uniform(0.15, 0.23)  # body height of somebody whose feet touch the lower border
    if domain == "third":
        nearest *= rng.uniform(2.0, 3.0)
    growth = nearest / (height - horizon)
    count = int(np.clip(round(float(rng.lognormal(np.log(14 if domain == "third" else 45), 0.7))), 3, 200))
    people = _crowd(rng, count, size, horizon, growth)
    tightest = next(level for level, capacity in enumerate(CAPACITY) if capacity >= count)
    if domain == "source":
        hour, weather = int(rng.integers(24)), int(rng.choice(7, p=(0.22, 0.18, 0.08, 0.08, 0.06, 0.13, 0.25)))
    else:  # real data sets are taken by day, mostly in fair weather
        hour, weather = int(rng.integers(8, 19)), int(rng.choice(FINE_WEATHER))
    return Scene(
        domain=domain,
        size=size,
        horizon=horizon,
        growth=growth,
        people=people,
        level=min(tightest + int(rng.choice(3, p=(0.6, 0.3, 0.1))), 8),
        hour=hour,
        minute=int(rng.integers(60)),
        weather=weather,
        drawing_seed=int(rng.integers(2**62)),
    )


def geometry_digest(scenes: Iterable[Scene]) -> str:
    """A SHA-256 of all that labels the scenes: points, boxes, counts and attributes, in quarter-pixel integers."""
    digest = hashlib.sha256()
    for scene in scenes:
        digest.update(repr((scene.domain, scene.size, scene.level, scene.hour, scene.weather)).encode())
        quarters = np.rint(np.hstack([scene.points, scene.head_boxes, scene.full_boxes]) * 4)
        digest.update(quarters.astype("<i4").tobytes())
    return digest.hexdigest()


def _crowd(
    rng: np.random.Generator, count: int, size: tuple[int, int], horizon: float, growth: float
) -> tuple[Person, ...]:
    """`count` people in clusters on the ground plane, no two heads closer than about one head radius."""
    height, width = size
    farthest = horizon + SMALLEST_PERSON * 1.08 / growth  # feet of the smallest people allowed
    below = height + 0.5 * growth * (height - horizon)  # people cut off by the lower border
    clusters = int(rng.integers(2, 7))
    centre_x = rng.uniform(0, width, clusters)
    centre_feet = farthest + (height - farthest) * rng.uniform(0.05, 1.0, clusters) ** 1.2
    spread = rng.uniform(0.8, 2.6, clusters)  # in body heights

    people: list[Person] = []
    heads = np.empty((count, 3))  # x, y, radius of the people placed so far
    while len(people) < count:
        cluster = int(rng.integers(clusters))
        scale = growth * (centre_feet[cluster] - horizon) * spread[cluster]
        if rng.random() < 0.2:  # somebody who walks alone
            x, feet = rng.uniform(0, width), rng.uniform(farthest, height)
        else:
            x, feet = rng.normal(centre_x[cluster], scale), rng.normal(centre_feet[cluster], 0.45 * scale)
        tall = max(_quarter(growth * (feet - horizon) * rng.uniform(0.93, 1.07)), SMALLEST_PERSON)
        x, y = _quarter(x), _quarter(feet - (1 - HEAD_RADIUS) * tall)
        placed = heads[: len(people)]
        apart = np.maximum(placed[:, 2], HEAD_RADIUS * tall)
        inside = farthest <= feet < below and 0 <= x < width and 0 <= y < height
        if not inside or np.any(np.hypot(placed[:, 0] - x, placed[:, 1] - y) < apart):
            spread[cluster] *= 1.01  # a cluster that is full or outside the picture must not hold us up for ever
            continue
        heads[len(people)] = x, y, HEAD_RADIUS * tall
        people.append(_person(rng, x, y, tall))
    return tuple(sorted(people, key=lambda p: (p.feet, p.x)))


def _person(rng: np.random.Generator, x: float, y: float, height: float) -> Person:
    """Somebody with the head at x, y; everyone is dressed from the same wardrobe, whatever the domain."""
    palettes = (SKINS, HAIRS, SHIRTS, SHIRTS, TROUSERS)
    choices, offsets = rng.random(len(palettes)), rng.integers(-14, 15, (len(palettes), 3)).tolist()
    skin, hair, shirt, stripe, trousers = (
        _shifted(palette[int(choice * len(palette))], offset)
        for palette, choice, offset in zip(palettes, choices, offsets, strict=True)
    )
    build, stride, back, long_hair, striped = rng.random(5).tolist()
    return Person(
        x=x,
        y=y,
        height=height,
        build=round(13.5 + 5 * build) / 16,
        stride=2 * stride - 1,
        back=back < 0.4,
        long_hair=long_hair < 0.35,
        striped=striped < 0.25,
        skin=skin,
        hair=hair,
        shirt=shirt,
        stripe=stripe,
        trousers=trousers,
    )


def _shifted(colour: Colour, offset: Sequence[int]) -> Colour:
    red, green, blue = (min(max(channel + change, 0), 255) for channel, change in zip(colour, offset, strict=True))
    return red, green, blue


def _quarter(value: float) -> float:
    return round(float(value) * 4) / 4
