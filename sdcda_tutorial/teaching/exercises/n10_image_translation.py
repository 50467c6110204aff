"""Exercises of notebook 10: what a cycle compares, what a discriminator of patches learns, what it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from sdcda_tutorial.teaching.exercises import exercise, expect, require


def _number(returned: Any) -> float:
    require(
        isinstance(returned, Tensor | float | int | np.generic) and torch.as_tensor(returned).numel() == 1,
        "return one number: a loss is a mean over everything.",
    )
    value = float(returned)
    require(math.isfinite(value), f"the loss should be finite, not {value}.")
    return value


@exercise("10.1", "There and back again", difficulty=1, minutes=6)
def cycle_loss(answer: Callable[..., Any]) -> None:
    """a translation may paint as it likes, as long as the way back is still in the picture."""
    x = torch.linspace(0.2, 0.8, 24).reshape(2, 3, 2, 2)
    error = torch.tensor([[[[0.1, -0.2], [0.0, 0.3]]], [[[-0.1, 0.2], [0.2, 0.0]]]])  # of every channel

    def forth(image: Tensor) -> Tensor:
        return image / 4 + 0.5

    def back(image: Tensor) -> Tensor:
        return 4 * image - 2 + error

    def distance(image: Tensor) -> float:
        return float((image - x).abs().mean())

    value, size = _number(answer(x, forth, back)), float(error.abs().mean())
    one_way, other, signed = [distance(forth(x)), distance(back(x))], distance(forth(back(x))), float(error.mean())
    squares = float(error.square().mean())
    mistakes: dict[str, Any] = {
        "this compares a translation with the image. A translation should differ; what must agree is the *cycle*.": [
            factor * wrong for wrong in one_way for factor in (1, 2)
        ],
        "the image is of the source: first `forth`, then `back` of the result.": [other, 2 * other],
        "nearly: images here are in [0, 1], and the weight 10 was chosen for [-1, 1], where every difference is twice "
        "as large.": size,
        "this is a sum over the pixels; the loss is the mean over all pixels, channels and images.": [
            factor * size * count for factor in (1, 2) for count in (12, 24)
        ],
        "you squared. CycleGAN takes the absolute difference: squares forgive small ones, and images become blurred.": [
            factor * wrong for wrong in (squares, math.sqrt(squares)) for factor in (1, 2, 4)
        ],
        "too bright in one pixel and too dark in the next do not make up for each other: absolute values first, then "
        "the mean.": [factor * signed for factor in (1, 2, -1, -2)],
    }
    closing = f"the cycles are off by 0, 0.1, 0.2 or 0.3, by {size:.4f} on average; the loss is twice that, not "
    expect(value, 2 * size, f"{closing}{value:.4f}.", mistakes)


@exercise("10.2", "What a discriminator of patches minimises", difficulty=2, minutes=6)
def patch_loss(answer: Callable[..., Any]) -> None:
    """least squares: an output beyond its label is pulled back, as one that falls short is pulled on."""
    real, made = torch.tensor([[[[0.9, 0.5], [1.0, 0.6]]]]), torch.tensor([[[[0.1, 0.3], [0.0, 0.4]]]])
    value = _number(answer(real, made))

    def half(of_real: Tensor, of_made: Tensor) -> float:
        return float((of_real.mean() + of_made.mean()) / 2)

    turned = half(real.square(), (made - 1).square())
    entropy = half(softplus(-real), softplus(made))
    squashed = half((real.sigmoid() - 1).square(), made.sigmoid().square())
    mistakes: dict[str, Any] = {
        "the labels are the wrong way round: D should say 1 to real patches and 0 to made ones.": [turned, 2 * turned],
        "the half is missing: each kind of patch counts half.": 0.17,
        "only one of the two is in it: D learns from real *and* from made patches.": [0.105, 0.0525, 0.065, 0.0325],
        "this is a sum over the patches; the loss is their mean.": 0.34,
        "this is the cross-entropy of notebook 07. CycleGAN compares the outputs with 1 and 0 by squares.": [
            entropy,
            2 * entropy,
        ],
        "no sigmoid: the outputs are compared with 1 and 0 as they are.": [squashed, 2 * squashed],
        "these are absolute differences; least squares are asked for.": half((real - 1).abs(), made.abs()),
    }
    expect(value, 0.085, f"by hand it is half of 0.105 and half of 0.065: 0.085, not {value:.4f}.", mistakes)
    each = "real and made patches may differ in number: take the mean of each kind by itself, then half of both."
    try:
        uneven = answer(torch.full((1, 1, 2, 3), 0.5), torch.full((1, 1, 5, 4), 0.2))
    except RuntimeError:
        uneven = -1.0  # shapes that do not fit
    expect(_number(uneven), (0.25 + 0.04) / 2, each)


@exercise("10.3", "A memory for the discriminator", difficulty=2, minutes=8)
def exchange(answer: Callable[..., Any]) -> None:
    """half of the made images come to D late, so a trick that worked on an earlier D is tried on later ones too."""

    def asked(pool: list[str], image: str, coin: float, place: int, capacity: int = 3) -> tuple[str, list[str]]:
        given = list(pool)
        shown = answer(given, capacity, image, coin, place)
        require(isinstance(shown, str), "return the image that D is shown: the new one, or one of the pool.")
        return shown, given

    shown, pool = asked([], "a", 0.1, 0)
    require(shown == "a", "there is nothing old yet: show the new image.")
    require(
        pool == ["a"], "while the pool is not full, every new image goes into it: the list itself, not into a copy."
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
        f"the new image replaces the old one that is shown: ['a', 'd', 'c'], not {pool}. Otherwise the pool never gets "
        "any younger.",
    )
    shown, pool = asked(["a", "b"], "c", 0.3, 0, capacity=2)
    require(
        (shown, pool) == ("a", ["c", "b"]),
        f"a pool of 2, a coin below 0.5 and place 0: 'a' is shown and ['c', 'b'] are left, not {shown!r} and {pool}.",
    )
