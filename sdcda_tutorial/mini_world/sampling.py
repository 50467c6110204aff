"""How a scene is sampled: perspective, crowd, clothes. Hour and weather of each domain are in `weather.py`."""

from __future__ import annotations

import numpy as np

from sdcda_tutorial.datasets.scene_regularization import CAPACITY
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.mini_world.scene import DOMAINS, HEAD_RADIUS, SPLITS, Colour, Domain, Person, Scene, Split, shifted
from sdcda_tutorial.mini_world.weather import sample_conditions

SMALLEST_PERSON = 11.0  # pixels
SMALLEST_SIDE = 96  # pixels of an image; in a lower one even the nearest people would be smaller than that

SKINS: tuple[Colour, ...] = ((241, 205, 178), (224, 178, 145), (198, 145, 110), (150, 103, 74), (104, 70, 50))
HAIRS: tuple[Colour, ...] = ((28, 24, 24), (48, 34, 26), (84, 56, 34), (150, 112, 62), (120, 116, 112))
SHIRTS: tuple[Colour, ...] = (
    (190, 52, 48), (44, 84, 150), (236, 236, 230), (40, 42, 48), (214, 160, 46), (66, 122, 78),
    (120, 70, 128), (226, 128, 136), (98, 160, 190), (128, 128, 132), (222, 108, 40), (70, 60, 54),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((38, 46, 76), (34, 34, 38), (96, 88, 76), (62, 66, 72), (128, 108, 84), (70, 92, 130))
_PALETTES = (SKINS, HAIRS, SHIRTS, SHIRTS, TROUSERS)


def scene_generator(seed: int, domain: Domain, split: Split, index: int) -> np.random.Generator:
    """The generator of one image: independent of every other image, so images can be made in any order."""
    return np.random.default_rng([seed, DOMAINS.index(domain), SPLITS.index(split), index])


def sample_scene(rng: np.random.Generator, domain: Domain, *, size: tuple[int, int] = (192, 256)) -> Scene:
    """Sample one scene of a domain: perspective, crowd, clothes, weather and time.

    The number of people is lognormal (median 45, σ 0.7, within 3 ... 200; for the third domain median 14). Coordinates
    are in pixels of an image of `size` (height, width); sizes of people grow with the height of the image.

    Raises:
        InputError: a side is below `SMALLEST_SIDE`.
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
    hour, weather = sample_conditions(rng, domain)
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
        inside = farthest <= feet < below and 0 <= x < width and 0 <= y < height
        if not inside or _too_near(heads[: len(people)], x, y, HEAD_RADIUS * tall):
            spread[cluster] *= 1.01  # a cluster that is full or outside the picture must not hold us up for ever
            continue
        heads[len(people)] = x, y, HEAD_RADIUS * tall
        people.append(_person(rng, x, y, tall))
    return tuple(sorted(people, key=lambda p: (p.feet, p.x)))


def _too_near(heads: np.ndarray, x: float, y: float, radius: float) -> bool:
    apart = np.maximum(heads[:, 2], radius)
    return bool((np.hypot(heads[:, 0] - x, heads[:, 1] - y) < apart).any())


def _person(rng: np.random.Generator, x: float, y: float, height: float) -> Person:
    """Somebody with the head at x, y; everyone is dressed from the same wardrobe, whatever the domain."""
    choices, offsets = rng.random(len(_PALETTES)).tolist(), rng.integers(-14, 15, (len(_PALETTES), 3)).tolist()
    skin, hair, shirt, stripe, trousers = [
        shifted(palette[int(choice * len(palette))], offset)
        for palette, choice, offset in zip(_PALETTES, choices, offsets, strict=True)
    ]
    build, stride, back, long_hair, striped = rng.random(5).tolist()
    return Person(
        x, y, height, build=round(13.5 + 5 * build) / 16, stride=2 * stride - 1,
        back=back < 0.4, long_hair=long_hair < 0.35, striped=striped < 0.25,
        skin=skin, hair=hair, shirt=shirt, stripe=stripe, trousers=trousers,
    )  # fmt: skip


def _quarter(value: float) -> float:
    return round(float(value) * 4) / 4
