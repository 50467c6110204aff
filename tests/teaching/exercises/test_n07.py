"""Exercises of notebook 07, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import verdict


def stub(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["7.1", "7.2", "7.3"])
def test_blanks_are_not_attempted(number: str) -> None:
    assert number == "7.3" or verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


def _bce(x: torch.Tensor, label: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(x, torch.full_like(x, label))


@pytest.mark.parametrize("answer", [losses.discriminator_loss, lambda s, t: 0.5 * (_bce(s, 1) + _bce(t, 0))])
def test_7_1_right(answer: Any) -> None:
    assert verdict("7.1", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda s, t: losses.discriminator_loss(t, s), "wrong way round"),
        (lambda s, t: 2 * losses.discriminator_loss(s, t), "half of each"),
        (lambda s, t: F.softplus(-s).sum() + F.softplus(t).sum(), "take the mean"),
        (lambda s, t: 0.5 * (F.softplus(-s).sum() + F.softplus(t).sum()), "take the mean"),
        (lambda s, t: -0.5 * (s.log().mean() + (1 - t).log().mean()), "not probabilities yet"),
        (lambda s, t: losses.discriminator_loss(s.sigmoid(), t.sigmoid()), "twice"),
        (lambda s, t: torch.cat([F.softplus(-s), F.softplus(t)]).mean(), "counts twice as much"),
        (lambda s, t: -0.5 * (s.sigmoid().log().mean() + (1 - t.sigmoid()).log().mean()), "rounds to 0 or 1"),
        (lambda s, t: 0.5 * (F.softplus(-s) + F.softplus(t)), "one number"),
        (lambda s, t: F.softplus(-s).mean(), "half of -log ps"),
        (lambda s, t: 3 * losses.discriminator_loss(s, t), "log 2 = 0.693"),
    ],
)
def test_7_1_hints(answer: Any, hint: str) -> None:
    said, text = verdict("7.1", answer)
    assert said == "wrong" and hint in text


@pytest.mark.parametrize("answer", [losses.adversarial_loss, lambda x: _bce(x, 1), lambda x: -F.logsigmoid(x).mean()])
def test_7_2_right(answer: Any) -> None:
    assert verdict("7.2", answer)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x: F.logsigmoid(x).mean(), "the sign"),
        (lambda x: F.softplus(x).mean(), "found out"),
        (lambda x: F.logsigmoid(-x).mean(), "not Eq. 10"),
        (lambda x: F.softplus(-x).sum(), "every loss is a mean"),
        (lambda x: F.softplus(-x.sigmoid()).mean(), "twice"),
        (lambda x: F.softplus(-x.detach()).mean(), "no gradient"),
        (lambda x: F.softplus(-x).mean().item(), "no gradient"),
        (lambda x: -x.sigmoid().log().mean(), "softplus"),
        (lambda x: F.softplus(-x).mean() / 2, "the mean of -log p"),
        (lambda x: F.softplus(-x), "one number"),
    ],
)
def test_7_2_hints(answer: Any, hint: str) -> None:
    said, text = verdict("7.2", answer)
    assert said == "wrong" and hint in text


RIGHT = {1: "one sum", 2: "λd too large", 3: "labels mixed up", 4: "D too slow"}


def swapped(a: int, b: int) -> dict[int, str]:
    return RIGHT | {a: RIGHT[b], b: RIGHT[a]}


def test_7_3_right() -> None:
    assert verdict("7.3", RIGHT)[0] == "right"
    assert verdict("7.3", {str(number): fault for number, fault in RIGHT.items()})[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ("one sum", "answer with a dictionary"),
        ({1: "one sum"}, "each of the games 1, 2, 3 and 4"),
        (RIGHT | {1: "one summ"}, "there is no fault ['one summ']"),
        (RIGHT | {1: "D too slow"}, "one of them twice"),
        (swapped(2, 4), "C's error"),
        (swapped(2, 1), "C's error"),
        (swapped(4, 3), "D has not learned"),
        (swapped(1, 3), "rewarded for a small Eq. 10"),
    ],
)
def test_7_3_hints(answer: Any, hint: str) -> None:
    said, text = verdict("7.3", answer)
    assert said == "wrong" and hint in text
