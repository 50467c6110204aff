"""Exercises and demo of notebook 05, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from sdcda_tutorial.networks import SemanticExtractor
from sdcda_tutorial.teaching.demos.pyramid import render_pyramid
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture


def stub(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["5.1", "5.2", "5.3"])
def test_stubs_are_not_attempted(number: str) -> None:
    assert verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


def wrong(number: str, answer: Callable) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mistakes take logarithms of what has none
        said, text = verdict(number, answer)
    assert said == "wrong", text
    return text


def _pool(start: Callable, stop: Callable, reduce: Callable = np.mean) -> Callable:
    """An adaptive pooling with rules of its own for where cell i of g begins and ends among n."""

    def pool(array: np.ndarray, grid: int) -> np.ndarray:
        n, m = array.shape
        return np.array(
            [
                [
                    reduce(array[start(i, n, grid) : stop(i, n, grid), start(j, m, grid) : stop(j, m, grid)])
                    for j in range(grid)
                ]
                for i in range(grid)
            ]
        )

    return pool


def low(i: int, n: int, grid: int) -> int:
    return i * n // grid


def high(i: int, n: int, grid: int) -> int:
    return -(-(i + 1) * n // grid)


def test_5_1_right() -> None:
    assert verdict("5.1", _pool(low, high))[0] == "right"
    assert verdict("5.1", lambda a, g: F.adaptive_avg_pool2d(torch.from_numpy(a)[None], g)[0])[0] == "right"


MISTAKES_5_1 = {
    "sum": (_pool(low, high, np.sum), "*mean*, not its sum"),
    "maximum": (_pool(low, high, np.max), "maximum"),
    "half": (_pool(low, high, lambda a: a.mean() / 2), "the mean of the array"),
    "transposed": (lambda a, g: _pool(low, high)(a, g).T, "upper *right*"),
    "fixed width": (_pool(lambda i, n, g: i * (n // g), lambda i, n, g: (i + 1) * (n // g)), "leave rows and columns"),
    "end rounded down": (_pool(low, lambda i, n, g: (i + 1) * n // g), "rounded *up*"),
    "begin rounded up": (_pool(lambda i, n, g: -(-i * n // g), high), "not right yet"),
    "one cell too far": (_pool(low, lambda i, n, g: high(i, n, g) + 1), "four quarters"),
    "shape": (lambda a, g: a.mean(), "a grid of 1 has the shape"),
}


@pytest.mark.parametrize("mistake", MISTAKES_5_1)
def test_5_1_hints(mistake: str) -> None:
    answer, hint = MISTAKES_5_1[mistake]
    assert hint in wrong("5.1", answer)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _pixels(p: np.ndarray, z: np.ndarray) -> np.ndarray:
    return -(z * np.log(p) + (1 - z) * np.log(1 - p))


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, z: _pixels(sigmoid(x), z).mean(),
        lambda x, z: (np.logaddexp(0, x) - z * x).mean(),
        lambda x, z: F.binary_cross_entropy_with_logits(torch.from_numpy(x), torch.from_numpy(z)),
    ],
)
def test_5_2_right(answer: Callable) -> None:
    assert verdict("5.2", answer)[0] == "right"


MISTAKES_5_2 = {
    "sigmoid forgotten": (lambda x, z: _pixels(x, z).mean(), "no probability"),
    "sigmoid forgotten, nan skipped": (
        lambda x, z: np.nanmean(-np.where(z == 1, np.log(x), np.log(1 - x))),
        "no probability",
    ),
    "sign": (lambda x, z: -_pixels(sigmoid(x), z).mean(), "begins with a minus"),
    "sum": (lambda x, z: _pixels(sigmoid(x), z).sum(), "take the mean"),
    "crowd only": (lambda x, z: (-z * np.log(sigmoid(x))).mean(), "the background is missing"),
    "background only": (lambda x, z: (-(1 - z) * np.log(1 - sigmoid(x))).mean(), "the crowd is missing"),
    "exchanged": (lambda x, z: _pixels(sigmoid(x), 1 - z).mean(), "exchanged"),
    "squares": (lambda x, z: ((sigmoid(x) - z) ** 2).mean(), "cross-entropy"),
    "logarithm": (lambda x, z: _pixels(sigmoid(x), z).mean() / np.log(2), "natural logarithm"),
    "a map": (lambda x, z: _pixels(sigmoid(x), z), "one number"),
    "fixed size": (lambda x, z: _pixels(sigmoid(x), z).sum() / 6, "is a size fixed"),
    "something else": (lambda x, z: 1.7 * _pixels(sigmoid(x), z).mean(), "gives"),
}


@pytest.mark.parametrize("mistake", MISTAKES_5_2)
def test_5_2_hints(mistake: str) -> None:
    answer, hint = MISTAKES_5_2[mistake]
    assert hint in wrong("5.2", answer)


def _count(
    *,
    norm: int = 2,
    bias: int = 0,
    fuse_bias: int = 0,
    head_bias: int = 1,
    with_f: int = 1,
    kernel: int = 9,
    one: int = 1,
    cells: bool = False,
    part: int = 0,
) -> Callable:
    """The number of weights of S, with room for each mistake."""

    def count(channels: int, bins: tuple[int, ...]) -> int:
        p, fused = part or channels // len(bins), channels // 2
        per_level = [channels * p * one * (b * b if cells else 1) + bias * p + norm * p for b in bins]
        fuse = (with_f * channels + p * len(bins)) * fused * kernel + fuse_bias * fused + norm * fused
        return sum(per_level) + fuse + fused + head_bias

    return count


def test_5_3_right() -> None:
    assert verdict("5.3", _count())[0] == "right"
    assert verdict("5.3", lambda c, b: sum(p.numel() for p in SemanticExtractor(c, 8, b).parameters()))[0] == "right"


MISTAKES_5_3 = {
    "no batch norm": (_count(norm=0), "batch norms are missing"),
    "half a batch norm": (_count(norm=1), "you counted one"),
    "running statistics": (_count(norm=4), "measured, not learnt"),
    "biases of the levels": (_count(bias=1), "bias=False"),
    "bias of the fuse": (_count(fuse_bias=1), "bias=False"),
    "all biases": (_count(bias=1, fuse_bias=1), "bias=False"),
    "no last bias": (_count(head_bias=0), "has a bias"),
    "f not concatenated": (_count(with_f=0), "f itself is concatenated"),
    "1×1 fuse": (_count(kernel=1), "nine weights"),
    "3×3 levels": (_count(one=9), "are 1×1 convolutions"),
    "a projection for each cell": (_count(cells=True), "do not depend on the size"),
    "fixed to 128": (_count(part=32), "right for 128"),
    "something else": (lambda channels, bins: 1000, "you get 1000"),
}


@pytest.mark.parametrize("mistake", MISTAKES_5_3)
def test_5_3_hints(mistake: str) -> None:
    answer, hint = MISTAKES_5_3[mistake]
    assert hint in wrong("5.3", answer)


@pytest.mark.parametrize(
    ("number", "mistakes", "shared"), [("5.1", MISTAKES_5_1, 0), ("5.2", MISTAKES_5_2, 1), ("5.3", MISTAKES_5_3, 2)]
)
def test_each_kind_of_mistake_has_its_own_hint(number: str, mistakes: dict, shared: int) -> None:
    texts = [wrong(number, answer) for answer, _ in mistakes.values()]
    assert len(set(texts)) == len(texts) - shared


# The demo


@pytest.fixture(scope="module")
def browsed() -> tuple[list[np.ndarray], torch.Tensor]:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(2)]
    features = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    features[:, 2] = 0  # a channel that is silent
    return images, features


@pytest.mark.parametrize("grid", [1, 3, 12])
@pytest.mark.parametrize("channel", [0, 2])
def test_the_demo_draws_every_choice(browsed, channel: int, grid: int) -> None:
    figure = render_pyramid(*browsed, scene=1, channel=channel, grid=grid)
    assert isinstance(figure, Figure)
    plt.close(figure)


def test_the_demo_follows_each_control(browsed) -> None:
    choices = [(0, 0, 3), (1, 0, 3), (0, 1, 3), (0, 0, 2)]
    pictures = [picture(render_pyramid(*browsed, scene=s, channel=c, grid=g)) for s, c, g in choices]
    assert len(set(pictures)) == len(pictures)
