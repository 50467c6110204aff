"""Exercises and demo of notebook 06, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.demos.masked_loss import LOSSES, render_masked_loss, value_and_gradient
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture


def stub(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["6.1", "6.3"])
def test_stubs_are_not_attempted(number: str) -> None:
    assert verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


def _mean(logits: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return ((1 - z) * F.softplus(logits)).mean()


@pytest.mark.parametrize(
    "answer",
    [
        losses.target_segmentation_loss,
        _mean,
        lambda x, z: F.binary_cross_entropy_with_logits(x, torch.zeros_like(x), weight=1 - z),
        lambda x, z: -((1 - z) * F.logsigmoid(-x)).mean(),
        lambda x, z: torch.where(z == 0, F.softplus(x), 0.0).mean(),
    ],
)
def test_6_1_right(answer: Callable) -> None:
    assert verdict("6.1", answer)[0] == "right"


def _by_letter(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    h = losses.masked_prediction(x.sigmoid(), z)
    return -(z * h.log() + (1 - z) * (1 - h).log()).mean()


def _background_log(epsilon: float) -> Callable:
    return lambda x, z: -((1 - z) * (1 - x.sigmoid() + epsilon).log()).mean()


MISTAKES_6_1 = {
    "sum": (lambda x, z: ((1 - z) * F.softplus(x)).sum(), "take the mean"),
    "sum over pixels, mean over images": (
        lambda x, z: ((1 - z) * F.softplus(x)).sum() / len(x),
        "how the paper prints",
    ),
    "mean over the background": (lambda x, z: F.softplus(x[z == 0]).mean(), "pixels of background only"),
    "mean over each image's background": (
        lambda x, z: (((1 - z) * F.softplus(x)).sum((1, 2, 3)) / (1 - z).sum((1, 2, 3))).mean(),
        "pixels of background only",
    ),
    "mask inverted": (lambda x, z: (z * F.softplus(x)).mean(), "wrong way round"),
    "naive": (F.binary_cross_entropy_with_logits, "naive loss"),
    "mask ignored": (lambda x, z: F.softplus(x).mean(), "as if all were background"),
    "masked logits": (lambda x, z: F.binary_cross_entropy_with_logits(x * (1 - z), z), "costs log 2"),
    "other reading": (losses.target_entropy_loss, "entropy"),
    "label 1": (lambda x, z: ((1 - z) * F.softplus(-x)).mean(), "rewards crowd"),
    "0 × log 0": (_by_letter, "nan"),
    "sign": (lambda x, z: -_mean(x, z), "the sign is wrong"),
    "log of zero": (_background_log(0.0), "its logarithm is not finite"),
    "small constant": (_background_log(1e-8), "hides the zero"),
    "no mean at all": (lambda x, z: (1 - z) * F.softplus(x), "one number"),
    "a number": (lambda x, z: 0.5, "one number"),
    "something else": (lambda x, z: 0.7 * _mean(x, z), "should be"),
}


@pytest.mark.parametrize("mistake", MISTAKES_6_1)
def test_6_1_hints(mistake: str) -> None:
    answer, hint = MISTAKES_6_1[mistake]
    said, text = verdict("6.1", answer)
    assert said == "wrong" and hint in text, text


def test_6_1_each_kind_of_hint_is_its_own() -> None:
    texts = {mistake: verdict("6.1", answer)[1] for mistake, (answer, _) in MISTAKES_6_1.items()}
    alike = {"mean over each image's background": "mean over the background", "a number": "no mean at all"}
    distinct = [text for mistake, text in texts.items() if mistake not in alike]
    assert len(set(distinct)) == len(distinct)
    assert all(texts[a] == texts[b] for a, b in alike.items())


@pytest.mark.parametrize("blank", [..., None, (..., ..., ...), (1, 1, ...), (None, 1, 4)])
def test_6_2_blank(blank: Any) -> None:
    assert verdict("6.2", blank)[0] == "not attempted"


def test_6_2_right() -> None:
    """As autograd has it: ẑ = 0.5 in two images with 8 and 2 of 10 pixels background."""
    z = torch.ones(2, 1, 1, 10)
    z[0, ..., :8], z[1, ..., :2] = 0, 0

    def push(mean: Callable) -> float:
        x = torch.zeros(2, 1, 1, 10, requires_grad=True)
        (slopes,) = torch.autograd.grad(mean((1 - z) * F.softplus(x)), x)
        return float(slopes[1, 0, 0, 0] / slopes[0, 0, 0, 0])

    of_each = (1 - z).sum((1, 2, 3))
    answers = (
        push(lambda pixels: pixels.mean()),
        push(lambda pixels: pixels.sum() / (1 - z).sum()),
        push(lambda pixels: (pixels.sum((1, 2, 3)) / of_each).mean()),
    )
    assert answers == pytest.approx((1, 1, 4))
    assert verdict("6.2", answers)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ((4, 1, 4), "*all* pixels"),
        ((0.25, 1, 4), "*all* pixels"),
        ((2, 1, 4), "equally many"),
        ((1, 4, 4), "one denominator"),
        ((1, 0.5, 4), "of both images together"),
        ((1, 1, 0.25), "the other way round"),
        ((1, 1, 1), "a denominator of its own"),
        ((1, 1, 2), "drops out"),
        ((1, 1, 1.6), "no ratio of a share"),
        ((1, 1, 3), "divided by 2 images"),
        ((1, 4), "three numbers"),
    ],
)
def test_6_2_hints(answer: Any, hint: str) -> None:
    said, text = verdict("6.2", answer)
    assert said == "wrong" and hint in text, text


def _searched(people: float, leaves: float, weight: float = 1.0) -> float:
    """The minimum found on a fine grid."""
    z_hat = np.linspace(1e-5, 1 - 1e-5, 100_001)
    return float(z_hat[(-people * np.log(z_hat) - weight * leaves * np.log(1 - z_hat)).argmin()])


@pytest.mark.parametrize("answer", [lambda p, n, w=1.0: p / (p + w * n), _searched])
def test_6_3_right(answer: Callable) -> None:
    assert verdict("6.3", answer)[0] == "right"


MISTAKES_6_3 = {
    "logit": (lambda p, n, w=1.0: np.log(p / (w * n)), "this is the logit"),
    "one minus": (lambda p, n, w=1.0: w * n / (p + w * n), "1 - ẑ"),
    "ratio": (lambda p, n, w=1.0: p / (w * n), "ẑ is a probability"),
    "no weight": (lambda p, n, w=1.0: p / (p + n), "belongs beside `leaves`"),
    "weight of people": (lambda p, n, w=1.0: w * p / (w * p + n), "belongs beside `leaves`"),
    "weight of everything": (lambda p, n, w=1.0: w * p / (p + n), "belongs beside `leaves`"),
    "decision": (lambda p, n, w=1.0: 1.0 if p > w * n else 0.0, "in between"),
    "half": (lambda p, n, w=1.0: 0.5, "equal numbers"),
    "something else": (lambda p, n, w=1.0: 0.65, "where is its derivative zero"),
    "two numbers": (lambda p, n, w=1.0: np.ones(2), "one number"),
}


@pytest.mark.parametrize("mistake", MISTAKES_6_3)
def test_6_3_hints(mistake: str) -> None:
    answer, hint = MISTAKES_6_3[mistake]
    said, text = verdict("6.3", answer)
    assert said == "wrong" and hint in text, text


# The demo


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("z", [0, 1])
@pytest.mark.parametrize("prob", [0.01, 0.5, 0.99])
def test_the_demo_draws_every_choice(prob: float, z: int, loss: str) -> None:
    figure = render_masked_loss(prob, z, loss)
    assert isinstance(figure, Figure)
    plt.close(figure)


@pytest.mark.slow
def test_the_demo_follows_each_control() -> None:
    pictures = [picture(render_masked_loss(*c)) for c in [(0.8, 0, "naive"), (0.3, 0, "naive"), (0.8, 1, "naive")]]
    pictures += [picture(render_masked_loss(0.8, 0, loss)) for loss in ("Eq. 8–9", "entropy")]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize(("prob", "z"), [(0.0, 0), (1.0, 0), (0.5, 2)])
def test_the_demo_refuses_what_has_no_logit(prob: float, z: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        render_masked_loss(prob, z, "naive")


def test_values_of_the_demo_by_hand() -> None:
    logit = float(np.log(4))  # ẑ = 0.8
    assert value_and_gradient("Eq. 8–9", logit, 0) == pytest.approx((-np.log(0.2), 0.8))
    assert value_and_gradient("Eq. 8–9", logit, 1) == (0, 0)
    assert value_and_gradient("naive", logit, 1) == pytest.approx((-np.log(0.8), -0.2))
    assert value_and_gradient("entropy", logit, 0) == pytest.approx(
        (-0.8 * np.log(0.8) - 0.2 * np.log(0.2), -logit * 0.16)
    )
