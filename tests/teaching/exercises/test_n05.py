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
from torch import Tensor, nn

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.demos.pyramid import render_pyramid
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.exercises.n05_semantic_extractor import logits_with
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


def _pixels(p: Tensor, z: Tensor) -> Tensor:
    return -(z * p.log() + (1 - z) * (1 - p).log())


def _stable(x: Tensor, z: Tensor) -> Tensor:
    return z * F.softplus(-x) + (1 - z) * F.softplus(x)


@pytest.mark.parametrize(
    "answer",
    [
        losses.source_segmentation_loss,
        F.binary_cross_entropy_with_logits,
        lambda x, z: _stable(x, z).mean(),
        lambda x, z: (F.softplus(x) - z * x).mean(),
        lambda x, z: -(z * F.logsigmoid(x) + (1 - z) * F.logsigmoid(-x)).mean(),
    ],
)
def test_5_1_right(answer: Callable) -> None:
    assert verdict("5.1", answer)[0] == "right"


class _WrongSlope(torch.autograd.Function):
    """The right loss with a gradient of zero."""

    @staticmethod
    def forward(context: Any, x: Tensor, z: Tensor) -> Tensor:
        return _stable(x, z).mean()

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[Tensor, None]:
        return torch.zeros(1, 1, 1, 4), None


MISTAKES_5_1 = {
    "sigmoid forgotten": (lambda x, z: _pixels(x, z).mean(), "no probability"),
    "sigmoid twice": (lambda x, z: F.binary_cross_entropy_with_logits(x.sigmoid(), z), "applied twice"),
    "sign": (lambda x, z: -_stable(x, z).mean(), "begins with a minus"),
    "sum": (lambda x, z: _stable(x, z).sum(), "sum over the pixels: take"),
    "paper's sum": (lambda x, z: _stable(x, z).sum() / len(x), "number of images"),
    "crowd only": (lambda x, z: (z * F.softplus(-x)).mean(), "the background is missing"),
    "background only": (lambda x, z: ((1 - z) * F.softplus(x)).mean(), "the crowd is missing"),
    "exchanged": (lambda x, z: _stable(x, 1 - z).mean(), "exchanged"),
    "swapped": (lambda x, z: F.binary_cross_entropy_with_logits(z, x), "logits and mask are swapped"),
    "squares": (lambda x, z: (x.sigmoid() - z).square().mean(), "cross-entropy"),
    "logarithm": (lambda x, z: _stable(x, z).mean() / np.log(2), "natural logarithm"),
    "a map": (_stable, "one number"),
    "something else": (lambda x, z: 1.7 * _stable(x, z).mean(), "gives"),
    "as printed": (lambda x, z: _pixels(x.sigmoid(), z).mean(), "softplus"),
    "small constant": (
        lambda x, z: -(z * (x.sigmoid() + 1e-8).log() + (1 - z) * (1 - x.sigmoid() + 1e-8).log()).mean(),
        "finite but wrong",
    ),
    "clamped": (lambda x, z: F.binary_cross_entropy(x.sigmoid(), z), "finite but wrong"),
    "gradient": (_WrongSlope.apply, "the gradient is not"),
}


@pytest.mark.parametrize("mistake", MISTAKES_5_1)
def test_5_1_hints(mistake: str) -> None:
    answer, hint = MISTAKES_5_1[mistake]
    assert hint in wrong("5.1", answer)


def _keeps(height: int, width: int, grid: int, stride: int = 8) -> bool:
    return height // stride % grid == 0 and width // stride % grid == 0


def test_5_2_right() -> None:
    assert verdict("5.2", _keeps)[0] == "right"


