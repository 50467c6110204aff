"""Exercises of notebook 08: the sum of Eq. 5, one step with three bugs, and a choice without any target label."""

from __future__ import annotations

import copy
import math
import numbers
from typing import Any

import torch
from torch import Tensor, nn

from sdcda_tutorial import losses
from sdcda_tutorial.adaptation import Adaptation, Batch
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.teaching.exercises import (
    Answer,
    Hint,
    Mistakes,
    exercise,
    expect,
    expect_gradient,
    number,
    require,
    same,
    stopped_with,
)


@exercise("8.1", "The sum of Eq. 5", difficulty=1, minutes=3, replaces="losses.total_loss")
def total_loss(answer: Answer) -> None:
    """one sum holds the whole family: a λ of zero takes its term away, and a missing term counts as zero."""
    # Terms and weights whose products are easy to tell apart: 2 + 0.3 + 0.05 + 0.007.
    values, weights = (2.0, 3.0, 5.0, 7.0), LossWeights(0.1, 0.01, 0.001)

    def call(terms: tuple[Any, ...], weights: LossWeights) -> Any:
        named = dict(zip(("density", "seg_source", "seg_target", "adversarial"), terms, strict=True))
        try:
            return answer(weights=weights, **named)
        except TypeError as error:
            require("argument" not in str(error), "the step passes every argument by its name: keep those of the stub.")
            raise

    mistakes: Mistakes = {
        "every term counts in full: where are the λ?": 2 + 3 + 5 + 7,
        "λs weighs the source's mask loss, λt the target's: yours swap.": 2 + 0.03 + 0.5 + 0.007,
        "each loss of S has a λ of its own: λs for the source, λt for the target.": [
            2 + 0.3 + 0.5 + 0.007,
            2 + 0.03 + 0.05 + 0.007,
        ],
        "the adversarial loss is missing.": 2 + 0.3 + 0.05,
        "the adversarial loss is subtracted. Eq. 10 is a loss of E already, small where D mistakes target for source; "
        "E and D oppose each other through their two losses, not through a minus.": 2 + 0.3 + 0.05 - 0.007,
        "Eq. 5 is a sum, not a mean: do not divide.": [2.357 / 1.111, 2.357 / 4],
        "the density loss is missing. It has no λ: its weight is 1.": 0.3 + 0.05 + 0.007,
    }
    closing = "terms 2, 3, 5, 7 and λ 0.1, 0.01, 0.001 give 2 + 0.3 + 0.05 + 0.007 = 2.357, not {found:.3f}."
    expect(number(call(tuple(map(torch.tensor, values)), weights)), 2.357, closing, mistakes)
    off = number(call(tuple(map(torch.tensor, values)), LossWeights()))
    expect(off, 2, "with all λ zero only the density loss, 2, should be left, not {found:.3f}.", atol=1e-6)
    terms = tuple(torch.tensor(value, requires_grad=True) for value in values)
    hint = (
        "the gradient must lead back to every term, or its network learns nothing: the sum stays a tensor, so no "
        "float(), no item() and no detach()."
    )
    expect_gradient(call(terms, weights), terms, (1, 0.1, 0.01, 0.001), hint)
    only = answer(torch.tensor(2.0), LossWeights(0.1), seg_source=torch.tensor(3.0))
    closing = "SE has no adversarial loss, so the step leaves that argument out: keep the defaults of zero."
    expect(number(only), 2.3, closing, atol=1e-6)


_RATE, _FACTOR = 0.1, 7.0
_WEIGHTS = LossWeights(0.5, 0.3, 0.2)


