"""Exercises of notebook 10: solutions pass, typical mistakes get their own hint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from sdcda_tutorial.teaching.exercises import verdict


def mirror(x: Any) -> Any:
    return x.flip(3)


def identity(xs: Any, xt: Any, to_target: Any, to_source: Any) -> Any:
    return 2 * (to_target(xt) - xt).abs().mean() + 2 * (to_source(xs) - xs).abs().mean()


def pooled(pool: list[str], capacity: int, image: str, coin: float, place: int) -> str:
    if len(pool) < capacity:
        pool.append(image)
        return image
    if coin < 0.5:
        pool[place], image = image, pool[place]
    return image


def leaves_it(pool: list[str], capacity: int, image: str, coin: float, place: int) -> str:
    """Shows an old one and forgets to put the new one in its place."""
    if len(pool) < capacity:
        pool.append(image)
        return image
    return pool[place] if coin < 0.5 else image


def grows(pool: list[str], capacity: int, image: str, coin: float, place: int) -> str:
    pool.append(image)
    return pool[place] if coin < 0.5 and len(pool) > capacity else image


def newest(pool: list[str], capacity: int, image: str, coin: float, place: int) -> str:
    """Replaces whatever the coin says."""
    if len(pool) < capacity:
        pool.append(image)
        return image
    old, pool[place] = pool[place], image
    return old if coin < 0.5 else image


def without_one(gains: Sequence[float]) -> tuple[float, float]:
    means = [(sum(gains) - gain) / (len(gains) - 1) for gain in gains]
    return min(means), max(means)


def removes_values(gains: list[float]) -> tuple[float, float]:
    means = [float(np.mean([g for g in gains if g != gain])) for gain in gains]
    return min(means), max(means)


def empties(gains: list[float]) -> tuple[float, float]:
    result = without_one(gains)
    gains.clear()
    return result


def mixed_columns(x: Any) -> Any:
    return x[..., [1, 0, 3, 2, 5, 4]]


RIGHT = {"10.1": (mirror, mirror), "10.2": identity, "10.3": pooled, "10.4": without_one}

WRONG: list[tuple[str, Any, str]] = [
    ("10.1", mirror, "check both functions"),
    ("10.1", (lambda x: x, lambda x: x), "as it is"),
    ("10.1", (mirror, lambda x: x), "does not end where it began"),
    ("10.1", (lambda x: x / 2, lambda x: x), "does not end where it began"),
    ("10.1", (lambda x: 1 - x, lambda x: 1 - x), "colours have changed"),
    ("10.1", (lambda x: x.flip(2), lambda x: x.flip(2)), "standing on their heads"),
    ("10.1", (lambda x: x.roll(1, 2), lambda x: x.roll(-1, 2)), "changed their row"),
    ("10.1", (mixed_columns, mixed_columns), "torn patches"),
    ("10.1", (lambda x: x.roll(2, 3), lambda x: x.roll(-2, 3)), "see the seam"),
    ("10.1", (lambda x: x.roll(3, 3), lambda x: x.roll(3, 3)), "see the seam"),
    (
        "10.1",
        (lambda x: torch.cat([x[:, :1].flip(3), x[:, 1:]], 1), lambda x: torch.cat([x[:, :1].flip(3), x[:, 1:]], 1)),
        "moved differently",
    ),
    ("10.1", (lambda x: x.transpose(2, 3), lambda x: x.transpose(2, 3)), "keep the shape"),
    ("10.1", (lambda x: None, lambda x: x), "gave back nothing"),
    ("10.2", lambda s, t, to_t, to_s: 2 * ((to_t(s) - s).abs().mean() + (to_s(t) - t).abs().mean()), "still the bug"),
    ("10.2", lambda s, t, to_t, to_s: 2 * (to_t(t) - t).abs().mean(), "only one generator"),
    ("10.2", lambda s, t, to_t, to_s: (to_s(s) - s).abs().mean(), "only one generator"),
    ("10.2", lambda s, t, to_t, to_s: identity(s, t, to_t, to_s) / 2, "factor 2"),
    ("10.2", lambda s, t, to_t, to_s: identity(s, t, lambda x: to_s(to_t(x)), lambda x: to_t(to_s(x))), "not"),
    (
        "10.2",
        lambda s, t, to_t, to_s: 2 * ((to_s(to_t(s)) - s).abs().mean() + (to_t(to_s(t)) - t).abs().mean()),
        "cycle loss",
    ),
    ("10.2", lambda s, t, to_t, to_s: (to_t(t) - t).square().mean() + (to_s(s) - s).square().mean(), "you squared"),
    ("10.2", lambda s, t, to_t, to_s: 2 * ((to_t(s) - t).abs().mean() + (to_s(t) - s).abs().mean()), "no pairs"),
    ("10.2", lambda s, t, to_t, to_s: 2 * ((to_t(t) - t).abs() + (to_s(s) - s).abs()).mean(), "may differ in number"),
    ("10.2", lambda s, t, to_t, to_s: float("nan"), "finite"),
    ("10.2", lambda s, t, to_t, to_s: 7.0, "not 7.0"),
    ("10.2", lambda s, t, to_t, to_s: (to_t(t) - t).abs(), "one number"),
    ("10.3", leaves_it, "never gets any younger"),
    ("10.3", grows, "at most"),
    ("10.3", newest, "the pool stays as it is"),
    ("10.3", lambda pool, n, image, coin, place: image, "every new image goes into it"),
    ("10.3", lambda pool, n, image, coin, place: None if pool else pool.append(image) or image, "return the image"),
    ("10.3", lambda pool, n, image, coin, place: pooled(pool, n, image, 1 - coin, place), "the pool stays as it is"),
    ("10.3", lambda pool, n, image, coin, place: pooled(pool, n, image, coin, 0), "the one at `place`"),
    ("10.3", lambda pool, n, image, coin, place: pooled(pool, n, image, 0.9, place), "an *old* image"),
    ("10.3", lambda pool, n, image, coin, place: pooled(pool, 2, image, coin, place), "two of three places"),
    ("10.3", lambda pool, n, image, coin, place: image if coin >= 0.5 else pooled(pool, n, image, 0, place), "0.9"),
    (
        "10.3",
        lambda pool, n, image, coin, place: pooled(pool, n, image, min(coin, 0.9) - 0.01, place),
        "coin of 0.5 you",
    ),
    ("10.3", lambda pool, n, image, coin, place: pooled(pool, 3, image, coin, place), "a pool of 2"),
    ("10.3", lambda pool, n, image, coin, place: pooled(pool, n, image, coin, 1), "and place 0"),
    ("10.3", lambda pool, n, image, coin, place: pooled(list(pool), n, image, coin, place), "not into a copy"),
    ("10.4", lambda g: (min(g), max(g)), "average the *others*"),
    ("10.4", lambda g: without_one(g)[::-1], "the lower mean comes first"),
    ("10.4", lambda g: (sum(g) / len(g),) * 2, "mean of all five"),
    ("10.4", lambda g: tuple((sum(g) - x) / len(g) for x in (max(g), min(g))), "not by five"),
    ("10.4", lambda g: (sum(g[:-1]) / (len(g) - 1),) * 2, "every seed has its turn"),
    ("10.4", lambda g: (sum(sorted(g)[1:-1]) / (len(g) - 2),) * 2, "one at a time"),
    ("10.4", lambda g: (sum(g) - max(g), sum(g) - min(g)), "average them"),
    ("10.4", lambda g: (0.0, 1.0), "from 0.00 to 1.00"),
    ("10.4", lambda g: [(sum(g) - x) / (len(g) - 1) for x in g], "two numbers"),
    ("10.4", removes_values, "not every equal value"),
    ("10.4", empties, "work on a copy"),
]


def stub(*_: Any) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("number", RIGHT)
def test_solutions_pass_and_stubs_are_not_attempted(number: str) -> None:
    said, text = verdict(number, RIGHT[number])
    assert said == "right", text
    assert verdict(number, (stub, stub) if number == "10.1" else stub)[0] == "not attempted"


@pytest.mark.parametrize(("number", "answer", "hint"), WRONG)
def test_typical_mistakes_get_their_own_hint(number: str, answer: Any, hint: str) -> None:
    said, text = verdict(number, answer)
    assert said == "wrong" and hint in text, text


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    assert verdict("10.4", lambda g: np.array(without_one(g)))[0] == "right"


def test_the_repaired_identity_loss_is_the_packages() -> None:
    from sdcda_tutorial.rivals import cyclegan_losses as losses

    xs, xt = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    ours = losses.reconstruction_loss(torch.sqrt(xt), xt) + losses.reconstruction_loss(torch.sin(xs), xs)
    assert torch.allclose(identity(xs, xt, torch.sqrt, torch.sin), ours)
