"""Exercises of notebook 10: what a cycle allows, what the identity term asks, what D is shown, what hangs on a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdcda_tutorial.teaching.exercises import (
    Answer,
    Mistakes,
    exercise,
    expect,
    expect_gradient,
    number,
    pair,
    require,
    same,
)

NOT_FINITE = [math.nan, math.inf, -math.inf]


@exercise("10.1", "A perfect translation that ruins every label", difficulty=1, minutes=5, optional=True)
def cheat(answer: Any) -> None:
    """fooling and cycle allow it; only the identity term and the habits of convolutions speak against it."""
    require(isinstance(answer, tuple) and len(answer) == 2, "check both functions: (forth, back).")
    forth, back = answer
    x = torch.linspace(0.01, 0.97, 2 * 3 * 4 * 6).sqrt().reshape(2, 3, 4, 6)
    made = _image(forth(x.clone()), "forth")
    again = _image(back(made.clone()), "back")
    require(not same(made, x, 1e-6), "`forth` returns the image as it is: the heads are still where the labels say.")
    lost = f"the cycle does not end where it began: the loss is {2 * float((again - x).abs().mean()):.3f}, not 0."
    require(same(again, x, 1e-6), lost)
    colours = "the colours have changed, so D could notice; and the heads may still be in place. Move pixels instead."
    require(same(made.flatten(2).sort().values, x.flatten(2).sort().values, 1e-6), colours)
    mixed = "red, green and blue have moved differently, which D would notice: move whole pixels."
    require(_moves_whole_pixels(forth), mixed)
    upright = "pixels have changed their row: D would see people lying down or standing on their heads."
    require(same(made.sort(dim=3).values, x.sort(dim=3).values, 1e-6), upright)
    first = torch.arange(6.0).expand(1, 3, 4, 6) / 6
    row = _image(forth(first), "forth")[0, 0]
    steps = (row[0].diff() * 6).round().tolist()
    seam = "the right border now stands beside the left one: D would see the seam. Keep what is next to what."
    require(steps.count(1) < 4, seam)
    torn = "neighbours are no longer neighbours: D would see torn patches. Keep what is next to what."
    require(same(row, row[:1].expand_as(row)) and set(steps) == {-1}, torn)


def _image(returned: Any, name: str) -> Tensor:
    require(isinstance(returned, Tensor), f"`{name}` should return a tensor, not {type(returned).__name__}.")
    require(
        returned.shape[1:] == (3, 4, 6), f"`{name}` should keep the shape (B, 3, H, W), not {list(returned.shape)}."
    )
    return returned.detach()


def _moves_whole_pixels(forth: Callable[[Tensor], Tensor]) -> bool:
    """Whether three equal channels stay equal."""
    made = forth(torch.rand(1, 1, 4, 6, generator=torch.Generator().manual_seed(0)).expand(1, 3, 4, 6))
    return same(made, made[:, :1].expand_as(made), 1e-6)


@exercise("10.2", "Find the bug", difficulty=2, minutes=4)
def identity_loss(answer: Answer) -> None:
    """each generator is asked to leave alone what is already in the domain that it paints."""
    xs, xt = torch.linspace(0.0, 0.6, 24).reshape(2, 3, 2, 2), torch.linspace(0.4, 1.0, 24).reshape(2, 3, 2, 2)

    gains = [torch.tensor(gain, requires_grad=True) for gain in (0.5, 0.75)]

    def to_target(x: Tensor) -> Tensor:
        return x * gains[0] + 0.4

    def to_source(x: Tensor) -> Tensor:
        return x * gains[1]

    def off(generator: Callable[[Tensor], Tensor], x: Tensor) -> float:
        return float((generator(x) - x).abs().mean().detach())

    right = 2 * (off(to_target, xt) + off(to_source, xs))
    buggy = 2 * (off(to_target, xs) + off(to_source, xt))
    cycles = (to_source(to_target(xs)) - xs).abs().mean() + (to_target(to_source(xt)) - xt).abs().mean()
    squares = (to_target(xt) - xt).square().mean() + (to_source(xs) - xs).square().mean()
    mistakes: Mistakes = {
        "the loss should be finite, not {found}.": NOT_FINITE,
        "this is still the bug: `to_target(xs)` should look like xs, so a perfect generator translates nothing.": buggy,
        "only one generator is in it; both have an identity term.": [
            factor * off(generator, x) for factor in (1, 2) for generator, x in ((to_target, xt), (to_source, xs))
        ],
        "half of what it should be: keep the factor 2, and *add* the two directions.": right / 2,
        "this is the cycle loss: each image passes through one generator only.": [cycles.item(), 2 * cycles.item()],
        "you squared; the term takes absolute differences.": [squares.item(), 2 * squares.item()],
        "this compares images of different domains, which are no pairs.": [
            2 * (to_target(xs) - xt).abs().mean().item() + 2 * (to_source(xt) - xs).abs().mean().item(),
        ],
    }
    closing = "here the term is {right:.4f}, not {found:.4f}. Which images should each generator leave alone?"
    expect(number(answer(xs, xt, to_target, to_source)), right, closing, mistakes)
    wanted = torch.autograd.grad(2 * ((to_target(xt) - xt).abs().mean() + (to_source(xs) - xs).abs().mean()), gains)
    nothing = "the value is right, but no gradient leads back to the generators, so they would learn nothing from it."
    expect_gradient(answer(xs, xt, to_target, to_source), gains, wanted, nothing)
    fewer = "xs and xt may differ in number: take the mean of each by itself."
    more = torch.cat([xt, xt[:1]])
    try:
        uneven = number(answer(xs, more, to_target, to_source))
    except RuntimeError:  # the shapes do not fit
        uneven = math.nan
    expect(uneven, 2 * (off(to_target, more) + off(to_source, xs)), fewer)


@exercise("10.3", "A memory for the discriminator", difficulty=2, minutes=8, optional=True)
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
    shown, pool = asked(["a", "b", "a"], "d", 0.3, 2)
    twice = "an image may be in the pool twice, and two tensors cannot be compared by ==: take and put it at `place`"
    require((shown, pool) == ("a", ["a", "b", "d"]), f"{twice}, which leaves ['a', 'b', 'd'] here, not {pool}.")


@exercise("10.4", "Does the order hang on one seed?", difficulty=2, minutes=6, optional=True)
def without_one(answer: Answer) -> None:
    """if the sign survives the loss of any seed, no single seed has made the result."""
    gains = [3.0, -1.0, -2.0, 1.0, -11.0]  # mean -2; without each: -3.25, -2.25, -2, -2.75, +0.25
    mistakes: Mistakes = {
        "these are the lowest and the highest difference; leave one out and average the *others*.": (-11, 3),
        "the lower mean comes first.": (0.25, -3.25),
        "this is the mean of all five; each time four of them are left.": (-2, -2),
        "divide by the four that are left, not by five.": (-2.6, 0.2),
        "you leave out the last seed, or the first, only: every seed has its turn.": [(-3.25, -3.25), (0.25, 0.25)],
        "you left out the smallest and the largest together; leave out one at a time.": (-2 / 3, -2 / 3),
        "these are sums of four; average them.": (-13, 1),
    }
    closing = (
        "of [3, -1, -2, 1, -11] the means of four run from -3.25 to 0.25, yours from {found[0]:.2f} to {found[1]:.2f}."
    )
    expect(pair(answer(list(gains)), "lowest, highest"), (-3.25, 0.25), closing, mistakes)
    given = [3.0, 1.0, 2.0]
    expect(pair(answer(given), "lowest, highest"), (1.5, 2.5), "of [3, 1, 2] the means of two run from 1.5 to 2.5.")
    require(given == [3.0, 1.0, 2.0], "your function changed the list it was given: work on a copy.")
    twice = "of [2, 2, 5] the means of two run from 2 to 3.5: leave out one *place*, not every equal value."
    expect(pair(answer([2.0, 2.0, 5.0]), "lowest, highest"), (2, 3.5), twice)
