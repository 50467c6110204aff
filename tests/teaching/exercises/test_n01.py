"""Exercises of notebook 01: solutions pass, typical mistakes get their own hint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch.nn.functional as nnF
from torch import Tensor

from sdcda_tutorial.teaching.exercises import verdict


def count_in_window(F: Tensor, x0: int, y0: int, x1: int, y1: int) -> float:
    return float(F[y0:y1, x0:x1].sum())


def gaussian(x: float, y: float, size: tuple[int, int], sigma: float, half: float = 0.5) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) * half / sigma**2)


def head_kernel(x: float, y: float, size: tuple[int, int], sigma: float) -> np.ndarray:
    kernel = gaussian(x, y, size, sigma)
    return kernel / kernel.sum()


def distance_not_squared(x: float, y: float, size: tuple[int, int], sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    kernel = np.exp(-np.hypot(columns - x, rows - y) / (2 * sigma**2))
    return kernel / kernel.sum()


def without_the_half(x: float, y: float, size: tuple[int, int], sigma: float) -> np.ndarray:
    kernel = gaussian(x, y, size, sigma, half=1.0)
    return kernel / kernel.sum()


def interpolated(F: Tensor, size: tuple[int, int]) -> Tensor:
    return nnF.interpolate(F[None, None], size=size, mode="bilinear", antialias=True)[0, 0]


def resize_map(F: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolated(F, size) * F.numel() / (size[0] * size[1])


RIGHT = {"1.1": count_in_window, "1.2": head_kernel, "1.3": resize_map}
WRONG: list[tuple[str, Any, str]] = [
    ("1.1", lambda F, x0, y0, x1, y1: float(F[x0:x1, y0:y1].sum()), "Rows come first"),
    ("1.1", lambda F, x0, y0, x1, y1: float(F[y0:y1, x0:x1].mean()), "not a mean"),
    ("1.1", lambda F, x0, y0, x1, y1: float(F[y0 : y1 + 1, x0 : x1 + 1].sum()), "do not belong to the window"),
    ("1.1", lambda F, x0, y0, x1, y1: float(F.sum()), "the window 12, 4, 20, 18 holds"),
    ("1.2", lambda x, y, size, sigma: head_kernel(x, y, size[::-1], sigma), "size of the image"),
    ("1.2", lambda x, y, size, sigma: head_kernel(y, x, size, sigma), "x is a column"),
    ("1.2", lambda x, y, size, sigma: gaussian(x, y, size, sigma), "its *sum* should be"),
    ("1.2", lambda x, y, size, sigma: 2 * head_kernel(x, y, size, sigma), "in the middle the kernel should sum to 1"),
    ("1.2", distance_not_squared, "squared distance over 2σ²"),
    ("1.2", without_the_half, "squared distance over 2σ²"),
    ("1.2", lambda x, y, size, s: gaussian(x, y, size, s) / (2 * np.pi * s**2), "the border cuts its kernel"),
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
