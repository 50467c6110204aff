"""Exercises of notebook 08: the sum of Eq. 5, one step of E and D, and a choice without any target label."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sdcda_tutorial.losses import adversarial_loss, discriminator_loss
from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, require, rule_out


@exercise("8.1", "The sum of Eq. 5", difficulty=1, minutes=4)
def total(answer: Answer) -> None:
    """one sum holds the whole family: a λ of zero takes its term away."""
    # Terms and weights whose products are easy to tell apart: 2 + 0.3 + 0.05 + 0.007.
    terms, weights = (2.0, 3.0, 5.0, 7.0), (0.1, 0.01, 0.001)
    mistakes: Mistakes = {
        "every term counts in full: where are the λ?": 2 + 3 + 5 + 7,
        "λs weighs the source's mask loss, λt the target's: yours swap.": 2 + 0.03 + 0.5 + 0.007,
        "the adversarial loss is missing.": 2 + 0.3 + 0.05,
        "the adversarial loss is subtracted. Eq. 10 is a loss of E already, small where D takes target for source; "
        "E and D oppose each other through their two losses, not through a minus.": 2 + 0.3 + 0.05 - 0.007,
        "Eq. 5 is a sum, not a mean: do not divide.": [2.357 / (1 + sum(weights)), 2.357 / 4],
        "the density loss is missing. It has no λ: its weight is 1.": 0.3 + 0.05 + 0.007,
    }
    closing = "terms 2, 3, 5, 7 and λ 0.1, 0.01, 0.001 give 2 + 0.3 + 0.05 + 0.007 = 2.357, not {found:.3f}."
    expect(float(answer(*map(torch.tensor, terms), *weights)), 2.357, closing, mistakes)
    off = float(answer(*map(torch.tensor, terms), 0.0, 0.0, 0.0))
    expect(off, 2, "with all λ zero only the density loss, 2, should be left, not {found:.3f}.", atol=1e-6)
    made = answer(*(torch.tensor(term, requires_grad=True) for term in terms), *weights)
    connected = isinstance(made, Tensor) and made.requires_grad
    require(connected, "the sum must stay a tensor, so that backward() works on it: no float() and no .item().")


_RATE, _LAMBDA = 0.5, 0.2
_LEAK = "the gradient of D's loss flows back into E, so E would learn to help D. Give D the features after .detach()."


def _toy(seed: int = 3) -> tuple[nn.Linear, nn.Linear, Tensor, Tensor]:
    """E and D, linear, and one batch of each domain. Gradient that reaches E's features of the source shows in xs."""
    generator = torch.Generator().manual_seed(seed)
    xs, xt = torch.randn(5, 2, generator=generator) + 1, torch.randn(4, 2, generator=generator) - 1
    E, D = nn.Linear(2, 3), nn.Linear(3, 1)
    with torch.no_grad():
        for weight in (*E.parameters(), *D.parameters()):
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return E, D, xs.requires_grad_(), xt


