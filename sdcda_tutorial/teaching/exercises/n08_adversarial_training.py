"""Exercises of notebook 08: the sum of Eq. 5, one step of E and D, and a choice without any target label."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sdcda_tutorial.losses import adversarial_loss, discriminator_loss
from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, require, rule_out, same


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
    closing = (
        "for the terms 2, 3, 5, 7 and the weights 0.1, 0.01, 0.001 the sum is 2 + 0.3 + 0.05 + 0.007 = 2.357, "
        "not {found:.3f}."
    )
    expect(float(answer(*map(torch.tensor, terms), *weights)), 2.357, closing, mistakes)
    off = float(answer(*map(torch.tensor, terms), 0.0, 0.0, 0.0))
    expect(off, 2, "with all λ zero only the density loss, 2, should be left, not {found:.3f}.", atol=1e-6)
    made = answer(*(torch.tensor(term, requires_grad=True) for term in terms), *weights)
    connected = isinstance(made, Tensor) and made.requires_grad
    require(connected, "the sum must stay a tensor, so that backward() works on it: no float() and no .item().")


class _Extractor(nn.Module):
    """A toy E, linear, that notes how much gradient arrives at the features of the source."""

    def __init__(self, xs: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.xs, self.source_gradient = xs, 0.0

    def forward(self, x: Tensor) -> Tensor:
        f = self.linear(x)
        # Both domains may come in one batch: find the rows of the source by their values.
        is_source = (x[:, None] == self.xs[None]).all(dim=-1).any(dim=1)

        def note(gradient: Tensor) -> None:
            self.source_gradient += float(gradient[is_source].abs().sum())

        if f.requires_grad:
            f.register_hook(note)
        return f


_RATE, _LAMBDA = 0.5, 0.2
_LEAK = (
    "the gradient of D's loss flows back through the features into E, so E would learn to help D. Give D the features "
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


def _flat(module: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def _moved(module: nn.Module, loss: Callable[[nn.Module], Tensor]) -> nn.Module:
    """A copy of `module` after one step of SGD on `loss`, a function of the module."""
    module = copy.deepcopy(module)
    weights = list(module.parameters())
    gradients = torch.autograd.grad(loss(module), weights)  # of these weights alone: the other network keeps its own
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(_RATE * gradient)
    return module


def _right_step(E: nn.Module, D: nn.Module, xs: Tensor, xt: Tensor) -> tuple[nn.Module, nn.Module]:
    """Copies of E and D after one right step of each."""
    fs, ft = E(xs).detach(), E(xt).detach()
    E_after = _moved(E, lambda E: _LAMBDA * adversarial_loss(D(E(xt))))
    return E_after, _moved(D, lambda D: discriminator_loss(D(fs), D(ft)))


def _wrong_steps(E: nn.Module, D: nn.Module, xs: Tensor, xt: Tensor) -> tuple[Mistakes, Mistakes, Mistakes]:
    """Hint -> weights of E after the mistake; the same for D; the same for D, to compare last."""
    right_E, right_D = _right_step(E, D, xs, xt)
    fs, ft = E(xs).detach(), E(xt).detach()

    def moved_E(loss: Callable[[nn.Module], Tensor]) -> Tensor:
        return _flat(_moved(E, loss))

    def moved_D(loss: Callable[[nn.Module], Tensor]) -> Tensor:
        return _flat(_moved(D, loss))

    wrong_E: Mistakes = {
        "E's step is too large: the adversarial loss is to be multiplied by lambda_d.": moved_E(
            lambda E: adversarial_loss(D(E(xt)))
        ),
        "E learns to be found out: reward it where D takes *target* features for source features, label 1, which is "
        "softplus(-logits), with a plus before it.": [
            moved_E(lambda E: _LAMBDA * adversarial_loss(-D(E(xt)))),
            moved_E(lambda E: -_LAMBDA * adversarial_loss(D(E(xt)))),
        ],
        "Eq. 10 looks at the target's features only; E need not disguise the source.": moved_E(
            lambda E: _LAMBDA * adversarial_loss(D(E(torch.cat([xs, xt]))))
        ),
        "D moved before E's loss was taken. Here E goes first, then D.": moved_E(
            lambda E: _LAMBDA * adversarial_loss(right_D(E(xt)))
        ),
    }
    wrong_D: Mistakes = {
        "the label of D is the wrong way round: source is 1, target 0.": moved_D(
            lambda D: discriminator_loss(D(ft), D(fs))
        ),
        "D was also moved by the adversarial loss, towards being fooled: its gradient from E's backward() is still "
        "there. Set D's gradients to zero between the two, or freeze D while E learns.": moved_D(
            lambda D: discriminator_loss(D(fs), D(ft)) + _LAMBDA * adversarial_loss(D(ft))
        ),
        "D's loss is half of each domain's: log 2 when D knows nothing, not 2 log 2.": moved_D(
            lambda D: 2 * discriminator_loss(D(fs), D(ft))
        ),
    }
    fresh = right_E(xs).detach(), right_E(xt).detach()
    last: Mistakes = {
        "D saw features made anew after E had moved. Use those of this step's forward pass, detached.": moved_D(
            lambda D: discriminator_loss(D(fresh[0]), D(fresh[1]))
        ),
    }
    return wrong_E, wrong_D, last


@exercise("8.2", "One step of E, one step of D", difficulty=3, minutes=15)
def alternate(answer: Answer) -> None:
    """each side moves by its own loss and leaves the other alone: that is what alternating means."""
    E, D, optimizers, xs, xt = _toy()
    start_E, start_D = _flat(E), _flat(D)
    right_E, right_D = _right_step(E, D, xs, xt)
    wrong_E, wrong_D, wrong_last = _wrong_steps(E, D, xs, xt)
    E.source_gradient = 0.0
    try:
        answer(E, D, optimizers, xs, xt, _LAMBDA)
    except RuntimeError as error:
        require("second time" not in str(error), _LEAK)
        raise
    e, d = _flat(E), _flat(D)
    require(not same(e, start_E, 0), 'E has not moved: is there an optimizers["E"].step() after a backward()?')
    require(not same(d, start_D, 0), 'D has not moved: is there an optimizers["D"].step() after a backward()?')
    rule_out(e, wrong_E, 1e-5)
    rule_out(d, wrong_D, 1e-5)
    require(E.source_gradient == 0, _LEAK)
    rule_out(d, wrong_last, 1e-5)
    expect(e, _flat(right_E), "E is not where one step of SGD on lambda_d times Eq. 10 leads.", atol=1e-5)
    closing = "D is not where one step of SGD on its loss leads: half of -log ps plus half of -log(1 - pt)."
    expect(d, _flat(right_D), closing, atol=1e-5)
    then_E, then_D = _right_step(E, D, xs, xt)
    answer(E, D, optimizers, xs, xt, _LAMBDA)
    again = (
        "the first step is right, the second is not: gradients of the first are still there. zero_grad() before "
        "each backward()."
    )
    expect(_flat(E), _flat(then_E), again, atol=1e-5)
    expect(_flat(D), _flat(then_D), again, atol=1e-5)


# What a run might have logged, and beside it what nobody may look at while choosing.
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

    def chosen(history: list[dict[str, float]], steps: int) -> int:
        step = answer(copy.deepcopy(history), steps)
        logged = isinstance(step, int) and step in {line["step"] for line in history}
        require(logged, f"give the number of a step that was logged, a whole one, not {step!r}.")
        return int(step)

    mistakes: Mistakes = {
        "step 50 is in the first half, where S and D have hardly begun; the second half is eligible.": 50,
        'step 150 has the lowest error on the *target*. Its labels may not choose: look at "validation", the held-out '
        "source.": 150,
        "step 160 has the lowest *training* loss, of one batch of images that the model learned from.": 160,
        "of two equally good steps the first is kept: 200, not 250.": 250,
        "step 300 is the last, and the worst of the second half: a lower validation error is better.": 300,
        "step 100 has the highest validation error: it is an error, so lower is better.": 100,
    }
    closing = "step 200 has the lowest validation error of the second half, not step {found}."
    expect(chosen(_HISTORY, 300), 200, closing, mistakes)
    two = [{"step": 1, "validation": 2.0}, {"step": 2, "validation": 3.0}]
    expect(chosen(two, 2), 1, "of 2 steps, step 1 is the first of the second half: from steps / 2 on, itself included.")