def test_5_2_says_what_the_pooling_does() -> None:
    """Every position counts alike exactly where the answer is True."""

    def measured(height: int, width: int, grid: int, stride: int = 8) -> bool:
        f = torch.zeros(1, 1, height // stride, width // stride, requires_grad=True)
        (slopes,) = torch.autograd.grad(F.adaptive_avg_pool2d(f, grid).mean(), f)
        return bool(torch.allclose(slopes, slopes.mean(), rtol=1e-3))

    assert verdict("5.2", measured)[0] == "right"


MISTAKES_5_2 = {
    "image": (lambda h, w, g, s=8: h % g == 0 and w % g == 0, "of the *image*"),
    "stride": (lambda h, w, g, s=8: h // 8 % g == 0 and w // 8 % g == 0, "fixed at 8"),
    "either": (lambda h, w, g, s=8: h // s % g == 0 or w // s % g == 0, "one side is enough"),
    "height": (lambda h, w, g, s=8: h // s % g == 0, "the height only"),
    "width": (lambda h, w, g, s=8: w // s % g == 0, "the width only"),
    "area": (lambda h, w, g, s=8: (h // s) * (w // s) % g**2 == 0, "look at each side"),
    "not": (lambda *case: not _keeps(*case), "exchanged"),
    "always": (lambda *_: True, "all but the 1 × 1"),
    "never": (lambda *_: False, "all but the 1 × 1"),
    "grids": (lambda h, w, g, s=8: g < 3, "how large is f"),
    "a number": (lambda *_: 2, "True or False"),
}


@pytest.mark.parametrize("mistake", MISTAKES_5_2)
def test_5_2_hints(mistake: str) -> None:
    answer, hint = MISTAKES_5_2[mistake]
    assert hint in wrong("5.2", answer)


def _scaled(level_off: Callable[[int], list[float]], **options: Any) -> Callable:
    return lambda S, f, level: logits_with(S, f, level_off(level), **options)


def _without(level: int) -> list[float]:
    return [0.0 if number == level + 1 else 1.0 for number in range(5)]


def _by_hook(S: nn.Module, f: Tensor, level: int) -> Tensor:
    hook = S.pyramid[level].register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    try:
        return S(f)
    finally:
        hook.remove()


def _left_out(S: nn.Module, f: Tensor, level: int) -> Tensor:
    kept = [project(F.adaptive_avg_pool2d(f, grid)) for grid, project in zip(S.bins, S.pyramid, strict=True)]
    return S.fuse(torch.cat([f, *(F.interpolate(p, size=f.shape[-2:]) for p in kept[:level] + kept[level + 1 :])], 1))


def _by_changing_S(S: nn.Module, f: Tensor, level: int) -> Tensor:
    S.pyramid[level][1].weight.data.zero_()
    S.pyramid[level][1].bias.data.zero_()
    return S(f)


@pytest.mark.parametrize("answer", [_scaled(_without), _by_hook])
def test_5_3_right(answer: Callable) -> None:
    assert verdict("5.3", answer)[0] == "right"


MISTAKES_5_3 = {
    "left out": (_left_out, "put zeros in"),
    "nothing": (lambda S, f, level: S(f), "nothing is switched off"),
    "index": (_scaled(lambda level: [0.0 if n == level else 1.0 for n in range(5)]), "index 1"),
    "before": (lambda S, f, level: logits_with(S, f, [1.0] * 5, before=level), "before the projection"),
    "f too": (_scaled(lambda level: [0.0, *_without(level)[1:]]), "f is missing"),
    "all": (_scaled(lambda level: [1.0, 0, 0, 0, 0]), "all four"),
    "the others": (_scaled(lambda level: [1.0, *(1 - v for v in _without(level)[1:])]), "only this level"),
    "probabilities": (lambda S, f, level: _scaled(_without)(S, f, level).sigmoid(), "return logits"),
    "small": (lambda S, f, level: F.avg_pool2d(_scaled(_without)(S, f, level), 8), "stretch them"),
    "one": (lambda S, f, level: f.mean(), "shape (B, 1, H, W)"),
    "size": (lambda S, f, level: _scaled(_without)(S, f, level)[..., :100, :], "as large as the image"),
    "S changed": (_by_changing_S, "changed S itself"),
    "training": (lambda S, f, level: (S.train(), _scaled(_without)(S, f, level))[1], "changed S itself"),
    "something else": (lambda S, f, level: 1.1 * _scaled(_without)(S, f, level), "one by one"),
    "level fixed": (lambda S, f, level: _scaled(_without)(S, f, 1), "one by one"),
}


@pytest.mark.parametrize("mistake", MISTAKES_5_3)
def test_5_3_hints(mistake: str) -> None:
    answer, hint = MISTAKES_5_3[mistake]
    assert hint in wrong("5.3", answer)


def test_5_3_every_check_has_an_S_of_its_own() -> None:
    wrong("5.3", _by_changing_S)
    assert verdict("5.3", _by_hook)[0] == "right"


@pytest.mark.parametrize(
    ("number", "mistakes", "shared"),
    [
        ("5.1", MISTAKES_5_1, 1),
        ("5.2", MISTAKES_5_2, 1),
        pytest.param("5.3", MISTAKES_5_3, 1, marks=pytest.mark.slow),
    ],
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