class _Toy(nn.Module):
    """Linear E, C and, where it is needed, S that return what `adaptation.Networks` does, in float64."""

    def __init__(self, needs_S: bool) -> None:
        super().__init__()
        self.E, self.C, self.S = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 1, 1), nn.Conv2d(2, 1, 1) if needs_S else None

    def forward(self, xs: Tensor, xt: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        f = self.E(xs if xt is None else torch.cat([xs, xt]))
        return self.C(f[: len(xs)]), None if self.S is None else self.S(f), f


def _toy(weights: LossWeights = _WEIGHTS) -> tuple[Adaptation, Batch, Batch]:
    """An adaptation of toy networks with plain gradient descent, and a batch of 2 source and 2 target images."""
    generator = torch.Generator().manual_seed(3)
    networks = _Toy(weights.needs_S).double()
    D = nn.Conv2d(2, 1, 1).double() if weights.needs_D else None
    with torch.no_grad():
        for weight in [*networks.parameters(), *(D.parameters() if D else [])]:
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    modules = {"networks": networks} | ({"D": D} if D else {})
    optimizers = {name: torch.optim.SGD(module.parameters(), _RATE) for name, module in modules.items()}

    def batch(shift: float) -> Batch:
        image = torch.rand(2, 3, 6, 6, generator=generator, dtype=torch.float64) + shift
        mask = (torch.rand(2, 1, 6, 6, generator=generator) < 0.4).double()
        return {"image": image, "mask": mask}

    source, target = batch(0.0), batch(0.7)
    source["density"] = torch.rand(2, 1, 6, 6, generator=generator, dtype=torch.float64) / 10
    return Adaptation(networks, D, optimizers, weights, _FACTOR), source, target  # type: ignore[arg-type]


def _flat(module: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def _reference(*, found_out: bool = False, factor: bool = True, swapped: bool = False) -> tuple[Tensor, Tensor]:
    """Weights of E, C, S and those of D after one step of the package, or of one with some bugs."""
    adaptation, source, target = _toy()
    D, B = adaptation.D, 2
    density, logits, f = adaptation.networks(source["image"], target["image"])
    assert D is not None and logits is not None
    terms = {
        "density": losses.density_loss(density, source["density"] * (_FACTOR if factor else 1)),
        "seg_source": losses.source_segmentation_loss(logits[:B], source["mask"]),
        "seg_target": losses.target_segmentation_loss(logits[B:], target["mask"]),
    }
    with adaptation.fixed(D):
        terms["adversarial"] = losses.adversarial_loss(D(f[:B] if found_out else f[B:]))
    adaptation.minimise("networks", losses.total_loss(weights=_WEIGHTS, **terms), terms)
    logits_of_D = D(f.detach()).tensor_split([B])
    adaptation.minimise("D", losses.discriminator_loss(*(logits_of_D[::-1] if swapped else logits_of_D)), {})
    return _flat(adaptation.networks), _flat(D)


_FOUND_OUT = (
    "E is rewarded for *source* features that D takes for source, which they are. Eq. 10 asks for the target's."
)
_NO_FACTOR = (
    "C's output is F(y) times the label factor, and the loss compares it with F(y) itself: after such a training the "
    "counter reports too few people, by that factor."
)
_SWAPPED = "D learns that the source is 0 and the target 1: Eq. 10 then rewards E for features that look like target."
_AND_ANOTHER = " Fix it and check again: there is another bug in what trains E and C."


@exercise("8.2", "Three bugs in one step", difficulty=2, minutes=17, replaces="adaptation.Adaptation.step")
def step(answer: Answer) -> None:
    """this step trains every network as the package's does, and no error message would have shown the three bugs."""
    adaptation, source, target = _toy()
    D = adaptation.D
    assert D is not None
    before, before_D = _flat(adaptation.networks), _flat(D)
    leaked = _watch(adaptation)
    try:
        terms = answer(adaptation, source, target)
    except RuntimeError as error:
        backwards = "second time" in str(error) or "inplace" in str(error)
        require(not backwards, "the gradient of D's loss runs back into E. D learns from f.detach().")
        raise
    found, found_D = _flat(adaptation.networks), _flat(D)
    require(not torch.equal(found, before), "E, C and S did not move: the sum goes through self.minimise.")
    require(not torch.equal(found_D, before_D), "D did not move: it has a loss of its own.")
    bugs: Mistakes = {
        _FOUND_OUT + _AND_ANOTHER: _reference(found_out=True, factor=False)[0],
        _FOUND_OUT: _reference(found_out=True)[0],
        _NO_FACTOR: _reference(factor=False)[0],
    }
    right, right_D = _reference()
    expect(found, right, "E, C and S are not where one step on the sum of Eq. 5 leads.", bugs, atol=1e-9)
    closing = "D is not where one step on half of -log ps - log(1 - pt) leads, from this step's features, detached."
    expect(found_D, right_D, closing, {_SWAPPED: _reference(swapped=True)[1]}, atol=1e-9)
    asked = {"density", "seg_source", "seg_target", "adversarial", "discriminator"}
    require(isinstance(terms, dict) and asked <= terms.keys(), "return the terms by name, as the stub does.")
    require(not leaked, "the gradient of Eq. 10 reached D's weights too: keep D fixed until E has learned.")
    _works_without(answer, _WEIGHTS)
    _works_without(answer, LossWeights())
    _works_without(answer, LossWeights(0.1, 0.1))
    _works_without(answer, LossWeights(0, 0, 0.1))


def _works_without(answer: Answer, weights: LossWeights) -> None:
    """A hint where the step fails, or does another thing than the package's, without D, S, or a target."""
    (adaptation, source, target), (other, *_) = _toy(weights), _toy(weights)
    if not weights.needs_pseudo_masks:
        del target["mask"]
    batches = source, target if weights.needs_target else None
    case = f"with λs, λt, λd = {weights.seg_source:g}, {weights.seg_target:g}, {weights.adversarial:g} your step"
    try:
        found = answer(adaptation, *batches)
    except Exception as error:
        hint = f"{case} {stopped_with(error)}. Keep the lines that ask whether a part is there."
        raise Hint(hint) from None
    right = Adaptation.step(other, *batches)
    for name, module in {"E, C and S": other.networks, "D": other.D}.items():
        ours = adaptation.D if name == "D" else adaptation.networks
        moved = module is None or ours is None or same(_flat(ours), _flat(module), atol=1e-9)
        require(moved, f"{case} leaves {name} elsewhere than it should. Compare it with the whole step, part by part.")
    losses_only = right.keys() - {"D_accuracy"}
    logged = isinstance(found, dict) and all(same(found.get(name, math.nan), right[name]) for name in losses_only)
    require(logged, f"{case} returns other losses than it learned from, and the log would show them.")


def _watch(adaptation: Adaptation) -> list[str]:
    """A list that fills when the gradient for E, C and S reaches D, which the next step would add to D's own."""
    leaked: list[str] = []
    minimise, D = adaptation.minimise, adaptation.D

    def watched(name: str, loss: Tensor, terms: Any) -> None:
        minimise(name, loss, terms)
        if name == "networks" and D is not None and any(weight.grad is not None for weight in D.parameters()):
            leaked.append(name)

    adaptation.minimise = watched  # type: ignore[method-assign]
    return leaked


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


@exercise("8.3", "Choose the checkpoint", difficulty=2, minutes=6, optional=True)
def choose(answer: Answer) -> None:
    """the choice used source labels only, so the target's test error is still an honest one."""

    def chosen(history: list[dict[str, float]], steps: int) -> Any:
        step = answer(copy.deepcopy(history), steps)
        logged = isinstance(step, numbers.Integral) and step in {line["step"] for line in history}
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
    of_five = [{"step": step, "validation": float(step)} for step in range(1, 6)]
    expect(chosen(of_five, 5), 3, "of 5 steps, step 3 is the first of the second half: 2 comes before 2.5.")
