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


@pytest.mark.parametrize("blank", [..., None, (..., ...), ([1, 0.75, 0.5, 1], ...), (None, 0.52)])
def test_6_1_blank(blank: Any) -> None:
    assert verdict("6.1", blank)[0] == "not attempted"


@pytest.mark.parametrize("number", ["6.2", "6.3"])
def test_stubs_are_not_attempted(number: str) -> None:
    assert verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


H, LOSS = [1, 0.75, 0.5, 1], (1.386 + 0.693) / 4


def test_6_1_right() -> None:
    assert verdict("6.1", (H, LOSS))[0] == "right"
    assert verdict("6.1", (torch.tensor(H), torch.tensor(LOSS)))[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (([0.9, 1, 1, 0.2], LOSS), "1 - z picks the background"),
        (([0, 0.75, 0.5, 0], LOSS), "Eq. 8 adds z"),
        (([0.9, 0.75, 0.5, 0.2], LOSS), "ẑ itself"),
        (([1, 1], LOSS), "four pixels"),
        (([1, 0.75, 0.75, 1], LOSS), "one after the other"),
        ((H, -LOSS), "minus of Eq. 9"),
        ((H, 4 * LOSS), "sum over the pixels"),
        ((H, 2 * LOSS), "two pixels of background"),
        ((H, -(np.log(0.75) + np.log(0.5)) / 4), "label of the background is 0"),
        ((H, LOSS / np.log(10)), "natural logarithm"),
        ((H, LOSS / np.log(2)), "natural logarithm"),
        ((H, 0.3), "add up"),
    ],
)
def test_6_1_hints(answer: Any, hint: str) -> None:
    said, text = verdict("6.1", answer)
    assert said == "wrong" and hint in text


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
def test_6_2_right(answer: Callable) -> None:
    assert verdict("6.2", answer)[0] == "right"


def _by_letter(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    h = losses.masked_prediction(x.sigmoid(), z)
    return -(z * h.log() + (1 - z) * (1 - h).log()).mean()


def _background_log(epsilon: float) -> Callable:
    return lambda x, z: -((1 - z) * (1 - x.sigmoid() + epsilon).log()).mean()


MISTAKES_6_2 = {
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
    "inside the rectangle": (F.binary_cross_entropy_with_logits, "naive loss"),
    "mask ignored": (lambda x, z: F.softplus(x).mean(), "as if all were background"),
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


@pytest.mark.parametrize("mistake", MISTAKES_6_2)
def test_6_2_hints(mistake: str) -> None:
    answer, hint = MISTAKES_6_2[mistake]
    said, text = verdict("6.2", answer)
    assert said == "wrong" and hint in text, text


def test_6_2_each_kind_of_hint_is_its_own() -> None:
    texts = {mistake: verdict("6.2", answer)[1] for mistake, (answer, _) in MISTAKES_6_2.items()}
    alike = {"mean over each image's background": "mean over the background", "a number": "no mean at all"}
    distinct = [text for mistake, text in texts.items() if mistake not in alike]
    assert len(set(distinct)) == len(distinct)
    assert all(texts[a] == texts[b] for a, b in alike.items())


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, z: (1 - z) * x.sigmoid() / x.numel(),
        lambda x, z: torch.where(z == 1, 0.0, torch.sigmoid(x)) / z.numel(),
    ],
)
def test_6_3_right(answer: Callable) -> None:
    assert verdict("6.3", answer)[0] == "right"


MISTAKES_6_3 = {
    "not divided": (lambda x, z: (1 - z) * x.sigmoid(), "right for a sum"),
    "divided by the background": (lambda x, z: (1 - z) * x.sigmoid() / (1 - z).sum(), "pixels of background"),
    "divided by one image": (lambda x, z: (1 - z) * x.sigmoid() / x[0].numel(), "all images of the batch"),
    "naive": (lambda x, z: (x.sigmoid() - z) / x.numel(), "naive loss"),
    "mask inverted": (lambda x, z: z * x.sigmoid() / x.numel(), "wrong way round"),
    "slope of the sigmoid": (
        lambda x, z: (1 - z) * x.sigmoid() * (1 - x.sigmoid()) / x.numel(),
        "one factor goes away",
    ),
    "with respect to ẑ": (lambda x, z: (1 - z) / (1 - x.sigmoid()) / x.numel(), "derivative with respect to ẑ"),
    "sign": (lambda x, z: -(1 - z) * x.sigmoid() / x.numel(), "the sign"),
    "mask ignored": (lambda x, z: x.sigmoid() / x.numel(), "what is its slope"),
    "a scalar": (lambda x, z: ((1 - z) * x.sigmoid()).mean(), "in the shape of the logits"),
    "something else": (lambda x, z: (1 - z) * x / x.numel(), "differentiate"),
}


@pytest.mark.parametrize("mistake", MISTAKES_6_3)
def test_6_3_hints(mistake: str) -> None:
    answer, hint = MISTAKES_6_3[mistake]
    said, text = verdict("6.3", answer)
    assert said == "wrong" and hint in text, text


def test_6_3_hints_differ() -> None:
    texts = [verdict("6.3", answer)[1] for answer, _ in MISTAKES_6_3.values()]
    assert len(set(texts)) == len(texts)


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
    pictures += [picture(render_masked_loss(0.8, 0, loss)) for loss in ("Eq. 8-9", "entropy")]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize(("prob", "z"), [(0.0, 0), (1.0, 0), (0.5, 2)])
def test_the_demo_refuses_what_has_no_logit(prob: float, z: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        render_masked_loss(prob, z, "naive")


def test_values_of_the_demo_by_hand() -> None:
    logit = float(np.log(4))  # ẑ = 0.8
    assert value_and_gradient("Eq. 8-9", logit, 0) == pytest.approx((-np.log(0.2), 0.8))
    assert value_and_gradient("Eq. 8-9", logit, 1) == (0, 0)
    assert value_and_gradient("naive", logit, 1) == pytest.approx((-np.log(0.8), -0.2))
    assert value_and_gradient("entropy", logit, 0) == pytest.approx(
        (-0.8 * np.log(0.8) - 0.2 * np.log(0.2), -logit * 0.16)
    )
