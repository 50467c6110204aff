"""Exercises and demo of notebook 08, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.demos.training_replay import column, render_training_replay
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture


def stub(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["8.1", "8.2", "8.3"])
def test_blanks_are_not_attempted(number: str) -> None:
    assert verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


# 8.1 ------------------------------------------------------------------------------------------------------------------


def test_8_1_right() -> None:
    assert verdict("8.1", lambda L, a, b, c, s, t, d: L + s * a + t * b + d * c)[0] == "right"
    package = lambda L, a, b, c, s, t, d: losses.total_loss(  # noqa: E731
        L, losses.LossWeights(s, t, d), seg_source=a, seg_target=b, adversarial=c
    )
    assert verdict("8.1", package)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda L, a, b, c, s, t, d: L + a + b + c, "where are the λ"),
        (lambda L, a, b, c, s, t, d: L + t * a + s * b + d * c, "swap"),
        (lambda L, a, b, c, s, t, d: L + s * a + t * b, "adversarial loss is missing"),
        (lambda L, a, b, c, s, t, d: L + s * a + t * b - d * c, "subtracted"),
        (lambda L, a, b, c, s, t, d: (L + s * a + t * b + d * c) / (1 + s + t + d), "not a mean"),
        (lambda L, a, b, c, s, t, d: (L + s * a + t * b + d * c) / 4, "not a mean"),
        (lambda L, a, b, c, s, t, d: s * a + t * b + d * c, "density loss is missing"),
        (lambda L, a, b, c, s, t, d: 1.5 * L + s * a + t * b + d * c, "2.357"),
        (lambda L, a, b, c, s, t, d: L + s * a + t * b + d * c + (0 if d else 1), "all λ zero"),
        (lambda L, a, b, c, s, t, d: (L + s * a + t * b + d * c).item(), "stay a tensor"),
    ],
)
def test_8_1_hints(answer: Any, hint: str) -> None:
    said, text = verdict("8.1", answer)
    assert said == "wrong" and hint in text


# 8.2 ------------------------------------------------------------------------------------------------------------------


def step(E, D, optimizers, xs, xt, lambda_d, mistake="") -> None:  # type: ignore[no-untyped-def]
    """The worked solution, and its typical mistakes by name."""
    fs, ft = E(xs), E(xt)

    def of_E() -> None:
        logits = D(ft)
        loss = F.softplus(-logits).mean()
        if mistake == "E's label":
            loss = F.softplus(logits).mean()
        if mistake == "sign":
            loss = -loss
        if mistake == "source too":
            loss = F.softplus(-torch.cat([D(fs), D(ft)])).mean()
        if mistake != "E's zero_grad":
            optimizers["E"].zero_grad()
        ((1 if mistake == "no λ" else lambda_d) * loss).backward()
        if mistake != "no E step":
            optimizers["E"].step()

    def of_D() -> None:
        s, t = (fs.detach(), ft.detach()) if mistake != "detach" else (E(xs), E(xt))
        if mistake == "detach, one graph":
            s, t = fs, ft
        if mistake == "fresh":
            s, t = E(xs).detach(), E(xt).detach()
        if mistake == "D's label":
            s, t = t, s
        loss = F.softplus(-D(s)).mean() + F.softplus(D(t)).mean()
        if mistake != "D's zero_grad":
            optimizers["D"].zero_grad()
        (loss if mistake == "no half" else loss / 2).backward()
        if mistake != "no D step":
            optimizers["D"].step()

    for part in (of_D, of_E) if mistake == "D first" else (of_E, of_D):
        part()


def leaking(E, D, optimizers, xs, xt, lambda_d) -> None:  # type: ignore[no-untyped-def]
    """Detach forgotten on the features of the step itself: every weight is right, but E's gradients are not."""
    fs, ft = E(xs), E(xt)
    first = torch.autograd.grad(lambda_d * F.softplus(-D(ft)).mean(), list(E.parameters()), retain_graph=True)
    optimizers["D"].zero_grad()
    losses.discriminator_loss(D(fs), D(ft)).backward()
    optimizers["D"].step()
    for weight, gradient in zip(E.parameters(), first, strict=True):
        weight.grad = gradient
    optimizers["E"].step()


