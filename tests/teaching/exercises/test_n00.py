"""Exercises of notebook 00, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from sdcda_tutorial.paper import TABLE_1
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


def mae(table: Any, dataset: str, method: str) -> float:
    return next(row.mae for row in table if (row.dataset, row.method) == (dataset, method))


def drop(table: Any, dataset: str, before: str, after: str) -> float:
    return 100 * (1 - mae(table, dataset, after) / mae(table, dataset, before))


def drop_of_mse(table: Any, dataset: str, before: str, after: str) -> float:
    b, a = (next(r.mse for r in table if (r.dataset, r.method) == (dataset, method)) for method in (before, after))
    return 100 * (b - a) / b


def test_0_2_right() -> None:
    assert verdict("0.2", drop)[0] == "right"
    assert np.isclose(drop(TABLE_1, "ShanghaiTech B", "NoAdpt (ours)", "SE+FD"), 31.3, atol=0.05)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda t, d, b, a: 100 * (mae(t, d, b) - mae(t, d, a)) / mae(t, d, a), "error *after*"),
        (lambda t, d, b, a: -drop(t, d, b, a), "the sign"),
        (lambda t, d, b, a: drop(t, d, b, a) / 100, "fraction"),
        (lambda t, d, b, a: mae(t, d, b) - mae(t, d, a), "difference in people"),
        (lambda t, d, b, a: 100 * mae(t, d, a) / mae(t, d, b), "*left*"),
        (lambda t, d, b, a: drop(t, d, "NoAdpt [16]", a), "NoAdpt [16]"),
        (lambda t, d, b, a: drop(t, "ShanghaiTech A", b, a), "another data set"),
        (lambda t, d, b, a: drop(t, "UCF-QNRF", b, a), "another data set"),
        (drop_of_mse, "MSE"),
        (lambda t, d, b, a: drop(TABLE_1, d, b, a), "table that you are given"),
        (lambda t, d, b, a: 12.0, "31.3"),
    ],
)
def test_0_2_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("0.2", answer)
    assert said == "wrong"
    assert hint in text
