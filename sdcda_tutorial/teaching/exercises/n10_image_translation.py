"""Exercises of notebook 10: what a cycle compares, what a discriminator of patches learns, what it is shown."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sdcda_tutorial.teaching.exercises import Answer, Hint, Mistakes, exercise, expect, number, require

NOT_FINITE = [math.nan, math.inf, -math.inf]


@exercise("10.1", "There and back again", difficulty=1, minutes=6)
def cycle_loss(answer: Answer) -> None:
    """a translation may paint as it likes, as long as the way back is still in the picture."""
    x = torch.linspace(0.2, 0.8, 24).reshape(2, 3, 2, 2)
    error = torch.tensor([[[[0.1, -0.2], [0.0, 0.3]]], [[[-0.1, 0.2], [0.2, 0.0]]]])  # of every channel

    def forth(image: Tensor) -> Tensor:
        return image / 4 + 0.5

    def back(image: Tensor) -> Tensor:
        return 4 * image - 2 + error

    def times(factors: tuple[int, ...], *values: Tensor) -> list[float]:
        return [factor * float(value) for factor in factors for value in values]

    size, signed, squares = error.abs().mean(), error.mean(), error.square().mean()
    squared = times((1, 2, 4), squares, squares.sqrt())
    one_way = times((1, 2), (forth(x) - x).abs().mean(), (back(x) - x).abs().mean())
    other_way, either_sign = times((1, 2), (forth(back(x)) - x).abs().mean()), times((1, 2, -1, -2), signed)
    mistakes: Mistakes = {
        "the loss should be finite, not {found}.": NOT_FINITE,
        "this compares one translation with the image. It is meant to differ; what must agree is the *cycle*.": one_way,
        "the image is of the source: first `forth`, then `back` of the result.": other_way,
        "nearly: the weight 10 was chosen for images in [-1, 1], where every difference is twice as large.": size,
        "this is a sum over the pixels; take the mean over pixels, channels and images.": times((12, 24, 48), size),
        "you squared. CycleGAN takes the absolute difference: squares forgive small ones and blur the image.": squared,
        "too bright and too dark do not make up for each other: absolute values first, then the mean.": either_sign,
    }
    closing = "the cycles are off by 0, 0.1, 0.2 or 0.3, by 0.1375 on average; the loss is twice that, not {found:.4f}."
    expect(number(answer(x, forth, back)), 2 * size, closing, mistakes)


@exercise("10.2", "What a discriminator of patches minimises", difficulty=2, minutes=6)
def patch_loss(answer: Answer) -> None:
    """least squares: an output beyond its label is pulled back, as one that falls short is pulled on."""
    real, made = torch.tensor([[[[0.9, 0.5], [1.0, 0.6]]]]), torch.tensor([[[[0.1, 0.3], [0.0, 0.4]]]])

    def halved_or_not(of_real: Tensor, of_made: Tensor) -> list[Tensor]:
        return [(of_real.mean() + of_made.mean()) / 2, of_real.mean() + of_made.mean()]

    swapped = halved_or_not(real.square(), (made - 1).square())
    squashed = halved_or_not((real.sigmoid() - 1).square(), made.sigmoid().square())
    absolute = halved_or_not((real - 1).abs(), made.abs())[0]
    entropy = halved_or_not(softplus(-real), softplus(made))
    mistakes: Mistakes = {
        "the loss should be finite, not {found}.": NOT_FINITE,
        "the labels are the wrong way round: D should say 1 to real patches and 0 to made ones.": swapped,
        "the half is missing: each kind of patch counts half.": 0.17,
        "only one of the two is in it: D learns from real *and* from made patches.": [0.105, 0.0525, 0.065, 0.0325],
        "this is a sum over the patches; the loss is their mean.": 0.34,
        "this is the cross-entropy of notebook 07. CycleGAN squares the distance from 1 and 0.": entropy,
        "no sigmoid: the outputs are compared with 1 and 0 as they are.": squashed,
        "these are absolute differences; least squares are asked for.": absolute,
    }
    expect(number(answer(real, made)), 0.085, "half of 0.105 and half of 0.065 is 0.085, not {found:.4f}.", mistakes)
    each = "real and made patches may differ in number: take the mean of each kind by itself, then half of both."
    try:
        uneven = answer(torch.full((1, 1, 2, 3), 0.5), torch.full((1, 1, 5, 4), 0.2))
    except RuntimeError:  # the shapes do not fit
        raise Hint(each) from None
    expect(number(uneven), (0.25 + 0.04) / 2, each)


@exercise("10.3", "A memory for the discriminator", difficulty=2, minutes=8)
def exchange(answer: Answer) -> None:
    """half of the made images come to D late, so a trick that worked on an earlier D is tried on later ones too."""

    def asked(pool: list[str], image: str, coin: float, place: int, capacity: int = 3) -> tuple[str, list[str]]:
        given = list(pool)
        shown = answer(given, capacity, image, coin, place)
        require(isinstance(shown, str), "return the image that D is shown: the new one, or one of the pool.")
        return shown, given

    shown, pool = asked([], "a", 0.1, 0)
    require(shown == "a", "there is nothing old yet: show the new image.")
    require(pool == ["a"], "while the pool is not full, every new image goes into it: not into a copy.")
    for coin in (0.1, 0.9):
        shown, pool = asked(["a", "b"], "c", coin, 0)
        rule = "two of three places are taken: whatever the coin says, the new image goes into the pool and is shown"
        yours = f"with a coin of {coin} you show {shown!r} and have {pool}."
        require((shown, pool) == ("c", ["a", "b", "c"]), f"{rule}; {yours}")
    for coin in (0.9, 0.5):
        shown, pool = asked(["a", "b", "c"], "d", coin, 1)
        require(len(pool) == 3, f"the pool holds 3 images at most; yours has grown to {len(pool)}.")
        rule = "with a coin of 0.5 or more the new image is shown and the pool stays as it is"
        yours = f"with a coin of {coin} you show {shown!r} and have {pool}."
        require((shown, pool) == ("d", ["a", "b", "c"]), f"{rule}; {yours}")
    shown, pool = asked(["a", "b", "c"], "d", 0.3, 1)
    require(shown != "d", "below 0.5 an *old* image is shown, the one at `place`.")
    require(shown == "b", f"the old image is the one at `place`, 'b' here; you show {shown!r}.")
    rule = "the new image replaces the old one that is shown. Otherwise the pool never gets any younger"
    require(pool == ["a", "d", "c"], f"{rule}: ['a', 'd', 'c'], not {pool}.")
    shown, pool = asked(["a", "b"], "c", 0.3, 0, capacity=2)
    rule = "a pool of 2, a coin below 0.5 and place 0: 'a' is shown and ['c', 'b'] are left"
    require((shown, pool) == ("a", ["c", "b"]), f"{rule}, not {shown!r} and {pool}.")
