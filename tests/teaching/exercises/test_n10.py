"""Exercises of notebook 10: solutions pass, typical mistakes get their own hint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sdcda_tutorial.teaching.exercises import verdict


def cycle(x: Any, forth: Any, back: Any) -> Any:
    return 2 * (back(forth(x)) - x).abs().mean()


def patches(real: Any, made: Any) -> Any:
    return ((real - 1).square().mean() + made.square().mean()) / 2


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


RIGHT = {"10.1": cycle, "10.2": patches, "10.3": pooled}

WRONG: list[tuple[str, Any, str]] = [
    ("10.1", lambda x, f, b: 2 * (f(x) - x).abs().mean(), "must agree is the *cycle*"),
    ("10.1", lambda x, f, b: (f(x) - x).abs().mean(), "must agree is the *cycle*"),
    ("10.1", lambda x, f, b: 2 * (f(b(x)) - x).abs().mean(), "first `forth`"),
    ("10.1", lambda x, f, b: (b(f(x)) - x).abs().mean(), "twice as large"),
    ("10.1", lambda x, f, b: 2 * (b(f(x)) - x).abs().sum(), "sum over the pixels"),
    ("10.1", lambda x, f, b: (2 * (b(f(x)) - x)).square().mean(), "you squared"),
    ("10.1", lambda x, f, b: (b(f(x)) - x).square().mean(), "you squared"),
    ("10.1", lambda x, f, b: 2 * (b(f(x)) - x).abs().sum() / len(x), "sum over the pixels"),
    ("10.1", lambda x, f, b: 2 * (b(f(x)) - x).square().mean().sqrt(), "you squared"),
    ("10.1", lambda x, f, b: 2 * (b(f(x)) - x).mean(), "do not make up for each other"),
    ("10.1", lambda x, f, b: 2 * (b(f(x)) - x).mean().abs(), "do not make up for each other"),
    ("10.1", lambda x, f, b: 2 * (b(f(x)) - x).abs().max(), "by 0.1375 on average"),
    ("10.1", lambda x, f, b: 2 * (b(f(x)) - x).abs().mean(dim=(1, 2, 3)), "one number"),
    ("10.1", lambda x, f, b: b(f(x)) - x, "one number"),
    ("10.1", lambda x, f, b: 7.0, "not 7.000"),
    ("10.2", lambda r, m: (r.square().mean() + (m - 1).square().mean()) / 2, "wrong way round"),
    ("10.2", lambda r, m: (r - 1).square().mean() + m.square().mean(), "the half is missing"),
    ("10.2", lambda r, m: (r - 1).square().mean() / 2, "only one of the two"),
    ("10.2", lambda r, m: m.square().mean(), "only one of the two"),
    ("10.2", lambda r, m: ((r - 1).square().sum() + m.square().sum()) / 2, "sum over the patches"),
    ("10.2", lambda r, m: (F.softplus(-r).mean() + F.softplus(m).mean()) / 2, "cross-entropy"),
    ("10.2", lambda r, m: ((r - 1).abs().mean() + m.abs().mean()) / 2, "least squares are asked"),
    ("10.2", lambda r, m: ((r - 1).square().sum() + m.square().sum()) / 8, "by itself"),
    ("10.2", lambda r, m: ((r - 1) ** 2 + m**2).mean() / 2, "by itself"),
    ("10.2", lambda r, m: torch.cat([(r - 1).flatten(), m.flatten()]).square().mean(), "by itself"),
    ("10.2", lambda r, m: ((r.sigmoid() - 1).square().mean() + m.sigmoid().square().mean()) / 2, "no sigmoid"),
    ("10.2", lambda r, m: 3.0, "0.085, not 3"),
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
]


def test_a_number_of_numpy_is_a_number() -> None:
    assert verdict("10.1", lambda x, f, b: np.float32(cycle(x, f, b)))[0] == "right"


@pytest.mark.parametrize("number", RIGHT)
def test_solutions_pass(number: str) -> None:
    said, text = verdict(number, RIGHT[number])
    assert said == "right", text


@pytest.mark.parametrize(("number", "answer", "hint"), WRONG)
def test_typical_mistakes_get_their_own_hint(number: str, answer: Any, hint: str) -> None:
    said, text = verdict(number, answer)
    assert said == "wrong" and hint in text, text


def test_the_solutions_are_the_packages() -> None:
    from sdcda_tutorial.rivals import cyclegan_losses as losses

    real, made = torch.rand(2, 1, 3, 3), torch.rand(2, 1, 3, 3)
    assert torch.allclose(patches(real, made), losses.patch_loss(real, made))
    x = torch.rand(1, 3, 4, 4)
    assert torch.allclose(cycle(x, torch.sqrt, torch.sin), losses.reconstruction_loss(torch.sin(torch.sqrt(x)), x))