def _flat(module: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def _moved(module: nn.Module, loss: Callable[[nn.Module], Tensor]) -> nn.Module:
    """A copy of `module` after one step of SGD on `loss`, a function of the module."""
    module = copy.deepcopy(module)
    weights = list(module.parameters())
    gradients = torch.autograd.grad(loss(module), weights)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(_RATE * gradient)
    return module


def _moved_E(E: nn.Module, D: nn.Module, x: Tensor, sign: int = 1, weight: float = _LAMBDA) -> nn.Module:
    return _moved(E, lambda E: weight * adversarial_loss(sign * D(E(x))))


def _moved_D(D: nn.Module, fs: Tensor, ft: Tensor, weight: int = 1, eq10: float = 0) -> nn.Module:
    return _moved(D, lambda D: weight * discriminator_loss(D(fs), D(ft)) + eq10 * adversarial_loss(D(ft)))


@exercise("8.2", "One step of E, one step of D", difficulty=3, minutes=15)
def alternate(answer: Answer) -> None:
    """each side moves by its own loss and leaves the other alone: that is what alternating means."""
    E, D, xs, xt = _toy()
    optimizers = {"E": torch.optim.SGD(E.parameters(), _RATE), "D": torch.optim.SGD(D.parameters(), _RATE)}
    fs, ft, both = E(xs).detach(), E(xt).detach(), torch.cat([xs, xt])
    e_before, d_before, right_E, right_D = _flat(E), _flat(D), _moved_E(E, D, xt), _moved_D(D, fs, ft)
    found_out = [_flat(_moved_E(E, D, xt, sign=-1)), _flat(_moved_E(E, D, xt, weight=-_LAMBDA))]
    of_E = {
        "E's step is too large: the loss should be multiplied by lambda_d.": _flat(_moved_E(E, D, xt, weight=1)),
        "E learns to be found out. Reward it where D takes *target* features for source ones: label 1, which is "
        "softplus(-logits), with a plus before it.": found_out,
        "Eq. 10 looks at the target's features only; E need not disguise the source.": _flat(_moved_E(E, D, both)),
        "D moved before E's loss was computed. Here E goes first, then D.": _flat(_moved_E(E, right_D, xt)),
    }
    of_D = {
        "the label of D is the wrong way round: source is 1, target 0.": _flat(_moved_D(D, ft, fs)),
        "D was also moved by the adversarial loss, towards being fooled. Before D's step set its gradients to "
        "zero, or freeze D while E learns.": _flat(_moved_D(D, fs, ft, eq10=_LAMBDA)),
        "D's loss is half of each domain's: log 2 when D knows nothing.": _flat(_moved_D(D, fs, ft, weight=2)),
    }
    hint = "D saw features made anew after E had moved. Use those of this step's forward pass, detached."
    fresh = {hint: _flat(_moved_D(D, right_E(xs).detach(), right_E(xt).detach()))}
    try:
        answer(E, D, optimizers, xs, xt, _LAMBDA)
    except RuntimeError as error:
        require("second time" not in str(error), _LEAK)
        raise
    e, d = _flat(E), _flat(D)
    require(not torch.equal(e, e_before), 'E has not moved: is there an optimizers["E"].step() after a backward()?')
    require(not torch.equal(d, d_before), 'D has not moved: is there an optimizers["D"].step() after a backward()?')
    rule_out(e, of_E, atol=1e-5)
    rule_out(d, of_D, atol=1e-5)
    require(xs.grad is None or not xs.grad.any(), _LEAK)
    rule_out(d, fresh, atol=1e-5)
    expect(e, _flat(right_E), "E is not where one step of SGD on lambda_d times Eq. 10 leads.", atol=1e-5)
    expect(d, _flat(right_D), "D is not where one step of SGD on half of -log ps - log(1 - pt) leads.", atol=1e-5)
    right = torch.cat([_flat(_moved_E(E, D, xt)), _flat(_moved_D(D, E(xs).detach(), E(xt).detach()))])
    answer(E, D, optimizers, xs, xt, _LAMBDA)
    hint = "the second step is wrong: gradients of the first are still there. zero_grad() before each backward()."
    expect(torch.cat([_flat(E), _flat(D)]), right, hint, atol=1e-5)


# What a run might have logged, and beside it the errors on the target, which must not decide the choice.
_HISTORY: list[dict[str, float]] = [
    {"step": 50, "density": 0.90, "validation": 3.5, "target_error": 30.0},
    {"step": 100, "density": 0.60, "validation": 5.9, "target_error": 25.0},
    {"step": 150, "density": 0.40, "validation": 4.2, "target_error": 12.0},
    {"step": 160, "density": 0.10},
    {"step": 200, "density": 0.50, "validation": 4.0, "target_error": 16.0},
    {"step": 250, "density": 0.20, "validation": 4.0, "target_error": 14.0},
    {"step": 300, "density": 0.35, "validation": 4.6, "target_error": 13.0},
]


@exercise("8.3", "Choose the checkpoint", difficulty=2, minutes=6)
def choose(answer: Answer) -> None:
    """the choice used source labels only, so the target's test error is still an honest one."""

    def chosen(history: list[dict[str, float]], steps: int) -> Any:
        step = answer(copy.deepcopy(history), steps)
        logged = isinstance(step, int) and step in {line["step"] for line in history}
        require(logged, f"return the number of a step that was logged, an integer, not {step!r}.")
        return step

    mistakes = {
        "step 50 is in the first half, where S and D have hardly learned anything. Use the second half.": 50,
        "step 150 has the lowest error on the *target*, whose labels must not choose. Look at the held-out source, "
        '"validation".': 150,
        "step 160 has the lowest *training* loss, of one batch of images that were learned from.": 160,
        "of two equally good steps the first is kept: 200, not 250.": 250,
        "step 300 is the last, and the worst of the second half: a lower validation error is better.": 300,
        "step 100 has the highest validation error: it is an error, so lower is better.": 100,
    }
    expect(chosen(_HISTORY, 300), 200, "step 200 is the best of the second half, not step {found}.", mistakes)
    closing = "of 2 steps, step 1 is the first of the second half: from steps / 2 on, itself included."
    expect(chosen([{"step": 1, "validation": 2.0}, {"step": 2, "validation": 3.0}], 2), 1, closing)