def frozen(E, D, optimizers, xs, xt, lambda_d) -> None:  # type: ignore[no-untyped-def]
    """As the package does it: one forward pass of E, D frozen while E learns, one of D."""
    f = E(torch.cat([xs, xt]))
    D.requires_grad_(False)
    loss = lambda_d * losses.adversarial_loss(D(f[len(xs) :]))
    D.requires_grad_(True)
    optimizers["E"].zero_grad()
    loss.backward()
    optimizers["E"].step()
    logits = D(f.detach())
    loss = losses.discriminator_loss(logits[: len(xs)], logits[len(xs) :])
    optimizers["D"].zero_grad()
    loss.backward()
    optimizers["D"].step()


def test_8_2_right() -> None:
    assert verdict("8.2", step)[0] == "right"
    assert verdict("8.2", frozen)[0] == "right"


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ("no E step", "E has not moved"),
        ("no D step", "D has not moved"),
        ("no λ", "multiplied by lambda_d"),
        ("E's label", "E learns to be found out"),
        ("sign", "E learns to be found out"),
        ("source too", "target's features only"),
        ("D first", "E goes first"),
        ("D's label", "label of D is the wrong way round"),
        ("D's zero_grad", "D was also moved"),
        ("no half", "half of each domain"),
        ("fresh", "made anew"),
        ("detach", ".detach()"),
        ("detach, one graph", ".detach()"),
        ("E's zero_grad", "gradients of the first"),
    ],
)
def test_8_2_hints(mistake: str, hint: str) -> None:
    said, text = verdict("8.2", lambda *arguments: step(*arguments, mistake=mistake))
    assert said == "wrong" and hint in text


def test_8_2_a_leak_that_moves_no_weight_is_found() -> None:
    said, text = verdict("8.2", leaking)
    assert said == "wrong" and ".detach()" in text


# 8.3 ------------------------------------------------------------------------------------------------------------------


def choose(history: list[dict], steps: int) -> int:
    lines = [line for line in history if "validation" in line and line["step"] >= steps / 2]
    return min(lines, key=lambda line: line["validation"])["step"]


def test_8_3_right() -> None:
    assert verdict("8.3", choose)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda h, n: min((x for x in h if "target_error" in x), key=lambda x: x["target_error"])["step"], "*target*"),
        (lambda h, n: min(h, key=lambda x: x["density"])["step"], "*training* loss"),
        (lambda h, n: min((x for x in h if "validation" in x), key=lambda x: x["validation"])["step"], "first half"),
        (lambda h, n: min(reversed([x for x in h if "validation" in x and x["step"] >= n / 2]),
                          key=lambda x: x["validation"])["step"], "the first is kept"),
        (lambda h, n: h[-1]["step"], "is the last"),
        (lambda h, n: max((x for x in h if "validation" in x), key=lambda x: x["validation"])["step"], "highest"),
        (lambda h, n: min((x for x in h if "validation" in x and x["step"] > n / 2),
                          key=lambda x: x["validation"])["step"], "itself included"),
        (lambda h, n: h[0], "number of a step"),
    ],
)  # fmt: skip
def test_8_3_hints(answer: Any, hint: str) -> None:
    said, text = verdict("8.3", answer)
    assert said == "wrong" and hint in text


# The demo -------------------------------------------------------------------------------------------------------------

LOGS = {
    "noadapt": [{"step": s, "density": 1 / s} for s in (10, 20, 30)],
    "se+fd": [{"step": s, "density": 1 / s, "adversarial": 0.7, "discriminator": 0.6, "D_accuracy": s / 40}
              for s in (10, 20, 30)] + [{"step": 30, "validation": 4.0}],
}  # fmt: skip


def test_a_column_stops_where_it_should() -> None:
    assert column(LOGS["se+fd"], "D_accuracy", 20) == ([10, 20], [0.25, 0.5])
    assert column(LOGS["noadapt"], "D_accuracy") == ([], [])


@pytest.mark.slow
def test_render_changes_with_method_and_step_and_takes_the_extremes() -> None:
    seen = []
    for method in LOGS:
        for at in (0, 10, 30):
            figure = render_training_replay(LOGS, method, at)
            assert isinstance(figure, Figure)
            seen.append(picture(figure))
    assert len(set(seen)) == len(seen)
    plt.close("all")
