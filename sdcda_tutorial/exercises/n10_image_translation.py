"""Exercises of notebook 10: what makes a translation come back, what its discriminator learns, what it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdcda_tutorial.exercises import exercise, require


def _near(value: float, expected: float, tolerance: float = 1e-4) -> bool:
    return abs(value - expected) <= tolerance


def _number(returned: Any) -> float:
    require(
        isinstance(returned, Tensor | float | int) and torch.as_tensor(returned).numel() == 1,
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
    x = torch.tensor([[[[0.2, 0.4], [0.6, 0.8]]]])

    def forth(image: Tensor) -> Tensor:
        return image / 4 + 0.5

    def back(image: Tensor) -> Tensor:
        return 4 * image - 1.9  # comes back 0.1 too bright

    value = _number(answer(x, forth, back))
    require(
        not _near(value, 2 * float((forth(x) - x).abs().mean()))
        and not _near(value, float((forth(x) - x).abs().mean())),
        "that compares the translation with the image. It is to be different; what must agree is the *cycle*.",
    )
    other = forth(back(x))
    require(
        not _near(value, 2 * float((other - x).abs().mean())) and not _near(value, float((other - x).abs().mean())),
        "the image is of the source: first `forth`, and `back` of what comes out.",
    )
    require(
        not _near(value, 0.1),
        "nearly: images here are in [0, 1], and the weight 10 was chosen for [-1, 1], where every difference is twice "
        "as large.",
    )
    require(not _near(value, 0.8), "that is the sum over the pixels; the loss is their mean.")
    require(
        not _near(value, 0.02) and not _near(value, 0.01) and not _near(value, 0.04),
        "you squared. CycleGAN takes the absolute difference: squares forgive small ones, and pictures get blurred.",
    )
    require(
        _near(value, 0.2), f"every pixel comes back 0.1 too bright, 0.2 in units of half the range: not {value:.3f}."
    )
    darker = _number(answer(x, forth, lambda image: 4 * image - 2.1))
    require(
        _near(darker, 0.2),
        f"a cycle that comes back 0.1 too dark is as bad as one too bright: 0.2, not {darker:.3f}.",
    )


@exercise(
    "10.2",
    "What a discriminator of patches minimises",
    difficulty=2,
    minutes=6,
    praise="least squares: a patch that is judged right, but not surely, still pulls.",
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
    require(
        not _near(value, of_real + of_made),
        "the half is missing: D learns from two sets of patches a step and should not move twice as far for it.",
    )
    require(
        not _near(value, of_real) and not _near(value, of_real / 2) and not _near(value, of_made),
        "only one of the two is in it: D learns from real *and* from made patches.",
    )
    require(not _near(value, 4 * expected), "that is a sum over the patches; the loss is their mean.")
    entropy = float((torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(made).mean()) / 2)
    require(
        not _near(value, entropy) and not _near(value, 2 * entropy),
        "that is the cross-entropy of notebook 07. CycleGAN compares the outputs with 1 and 0 as they are, by squares.",
    )
    absolute = float(((real - 1).abs().mean() + made.abs().mean()) / 2)
    require(not _near(value, absolute), "these are absolute differences; least squares are asked for.")
    require(_near(value, expected), f"by hand it is half of 0.105 and half of 0.065: 0.085, not {value:.4f}.")
    undecided = _number(answer(torch.full((1, 1, 2, 3), 0.5), torch.full((1, 1, 5, 4), 0.5)))
    require(
        _near(undecided, 0.25),
        f"a D that says 1/2 everywhere has a loss of 1/4, however many patches there are on either side, not "
        f"{undecided:.4f}.",
    )


@exercise(
    "10.3",
    "A memory for the discriminator",
    difficulty=2,
    minutes=8,
    praise="half of what D sees is old, so a generator cannot win by returning to a trick that D has forgotten.",
)
def exchange(answer: Callable[..., Any]) -> None:
    def asked(pool: list[str], image: str, coin: float, place: int) -> tuple[str, list[str]]:
        given = list(pool)
        shown = answer(given, 3, image, coin, place)
        require(isinstance(shown, str), "return the image that D is shown: the new one, or one of the pool.")
        return shown, given

    shown, pool = asked([], "a", 0.1, 0)
    require(shown == "a", "there is nothing old yet: show the new image.")
    require(pool == ["a"], "while the pool is not full, every new image goes into it.")
    shown, pool = asked(["a", "b"], "c", 0.1, 0)
    require(
        (shown, pool) == ("c", ["a", "b", "c"]),
        f"two of three places are taken: the new image goes into the pool and is shown; you show {shown!r} and have "
        f"{pool}.",
    )
    shown, pool = asked(["a", "b", "c"], "d", 0.9, 1)
    require(len(pool) == 3, f"the pool holds 3 images at most; yours has grown to {len(pool)}.")
    require(
        (shown, pool) == ("d", ["a", "b", "c"]),
        "with a coin of 0.5 or more the new image is shown and the pool stays as it is; you show "
        f"{shown!r} and have {pool}.",
    )
    shown, pool = asked(["a", "b", "c"], "d", 0.3, 1)
    require(shown != "d", "below 0.5 an *old* image is shown, the one at `place`.")
    require(shown == "b", f"the old image is the one at `place`, 'b' here; you show {shown!r}.")
    require(
        pool == ["a", "d", "c"],
        f"the new image takes the place of the old one that is shown: ['a', 'd', 'c'], not {pool}. Otherwise the pool "
        "never gets any younger.",
    )
