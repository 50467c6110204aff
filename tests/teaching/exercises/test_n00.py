"""Exercises of notebook 00, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from sdcda_tutorial.teaching.exercises import verdict


def stub(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["0.1", "0.2"])
def test_a_stub_is_not_attempted(number: str) -> None:
    assert verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


def test_0_1_right() -> None:
    assert verdict("0.1", lambda predicted, truth: predicted[truth == 0].sum())[0] == "right"
    assert verdict("0.1", lambda predicted, truth: float((predicted * (truth == 0)).sum()))[0] == "right"


def writes(predicted: Tensor, truth: Tensor) -> Tensor:
    predicted[truth > 0] = 0
    return predicted.sum()


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda predicted, truth: predicted[truth > 0].sum(), "on the *crowd*"),
        (lambda predicted, truth: predicted.sum() - truth.sum(), "error of the whole count"),
        (lambda predicted, truth: predicted.sum(), "everybody"),
        (lambda predicted, truth: predicted[truth == 0].mean(), "*sum*"),
        (lambda predicted, truth: (predicted * (truth == 0)).mean(), "*sum*"),
        (lambda predicted, truth: predicted[truth < 0.1].sum(), "exactly zero"),
        (lambda predicted, truth: predicted[truth < 0.005].sum(), "exactly zero"),
        (lambda predicted, truth: (truth == 0).sum(), "pixels are counted"),
        (lambda predicted, truth: ((truth == 0) & (predicted > 0)).sum(), "pixels are counted"),
        (writes, "changed the maps"),
        (lambda predicted, truth: 7.0, "0.8 people"),
    ],
)
def test_0_1_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("0.1", answer)
    assert said == "wrong"
    assert hint in text


def hidden(true: Any, predicted: Any, invented: Any) -> Any:
    return np.minimum(invented, np.maximum(true - predicted + invented, 0))


def test_0_2_right() -> None:
    assert verdict("0.2", hidden)[0] == "right"
    assert (
        verdict("0.2", lambda *columns: [max(0, min(i, t - p + i)) for t, p, i in zip(*columns, strict=True)])[0]
        == "right"
    )


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda t, p, i: t - p + i, "missed people. Some"),
        (lambda t, p, i: np.maximum(t - p + i, 0), "missed people. Some"),
        (lambda t, p, i: i, "as many people as are missed"),
        (lambda t, p, i: p - t, "is what you see"),
        (lambda t, p, i: abs(p - t), "is what you see"),
        (lambda t, p, i: np.minimum(i, t - p + i), "below zero"),
        (lambda t, p, i: p - i, "seen on the crowd"),
        (lambda t, p, i: np.minimum(i, t - p), "leave out those on the background"),
        (lambda t, p, i: np.minimum(i, np.maximum(t - p, 0)), "leave out those on the background"),
        (lambda t, p, i: np.maximum(i, t - p + i), "is the smaller"),
        (lambda t, p, i: hidden(t, p, i).sum(), "one number per image"),
        (lambda t, p, i: 3 + 0 * t, "you say 3"),
        (lambda t, p, i: np.maximum(i - abs(p - t), 0), "24 predicted and 4 of them invented, 4 are"),
    ],
)
def test_0_2_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("0.2", answer)
    assert said == "wrong"
    assert hint in text
