"""Exercises of notebook 10: what makes a translation come back, what its discriminator learns, what it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdcda_tutorial.teaching.exercises import exercise, require


def _near(value: float, expected: float, tolerance: float = 1e-4) -> bool:
    return abs(value - expected) <= tolerance


def _number(returned: Any) -> float:
    require(
        isinstance(returned, Tensor | float | int | np.generic) and torch.as_tensor(returned).numel() == 1,
        "return one number: a loss is a mean over everything.",
    )
    value = float(returned)
    require(math.isfinite(value), f"the loss should be finite, not {value}.")
    return value


@exercise(
    "10.1",
    "There and back again",
    difficulty=1,
    minutes=6,
    praise="a translation may paint as it likes, as long as the way back is still in the picture.",
)
def cycle_loss(answer: Callable[..., Any]) -> None:
    x = torch.linspace(0.2, 0.8, 24).reshape(2, 3, 2, 2)
    error = torch.tensor([[[[0.1, -0.2], [0.0, 0.3]]], [[[-0.1, 0.2], [0.2, 0.0]]]])  # of every channel

    def forth(image: Tensor) -> Tensor:
        return image / 4 + 0.5

    def back(image: Tensor) -> Tensor:
        return 4 * image - 2 + error

    value = _number(answer(x, forth, back))
    for wrong in (forth(x) - x, back(x) - x):
        require(
            not _near(value, 2 * float(wrong.abs().mean())) and not _near(value, float(wrong.abs().mean())),
            "that compares a translation with the image. It is to be different; what must agree is the *cycle*.",
        )
    other = forth(back(x)) - x
    require(
        not _near(value, 2 * float(other.abs().mean())) and not _near(value, float(other.abs().mean())),
        "the image is of the source: first `forth`, and `back` of what comes out.",
    )
    size = float(error.abs().mean())
    require(
        not _near(value, size),
        "nearly: images here are in [0, 1], and the weight 10 was chosen for [-1, 1], where every difference is twice "
        "as large.",
    )
    require(
        not any(_near(value, factor * size * count) for factor in (1, 2) for count in (12, 24)),
        "that is a sum over the pixels; the loss is the mean over all pixels, channels and images.",
    )
    squares = float(error.square().mean())
    require(
        not any(_near(value, factor * squares) or _near(value, factor * math.sqrt(squares)) for factor in (1, 2, 4)),
        "you squared. CycleGAN takes the absolute difference: squares forgive small ones, and pictures get blurred.",
    )
    signed = float(error.mean())
    require(
        not any(_near(abs(value), factor * signed) for factor in (1, 2)),
        "too bright in one pixel and too dark in the next do not make up for each other: absolute values first, then "
        "the mean.",
    )
    require(
        _near(value, 2 * size),
        f"the cycles are off by 0, 0.1, 0.2 or 0.3, by {size:.4f} on average; the loss is twice that, not {value:.4f}",
    )


@exercise(
    "10.2",
    "What a discriminator of patches minimises",
    difficulty=2,
    minutes=6,
    praise="least squares: an output beyond its label is pulled back, as one that falls short is pulled on.",
)
def patch_loss(answer: Callable[..., Any]) -> None:
    real, made = torch.tensor([[[[0.9, 0.5], [1.0, 0.6]]]]), torch.tensor([[[[0.1, 0.3], [0.0, 0.4]]]])
    of_real = (0.01 + 0.25 + 0 + 0.16) / 4
    of_made = (0.01 + 0.09 + 0 + 0.16) / 4
    expected = (of_real + of_made) / 2
    value = _number(answer(real, made))
    turned = float((real.square().mean() + (made - 1).square().mean()) / 2)
    require(
        not _near(value, turned) and not _near(value, 2 * turned),
        "the labels are the wrong way round: D should say 1 to real patches and 0 to made ones.",
    )
    require(not _near(value, of_real + of_made), "the half is missing: each kind of patch counts half.")
    require(
        not any(_near(value, part) for part in (of_real, of_real / 2, of_made, of_made / 2)),
        "only one of the two is in it: D learns from real *and* from made patches.",
    )
    require(not _near(value, 4 * expected), "that is a sum over the patches; the loss is their mean.")
    entropy = float((torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(made).mean()) / 2)
    require(
        not _near(value, entropy) and not _near(value, 2 * entropy),
        "that is the cross-entropy of notebook 07. CycleGAN compares the outputs with 1 and 0 as they are, by squares.",
    )
    squashed = float(((real.sigmoid() - 1).square().mean() + made.sigmoid().square().mean()) / 2)
    require(
        not _near(value, squashed) and not _near(value, 2 * squashed),
        "no sigmoid: the outputs are compared with 1 and 0 as they are.",
    )
    absolute = float(((real - 1).abs().mean() + made.abs().mean()) / 2)
    require(not _near(value, absolute), "these are absolute differences; least squares are asked for.")
    require(_near(value, expected), f"by hand it is half of 0.105 and half of 0.065: 0.085, not {value:.4f}.")
    each = "real and made patches may differ in number: take the mean of each kind by itself, then half of both."
    try:
        uneven = answer(torch.full((1, 1, 2, 3), 0.5), torch.full((1, 1, 5, 4), 0.2))
    except RuntimeError:
        require(False, each)
    require(_near(_number(uneven), (0.25 + 0.04) / 2), each)


@exercise(
    "10.3",
    "A memory for the discriminator",
    difficulty=2,
    minutes=8,
    praise="half of the made images come to D late, so a trick that worked on an earlier D is tried on later ones too.",
)
def exchange(answer: Callable[..., Any]) -> None:
    def asked(pool: list[str], image: str, coin: float, place: int, capacity: int = 3) -> tuple[str, list[str]]:
        given = list(pool)
        shown = answer(given, capacity, image, coin, place)
        require(isinstance(shown, str), "return the image that D is shown: the new one, or one of the pool.")
        return shown, given

    shown, pool = asked([], "a", 0.1, 0)
    require(shown == "a", "there is nothing old yet: show the new image.")
    require(
        pool == ["a"],
        "while the pool is not full, every new image goes into it: into the list that was given, not into a copy.",
    )
    for coin in (0.1, 0.9):
        shown, pool = asked(["a", "b"], "c", coin, 0)
        require(
            (shown, pool) == ("c", ["a", "b", "c"]),
            "two of three places are taken: whatever the coin says, the new image goes into the pool and is shown; "
            f"with a coin of {coin} you show {shown!r} and have {pool}.",
        )
    for coin in (0.9, 0.5):
        shown, pool = asked(["a", "b", "c"], "d", coin, 1)
        require(len(pool) == 3, f"the pool holds 3 images at most; yours has grown to {len(pool)}.")
        require(
            (shown, pool) == ("d", ["a", "b", "c"]),
            "with a coin of 0.5 or more the new image is shown and the pool stays as it is; with a coin of "
            f"{coin} you show {shown!r} and have {pool}.",
        )
    shown, pool = asked(["a", "b", "c"], "d", 0.3, 1)
    require(shown != "d", "below 0.5 an *old* image is shown, the one at `place`.")
    require(shown == "b", f"the old image is the one at `place`, 'b' here; you show {shown!r}.")
    require(
        pool == ["a", "d", "c"],
        f"the new image takes the place of the old one that is shown: ['a', 'd', 'c'], not {pool}. Otherwise the pool "
        "never gets any younger.",
    )
    shown, pool = asked(["a", "b"], "c", 0.3, 0, capacity=2)
    require(
        (shown, pool) == ("a", ["c", "b"]),
        f"a pool of 2, a coin below 0.5 and place 0: 'a' is shown and ['c', 'b'] are left, not {shown!r} and {pool}.",
    )
