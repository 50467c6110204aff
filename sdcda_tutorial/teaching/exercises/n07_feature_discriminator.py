"""Exercises of notebook 07: what D minimises, what E minimises against it, and how many answers D gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import exercise, require

# Two images of the source and one of the target: unequal, so that a mean over all of them shows.
_SOURCE = torch.tensor([2.0, 0.5, -1.0, 3.0]).view(2, 1, 1, 2)
_TARGET = torch.tensor([-2.0, 1.0]).view(1, 1, 1, 2)


def _scalar(value: Any) -> Tensor:
    made = value if isinstance(value, Tensor) else torch.as_tensor(float(value))
    require(made.numel() == 1, f"a loss is one number; yours has the shape {tuple(made.shape)}. Take the mean.")
    return made.reshape(())


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(torch.isclose(a.detach(), b, atol=1e-5))


@exercise(
    "7.1",
    "D's loss",
    difficulty=2,
    minutes=6,
    praise="source 1, target 0, both domains count the same, and log 2 when D knows nothing.",
)
def discriminator_loss(answer: Callable[..., Any]) -> None:
    zero = torch.zeros(2, 1, 1, 2)
    nothing = _scalar(answer(zero, zero)).detach()
    log2 = torch.tensor(2.0).log()
    require(bool(torch.isfinite(nothing)), "for logits of 0 it is not finite: the logits are not probabilities yet.")
    require(
        not _close(nothing, 2 * log2),
        "a D that knows nothing gives 2 log 2: each domain counts in full. Take half of each.",
    )
    require(not _close(nothing, 4 * log2) and not _close(nothing, 8 * log2), "a sum over D's outputs; take the mean.")
    sure = _scalar(answer(torch.full((1, 1, 1, 1), 9.0), torch.full((1, 1, 1, 1), -9.0))).detach()
    require(
        not float(sure) > 5,
        "a D that is right, and sure of it, gets a large loss: the labels are the wrong way round. Source 1, target 0.",
    )
    double = 0.5 * (F.softplus(-_SOURCE.sigmoid()).mean() + F.softplus(_TARGET.sigmoid()).mean())
    value = _scalar(answer(_SOURCE, _TARGET))
    require(
        not _close(value, double),
        "the sigmoid is in there twice: softplus, logsigmoid and the ..._with_logits functions expect logits.",
    )
    require(
        _close(nothing, log2),
        f"a D that knows nothing (all logits 0, so p = 1/2) should give log 2 = 0.693, not {float(nothing):.3f}.",
    )
    pooled = torch.cat([F.softplus(-_SOURCE), F.softplus(_TARGET)]).mean()
    require(
        not _close(value, pooled),
        "with two source images and one target image, the source counts twice as much: take the mean of each domain "
        "first, then half of each.",
    )
    right = losses.discriminator_loss(_SOURCE, _TARGET)
    require(_close(value, right), f"half of -log ps plus half of -log(1 - pt) is {right:.3f} here, not {value:.3f}.")
    extreme = _scalar(answer(-200 * torch.ones(1, 1, 1, 1), 200 * torch.ones(1, 1, 1, 1))).detach()
    require(
        abs(float(extreme) - 200) < 1,
        f"for logits of ∓200 the loss is 200, yours {float(extreme):.1f}: a sigmoid rounds to 0 or 1, and its log "
        "is lost. Write -log p as softplus(-logits), -log(1 - p) as softplus(logits).",
    )


@exercise(
    "7.2",
    "E's adversarial loss",
    difficulty=2,
    minutes=6,
    praise="E is rewarded for target features that pass for source features, and the gradient reaches it.",
)
def adversarial_loss(answer: Callable[..., Any]) -> None:
    logits = torch.tensor([-2.0, 1.0, 0.5]).view(3, 1, 1, 1).requires_grad_()
    value = _scalar(answer(logits))
    plain = logits.detach()
    right = F.softplus(-plain).mean()
    require(
        not _close(value, -right),
        "the sign: -log p is a positive number, and E *minimises* it. Yours is negative.",
    )
    require(
        not _close(value, F.softplus(plain).mean()),
        "that is D's loss on the target, label 0: E would learn to be found out. E wants label 1, -log p.",
    )
    require(
        not _close(value, -F.softplus(plain).mean()),
        "log(1 - p) falls too when D is fooled, but it is not Eq. 10: where D is sure it has almost no gradient, which "
        "is when E needs it most. Take -log p.",
    )
    require(not _close(value, 3 * right), "a sum over D's outputs (the paper's, too); here every loss is a mean.")
    require(not _close(value, F.softplus(-plain.sigmoid()).mean()), "the sigmoid is in there twice.")
    require(
        _close(value, right), f"for the logits -2, 1, 0.5 the mean of -log p is {right:.3f}, not {value.detach():.3f}."
    )
    require(
        value.requires_grad,
        "no gradient leads back to the logits: detach() is for D's step, here E is to learn. And no float().",
    )
    (gradient,) = torch.autograd.grad(value, logits)
    require(bool((gradient < 0).all()), "its gradient should push every target logit up, towards source.")
    extreme = _scalar(answer(torch.full((1, 1, 1, 1), -200.0))).detach()
    require(
        abs(float(extreme) - 200) < 1,
        f"for a logit of -200 the loss is 200, yours {float(extreme):.1f}: write -log p as softplus(-logits).",
    )


@exercise(
    "7.3",
    "How many answers D gives",
    difficulty=1,
    minutes=4,
    praise="each convolution halves and rounds down: one answer for every 16 by 16 features, though each sees more "
    "than those.",
)
def output_size(answer: Callable[..., Any]) -> None:
    def size(height: int, width: int, stride: int) -> tuple[int, int]:
        made = tuple(answer(height, width, stride))
        require(len(made) == 2, f"give two numbers, height and width, not {made}.")
        require(all(float(v) == int(v) for v in made), f"the size is a pair of whole numbers, not {made}: round down.")
        return int(made[0]), int(made[1])

    paper = size(480, 640, 16)
    require(paper != (2, 1), "height first, then width: (1, 2).")
    require(paper != (30, 40), "that is the size of f. D halves it four more times.")
    require(paper != (3, 5), "D has four convolutions, not three.")
    require(paper not in {(0, 1), (0, 0)}, "D has four convolutions here; a fifth, as AdaptSegNet has, would not fit.")
    require(paper not in {(2, 3), (2, 2)}, "each convolution rounds *down*: 15 becomes 7, 7 becomes 3, 3 becomes 1.")
    require(paper == (1, 2), f"a crop of 480×640 at stride 16 gives (1, 2), not {paper}.")
    mini = size(256, 512, 8)
    require(mini != (1, 2), "at stride 8 the features are twice as large as at stride 16: divide by the stride given.")
    require(mini == (2, 4), f"a crop of 256×512 at stride 8 gives features of 32×64, and (2, 4), not {mini}.")
    odd = size(248, 376, 8)
    require(odd == (1, 2), f"a crop of 248×376 at stride 8: 31×47, 15×23, 7×11, 3×5, (1, 2), not {odd}.")
