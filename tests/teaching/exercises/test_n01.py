"""Exercises of notebook 01: solutions pass, typical mistakes get their own hint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as nnF
from torch import Tensor

from sdcda_tutorial.teaching.exercises import verdict


def kernel_width(sigma: float, share: float) -> int:
    return 2 * math.floor(sigma * math.sqrt(-2 * math.log(share))) + 1


def crop_heads(points: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    moved = points - (x0, y0)
    return moved[((moved >= 0) & (moved < (x1 - x0, y1 - y0))).all(axis=1)]


def wrong_crop(points: np.ndarray, x0: int, y0: int, x1: int, y1: int, *, shift: bool = False) -> np.ndarray:
    """The one of the notebook, with the first bug left."""
    x, y = points.T
    found = points[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]
    return found - (x0, y0) if shift else found


def crop_with(points: np.ndarray, keep: np.ndarray, x0: int, y0: int) -> np.ndarray:
    return points[keep.all(axis=1)] - (x0, y0)


def in_place(points: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    points -= (x0, y0)
    return points[((points >= 0) & (points < (x1 - x0, y1 - y0))).all(axis=1)]


def interpolated(F: Tensor, size: tuple[int, int]) -> Tensor:
    return nnF.interpolate(F[None, None], size=size, mode="bilinear", antialias=True)[0, 0]


def resize_map(F: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolated(F, size) * F.numel() / (size[0] * size[1])


RIGHT = {"1.1": kernel_width, "1.2": crop_heads, "1.3": resize_map}
WRONG: list[tuple[str, Any, str]] = [
    ("1.1", lambda sigma, share: kernel_width(sigma, share) // 2, "reach to one side"),
    ("1.1", lambda sigma, share: kernel_width(sigma, share) - 1, "the centre pixel counts"),
    ("1.1", lambda sigma, share: kernel_width(sigma, share) + 2, "too wide on either side"),
    ("1.1", lambda sigma, share: kernel_width(sigma, share**0.5), "forgets the 2"),
    ("1.1", lambda sigma, share: 2 * math.floor(-2 * sigma**2 * math.log(share)) + 1, "the root"),
    ("1.1", lambda sigma, share: 25, "2 pixels to each side"),
    ("1.1", lambda sigma, share: 2 * round(sigma * math.sqrt(-2 * math.log(share))) + 1, "Round down"),
    ("1.1", lambda sigma, share: 2 * sigma * math.sqrt(-2 * math.log(share)), "a whole, odd number"),
    ("1.1", lambda sigma, share: 7 * sigma, "25 pixels, not 28"),
    ("1.1", lambda sigma, share: (25, 25), "return one number"),
    ("1.2", wrong_crop, "both bugs are still there"),
    ("1.2", lambda p, *w: wrong_crop(p, *w, shift=True), "counted in both"),
    ("1.2", lambda p, *w: crop_heads(p, *w) + w[:2], "still those of the whole image"),
    ("1.2", lambda p, a, b, c, d: wrong_crop(p, a, b, c - 1, d - 1), "the window's last one"),
    ("1.2", lambda p, a, b, c, d: wrong_crop(p, a, b, c - 1, d - 1, shift=True), "the window's last one"),
    ("1.2", lambda p, a, b, c, d: crop_with(p, (p > (a, b)) & (p < (c, d)), a, b), "The near edges"),
    ("1.2", lambda p, a, b, c, d: crop_with(p, (p >= (a, b)) & (p < (c, d)), b, a), "mixed up in the shift"),
    ("1.2", lambda p, a, b, c, d: crop_with(p, (p >= (a, b)) & (p < (c, d)), a, a), "mixed up in the shift"),
    ("1.2", lambda p, a, b, c, d: crop_with(q := p - (a, b), (q >= (a, b)) & (q < (c, d)), 0, 0), "no head is left"),
    ("1.2", in_place, "Work on a copy"),
    ("1.2", lambda p, a, b, c, d: crop_with(p, (p >= (a, -9)) & (p < (c, d)), a, b), "above the window"),
    ("1.2", lambda p, a, b, c, d: crop_with(p, (p >= (-9, b)) & (p < (c, d)), a, b), "left of the window"),
    ("1.2", lambda p, *w: p, "3 of the 8 heads"),
    ("1.2", lambda p, *w: len(crop_heads(p, *w)), "an array (N, 2)"),
    ("1.2", lambda p, *w: crop_heads(p, *w) if w[0] == 12 else np.zeros((0,)), "(0, 2)"),
    ("1.3", lambda F, size: nnF.interpolate(F, size=size), "F[None, None]"),
    ("1.3", lambda F, size: 3 * interpolated(F, size) / interpolated(F, size).sum(), "for every map and size"),
    ("1.3", lambda F, size: nnF.interpolate(F[None, None], size=size)[0, 0] * 4, "skips pixels"),
    ("1.3", interpolated, "a quarter of the people are left"),
    ("1.3", lambda F, size: interpolated(F, size) * F.shape[0] / size[0], "*area*"),
    ("1.3", lambda F, size: interpolated(F, size) * 4, "*area*"),
    ("1.3", lambda F, size: resize_map(F, size) * 0 + 3 / (size[0] * size[1]), "stay where they were"),
    ("1.3", lambda F, size: F, "of the new size"),
    ("1.3", lambda F, size: resize_map(F, size).numpy(), "of the new size"),
    ("1.3", lambda F, size: 2 * resize_map(F, size), "3 people should be left"),
]


def stub(*_: Any) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("number", RIGHT)
def test_solution_passes_and_stub_is_not_attempted(number: str) -> None:
    assert verdict(number, RIGHT[number])[0] == "right"
    for blank in (stub, None, ...):
        said, text = verdict(number, blank)
        assert said == "not attempted" and "replace the last line" in text


@pytest.mark.parametrize(("number", "answer", "fragment"), WRONG)
def test_each_mistake_has_its_hint(number: str, answer: Any, fragment: str) -> None:
    said, hint = verdict(number, answer)
    assert said == "wrong" and fragment in hint, hint


def test_what_the_readers_code_raises_is_told() -> None:
    said, text = verdict("1.1", lambda *_: 1 / 0)
    assert said == "wrong" and "ZeroDivisionError" in text


def test_an_unknown_number_lists_the_known_ones() -> None:
    for number in ("1.9", "1"):
        with pytest.raises(ValueError, match=r"1\.1, 1\.2, 1\.3"):
            verdict(number, stub)
    with pytest.raises(ValueError, match="has none"):
        verdict("77.1", stub)
