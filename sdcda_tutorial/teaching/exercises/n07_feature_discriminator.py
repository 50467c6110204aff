"""Exercises of notebook 07: what D minimises, what E minimises against it, and four games that went wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.adversarial_toy import FAULTS
from sdcda_tutorial.teaching.exercises import (
    Answer,
    Hint,
    Mistakes,
    exercise,
    expect,
    expect_gradient,
    number,
    require,
    rule_out,
)

# Two images of the source and one of the target: unequal, so that a mean over all of them shows.
_SOURCE = torch.tensor([2.0, 0.5, -1.0, 3.0]).view(2, 1, 1, 2)
_TARGET = torch.tensor([-2.0, 1.0]).view(1, 1, 1, 2)


@exercise("7.1", "D's loss", difficulty=2, minutes=4, replaces="losses.discriminator_loss")
def discriminator_loss(answer: Answer) -> None:
    """source 1, target 0, both domains count the same, and log 2 when D knows nothing."""

    def loss(source: Tensor, target: Tensor) -> float:
        return number(answer(source, target))

    zero, one, log2 = torch.zeros(2, 1, 1, 2), torch.ones(1, 1, 1, 1), math.log(2)
    nothing = loss(zero, zero)
    require(math.isfinite(nothing), "for logits of 0 it is not finite: the logits are not probabilities yet.")
    mistakes: Mistakes = {
        "a D that knows nothing gives 2 log 2: each domain counts in full. Take half of each.": 2 * log2,
        "this is a sum over D's outputs; take the mean.": [8 * log2, 4 * log2],
    }
    rule_out(nothing, mistakes)
    if loss(9 * one, -9 * one) > 5:
        raise Hint("a D that is sure and right gets a large loss: the labels are the wrong way round. Source is 1.")
    value, twice = loss(_SOURCE, _TARGET), losses.discriminator_loss(_SOURCE.sigmoid(), _TARGET.sigmoid())
    rule_out(value, {"the sigmoid is applied twice: softplus, logsigmoid and ..._with_logits expect logits.": twice})
    expect(nothing, log2, "a D that knows nothing (logits 0, p = 1/2) should give log 2 = 0.693, not {found:.3f}.")
    pooled, right = F.softplus(torch.cat([-_SOURCE, _TARGET])).mean(), losses.discriminator_loss(_SOURCE, _TARGET)
    mistakes = {"with twice the images the source counts twice as much: first take the mean per domain.": pooled}
    expect(value, right, "half of -log ps plus half of -log(1 - pt) is {right:.3f}, not {found:.3f}.", mistakes)
    source, target = _SOURCE.clone().requires_grad_(), _TARGET.clone().requires_grad_()
    slopes = [(source.detach().sigmoid() - 1) / (2 * source.numel()), target.detach().sigmoid() / (2 * target.numel())]
    hint = "the value is right, but no gradient leads back to the logits, so D would learn nothing: return the tensor."
    expect_gradient(answer(source, target), [source, target], slopes, hint)
    closing = "for logits of ∓200 it is 200, not {found:.1f}: a sigmoid rounds to 0 or 1. Use softplus on the logits."
    expect(loss(-200 * one, 200 * one), 200, closing, atol=1)


@exercise("7.2", "E's adversarial loss", difficulty=1, minutes=3, replaces="losses.adversarial_loss")
def adversarial_loss(answer: Answer) -> None:
    """E is rewarded for target features that pass for source features, and the gradient reaches it."""
    logits = torch.tensor([-2.0, 1.0, 0.5]).view(3, 1, 1, 1).requires_grad_()
    value, plain = answer(logits), logits.detach()
    right, of_D, twice = (F.softplus(x).mean() for x in (-plain, plain, -plain.sigmoid()))
    mistakes = {
        "check the sign: -log p is a positive number, and E *minimises* it. Yours is negative.": -right,
        "this is D's loss on the target, label 0: E would learn to be found out. E wants label 1, -log p.": of_D,
        "log(1 - p) is not Eq. 10: where D is sure, and E needs it most, its gradient vanishes. Take -log p.": -of_D,
        "this is a sum over D's outputs, as in the paper; here every loss is a mean.": 3 * right,
        "the sigmoid is applied twice.": twice,
    }
    expect(number(value), right, "for -2, 1, 0.5 the mean of -log p is {right:.3f}, not {found:.3f}.", mistakes)
    connected = isinstance(value, Tensor) and value.requires_grad
    require(connected, "no gradient leads back to the logits: E learns from it, so no detach() and no float().")
    pushes = "its gradient should push every target logit up, towards source, by (1 - p) / 3 here."
    expect_gradient(value, [logits], [(plain.sigmoid() - 1) / 3], pushes)
    closing = "for a logit of -200 the loss is 200, yours {found:.1f}: write -log p as softplus(-logits)."
    expect(number(answer(torch.full((1, 1, 1, 1), -200.0))), 200, closing, atol=1)


@exercise("7.3", "Four games with a bug", difficulty=3, minutes=10, optional=True)
def diagnosis(answer: Answer) -> None:
    """no figure gives a fault away by itself; gap, D's answers, E's loss and the task together do."""
    right = {game: name for game, (name, _) in FAULTS.items()}
    names = ", ".join(f'"{name}"' for name in sorted(right.values()))
    require(isinstance(answer, Mapping), 'answer with a dictionary, {1: "one sum", 2: ...}.')
    given = dict(cast(Mapping[Any, Any], answer))
    require(sorted(map(str, given)) == ["1", "2", "3", "4"], "name a fault for each of the games 1, 2, 3 and 4.")
    given = {int(game): name for game, name in given.items()}
    unknown = [name for name in given.values() if name not in right.values()]
    require(not unknown, f"there is no fault {unknown[:1]}; the names are {names}.")
    require(len(set(given.values())) == 4, "each fault stands in one game: you name one of them twice.")
    hints = {
        2: "look at C's error: which fault makes E forget its task? Only one game has an error above 1.",
        4: "where D answers no better than guessing, though the domains lie far apart, D has not learned.",
        1: "in games 1 and 3 D is always right. With the labels mixed up, E helps D, so D becomes surer and surer, and "
        "E's loss grows without limit. In one sum, D is itself rewarded for a small Eq. 10, which holds it back. "
        "Compare E's loss in the two games.",
    }
    for game, hint in hints.items():
        require(given[game] == right[game], hint)
