"""Exercises of notebook 08: the sum of Eq. 5, one step of each side, and a choice that looks at no target label."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdcda_tutorial.teaching.exercises import exercise, require


@exercise(
    "8.1",
    "The sum of Eq. 5",
    difficulty=1,
    minutes=4,
    praise="one sum holds the whole family: a λ of zero takes its term away.",
)
def total(answer: Callable[..., Any]) -> None:
    # Terms and weights whose products are told apart at a glance: 2 + 0.3 + 0.05 + 0.007.
    terms, weights = (2.0, 3.0, 5.0, 7.0), (0.1, 0.01, 0.001)
    value = float(answer(*map(torch.tensor, terms), *weights))
    density, s, t, d = terms[0], *(w * term for w, term in zip(weights, terms[1:], strict=True))

    def is_(number: float) -> bool:
        return abs(value - number) < 1e-4

    require(not is_(sum(terms)), "every term counts in full: where are the λ?")
    require(
        not is_(0.01 * 3.0 + 0.1 * 5.0 + d + density), "λs weighs the source's mask loss, λt the target's: yours swap."
    )
    require(not is_(density + s + t), "the adversarial loss is missing.")
    require(
        not is_(density + s + t - d),
        "the adversarial loss is subtracted. Eq. 10 is a loss of E already, small where D takes target for source; E "
        "and D pull against each other because they have different losses, not because of a minus here.",
    )
    require(
        not is_((density + s + t + d) / (1 + sum(weights))) and not is_((density + s + t + d) / 4),
        "Eq. 5 is a sum, not a mean: nothing is divided.",
    )
    require(not is_(s + t + d), "the density loss is missing. It has no λ: its weight is 1.")
    require(
        is_(density + s + t + d),
        f"for the terms 2, 3, 5, 7 and the weights 0.1, 0.01, 0.001 the sum is 2 + 0.3 + 0.05 + 0.007 = 2.357, "
        f"not {value:.3f}.",
    )
    off = float(answer(*map(torch.tensor, terms), 0.0, 0.0, 0.0))
    require(abs(off - density) < 1e-6, f"with all λ zero only the density loss, 2, should be left, not {off:.3f}.")
    leaves = [torch.tensor(term, requires_grad=True) for term in terms]
    made = answer(*leaves, *weights)
    require(
        isinstance(made, Tensor) and made.requires_grad,
        "the sum must stay a tensor, so that one can call backward on it: no float() and no .item().",
    )


class _Extractor(nn.Module):
    """A toy E, linear, that notes how much gradient arrives at the features of each domain."""

    def __init__(self, xs: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.xs, self.source_gradient = xs, 0.0

    def forward(self, x: Tensor) -> Tensor:
        f = self.linear(x)
        # Both domains may come in one batch: rows of the source are found by what they are.
        is_source = (x[:, None] == self.xs[None]).all(dim=-1).any(dim=1)

        def note(gradient: Tensor) -> None:
            self.source_gradient += float(gradient[is_source].abs().sum())

        if f.requires_grad:
            f.register_hook(note)
        return f


_RATE, _LAMBDA = 0.5, 0.2
_LEAK = (
    "the gradient of D's loss runs back through the features into E: E would learn to help D. Give D the features "
    "after .detach()."
)


def _toy(seed: int = 3) -> tuple[_Extractor, nn.Linear, dict[str, torch.optim.Optimizer], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    xs, xt = torch.randn(5, 2, generator=generator) + 1, torch.randn(4, 2, generator=generator) - 1
    E, D = _Extractor(xs), nn.Linear(3, 1)
    with torch.no_grad():
        for weight in (*E.parameters(), *D.parameters()):
            weight.copy_(torch.randn(weight.shape, generator=generator))
    optimizers: dict[str, torch.optim.Optimizer] = {
        "E": torch.optim.SGD(E.parameters(), _RATE),
        "D": torch.optim.SGD(D.parameters(), _RATE),
    }
    return E, D, optimizers, xs, xt


def _reference(E: nn.Module, D: nn.Module, xs: Tensor, xt: Tensor, mistake: str = "") -> tuple[Tensor, Tensor]:
    """Weights of E and of D, flat, after one step with a given mistake."""
    E, D = copy.deepcopy(E), copy.deepcopy(D)
    e, d = list(E.parameters()), list(D.parameters())
    fs, ft = E(xs), E(xt)
    weight = 1.0 if mistake == "no λ" else -_LAMBDA if mistake == "sign" else _LAMBDA
    fooled = -D(ft) if mistake != "E's label" else D(ft)
    if mistake == "source too":
        fooled = torch.cat([-D(fs), fooled])
    adversarial = weight * F.softplus(fooled).mean()
    of_E = torch.autograd.grad(adversarial, e, retain_graph=True)
    into_D = torch.autograd.grad(adversarial, d)
    before = [weights.detach().clone() for weights in e]
    with torch.no_grad():
        for weights, gradient in zip(e, of_E, strict=True):
            weights.sub_(_RATE * gradient)
    features = [fs.detach(), ft.detach()]
    if mistake == "fresh":
        features = [E(xs).detach(), E(xt).detach()]
    if mistake == "D's label":
        features.reverse()
    loss = F.softplus(-D(features[0])).mean() + F.softplus(D(features[1])).mean()
    gradients = torch.autograd.grad(loss if mistake == "no half" else loss / 2, d)
    if mistake == "D first":  # E's gradient comes from a D that has moved already
        with torch.no_grad():
            for weights, gradient in zip(d, gradients, strict=True):
                weights.sub_(_RATE * gradient)
            for weights, old in zip(e, before, strict=True):
                weights.copy_(old)
        of_E = torch.autograd.grad(_LAMBDA * F.softplus(-D(E(xt))).mean(), e)
        with torch.no_grad():
            for weights, gradient in zip(e, of_E, strict=True):
                weights.sub_(_RATE * gradient)
        return _flat(E), _flat(D)
    with torch.no_grad():
        for weights, gradient, extra in zip(d, gradients, into_D, strict=True):
            weights.sub_(_RATE * (gradient + (extra if mistake == "D moved by Eq. 10" else 0)))
    return _flat(E), _flat(D)


def _flat(module: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


@exercise(
    "8.2",
    "One step of E, one step of D",
    difficulty=3,
    minutes=15,
    praise="each side moves by its own loss and leaves the other alone: that is what alternating means.",
)
def alternate(answer: Callable[..., Any]) -> None:
    E, D, optimizers, xs, xt = _toy()
    expected = {
        mistake: _reference(E, D, xs, xt, mistake)
        for mistake in ("", "no λ", "sign", "E's label", "source too", "D first", "fresh", "D's label", "no half",
                        "D moved by Eq. 10")
    }  # fmt: skip
    start = _flat(E), _flat(D)
    E.source_gradient = 0.0
    try:
        answer(E, D, optimizers, xs, xt, _LAMBDA)
    except RuntimeError as error:
        require("second time" not in str(error), _LEAK)
        raise
    e, d = _flat(E), _flat(D)

    def E_is(mistake: str) -> bool:
        return torch.allclose(e, expected[mistake][0], atol=1e-5)

    def D_is(mistake: str) -> bool:
        return torch.allclose(d, expected[mistake][1], atol=1e-5)

    require(not torch.equal(e, start[0]), 'E has not moved: is there an optimizers["E"].step() after a backward()?')
    require(not torch.equal(d, start[1]), 'D has not moved: is there an optimizers["D"].step() after a backward()?')
    require(not E_is("no λ"), "E's step is too large: the adversarial loss is to be multiplied by lambda_d.")
    require(
        not E_is("E's label") and not E_is("sign"),
        "E learns to be found out: it should be rewarded where D takes *target* features for source ones, label 1, "
        "which is softplus(-logits), with a plus before it.",
    )
    require(not E_is("source too"), "Eq. 10 looks at the target's features only; E need not disguise the source.")
    require(not (E_is("D first") and not E_is("")), "D moved before E's loss was taken. Here E goes first, then D.")
    require(not D_is("D's label"), "the label of D is the wrong way round: source is 1, target 0.")
    require(
        not D_is("D moved by Eq. 10"),
        "D was also moved by the adversarial loss, towards being fooled: its gradient from E's backward() is still "
        "there. Set D's gradients to zero between the two, or freeze D while E learns.",
    )
    require(not D_is("no half"), "D's loss is half of each domain's: log 2 when D knows nothing, not 2 log 2.")
    require(E.source_gradient == 0, _LEAK)
    require(
        not (D_is("fresh") and not D_is("")),
        "D saw features made anew after E had moved. Use those of this step's forward pass, detached.",
    )
    require(E_is(""), "E is not where one step of SGD on lambda_d times Eq. 10 leads.")
    require(D_is(""), "D is not where one step of SGD on its loss leads: half of -log ps plus half of -log(1 - pt).")
    then = _reference(E, D, xs, xt)
    answer(E, D, optimizers, xs, xt, _LAMBDA)
    require(
        torch.allclose(_flat(E), then[0], atol=1e-5) and torch.allclose(_flat(D), then[1], atol=1e-5),
        "the first step is right, the second is not: gradients of the first are still there. zero_grad() before "
        "each backward().",
    )


# What a run might have logged, and beside it what nobody may look at while choosing.
_HISTORY: list[dict[str, float]] = [
    {"step": 50, "density": 0.90, "validation": 3.5},
    {"step": 100, "density": 0.60, "validation": 5.9},
    {"step": 150, "density": 0.40, "validation": 4.2},
    {"step": 160, "density": 0.10},
    {"step": 200, "density": 0.50, "validation": 4.0},
    {"step": 250, "density": 0.20, "validation": 4.0},
    {"step": 300, "density": 0.35, "validation": 4.6},
]
_TARGET_ERROR = {50: 30.0, 100: 25.0, 150: 12.0, 200: 16.0, 250: 14.0, 300: 13.0}


@exercise(
    "8.3",
    "Choose the checkpoint",
    difficulty=2,
    minutes=6,
    praise="the choice used source labels only, so the target's test error is still an honest one.",
)
def choose(answer: Callable[..., Any]) -> None:
    def chosen(history: Sequence[dict[str, float]], steps: int) -> int:
        step = answer(copy.deepcopy(list(history)), steps)
        known = {int(line["step"]) for line in history}
        require(
            isinstance(step, int) and step in known,
            f"give the number of a step that was logged, a whole one, not {step!r}.",
        )
        return int(step)

    with_target = [
        {**line, "target_error": _TARGET_ERROR[int(line["step"])]} if "validation" in line else line
        for line in _HISTORY
    ]
    step = chosen(with_target, 300)
    require(step != 50, "step 50 is in the first half, where S and D have hardly begun; the second half is eligible.")
    require(
        step != 150,
        'step 150 has the lowest error on the *target*. Its labels may not choose: look at "validation", the held-out '
        "source.",
    )
    require(step != 160, "step 160 has the lowest *training* loss, of one batch of images that were learned from.")
    require(step != 250, "of two equally good steps the first is kept: 200, not 250.")
    require(step != 300, "step 300 is the last, and the worst of the second half: a lower validation error is better.")
    require(step != 100, "step 100 has the highest validation error: it is an error, so lower is better.")
    require(step == 200, f"step 200 has the lowest validation error of the second half, not step {step}.")
    require(
        chosen([{"step": 1, "validation": 2.0}, {"step": 2, "validation": 3.0}], 2) == 1,
        "of 2 steps, step 1 is the first of the second half: from steps / 2 on, itself included.",
    )
