"""Exercises of notebook 05: Eq. 7 from logits, which sizes keep the mean, and S with one of its grids switched off."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sdcda_tutorial import losses
from sdcda_tutorial.networks import SemanticExtractor
from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, number, require, same

# 5.1: two images of 1 × 3 pixels.
PROB = torch.tensor([[[[0.9, 0.2, 0.5]]], [[[0.75, 0.2, 0.1]]]])
LOGITS, Z = torch.logit(PROB), torch.tensor([[[[1.0, 1.0, 0.0]]], [[[0.0, 0.0, 0.0]]]])


@exercise("5.1", "Eq. 7 from logits", difficulty=2, minutes=10, replaces="losses.source_segmentation_loss")
def source_segmentation_loss(answer: Answer) -> None:
    """minus the logarithm of the probability of the truth, averaged over all pixels and right for every logit."""
    value = answer(LOGITS.clone(), Z.clone())
    one_number = isinstance(value, Tensor) and value.numel() == 1
    require(one_number, "return one number, a tensor without dimensions: the mean over all pixels.")
    crowd, background = -Z * PROB.log(), -(1 - Z) * (1 - PROB).log()
    exchanged, raw = -Z * (1 - PROB).log() - (1 - Z) * PROB.log(), -(Z * LOGITS.log() + (1 - Z) * (1 - LOGITS).log())
    total, right = (crowd + background).sum(), losses.source_segmentation_loss(LOGITS, Z)
    mistakes: Mistakes = {
        "the logarithm got a number that is no probability. S gives logits: the sigmoid comes first.": [
            np.nan,
            raw.nanmean(),
            raw.nansum(),
        ],
        "the sigmoid is applied twice: the function that you call with its result expects logits.": (
            losses.source_segmentation_loss(PROB, Z)
        ),
        "check the sign: logarithms of probabilities are negative, and Eq. 7 begins with a minus.": -right,
        "this is the sum over the pixels: take the mean.": [total, -total],
        "you sum over pixels and divide by the number of images. The package divides by all pixels.": total / 2,
        "the background is missing: where z = 0 the term (1 - z) log(1 - ẑ) counts.": crowd.mean(),
        "the crowd is missing: where z = 1 the term z log ẑ counts.": background.mean(),
        "z and 1 - z are exchanged: on the crowd (z = 1) the loss is -log ẑ.": exchanged.mean(),
        "this is the mean squared distance of ẑ and z; Eq. 7 is a cross-entropy.": (PROB - Z).square().mean(),
        "logits and mask are swapped: PyTorch's function takes the logits first.": (
            F.binary_cross_entropy_with_logits(Z, LOGITS)
        ),
        "log is the natural logarithm.": [right / np.log(10), right / np.log(2)],
    }
    closing = "for the checker's two images Eq. 7 gives {right:.4f}, not {found:.4f}."
    expect(float(value.detach()), float(right), closing, mistakes)
    _stands_large_logits(answer)


def _stands_large_logits(answer: Answer) -> None:
    """Two confident truths and two confident mistakes: a mean of 100."""
    x = torch.tensor([[[[200.0, -200.0, 200.0, -200.0]]]], requires_grad=True)
    z = torch.tensor([[[[1.0, 0.0, 0.0, 1.0]]]])
    extreme = answer(x, z)
    infinite = (
        "right for moderate logits, but at 200 it is {found}: sigmoid(200) is exactly 1. Rewrite "
        "-log(1 - sigmoid(x)) so that no sigmoid is left; PyTorch has a function for it, softplus."
    )
    require(torch.isfinite(extreme), infinite.format(found=float(extreme.detach())))
    clamped = (
        "a limit or a small constant inside the logarithm keeps the loss finite but wrong (PyTorch's "
        "binary_cross_entropy has such a limit): the logit 200 on the background costs 200. Rewrite "
        "-log(1 - sigmoid(x)) so that no sigmoid is left."
    )
    require(same(extreme, 100.0, atol=1e-2), clamped)
    require(extreme.requires_grad, "no gradient leads back to the logits: no detach(), no item() and no NumPy.")
    (slopes,) = torch.autograd.grad(extreme, x)
    expected = torch.tensor([[[[0.0, 0.0, 0.25, -0.25]]]])
    require(same(slopes, expected), "the value is right at a logit of 200, but the gradient is not (ẑ - z) / pixels.")


# 5.2: height, width, grid, stride
SIZES = [
    (192, 256, 1, 8), (192, 256, 2, 8), (192, 256, 3, 8), (256, 192, 3, 8), (192, 288, 3, 8), (192, 264, 2, 8),
    (192, 264, 6, 8), (288, 192, 6, 8), (240, 320, 3, 16), (240, 336, 3, 16), (64, 72, 2, 4), (480, 640, 6, 16),
    (240, 432, 6, 8), (256, 256, 3, 8), (64, 144, 6, 8),
]  # fmt: skip


@exercise("5.2", "Which images keep the mean?", difficulty=2, minutes=6, optional=True)
def keeps_mean(answer: Answer) -> None:
    """only where the grid divides both sides of f are all cells equally large, and every position counts once."""
    found = [number(answer(*case)) for case in SIZES]
    require({*found} <= {0, 1}, "return True or False.")
    sides = np.array([(h // stride, w // stride) for h, w, _, stride in SIZES])
    pixels, grids = np.array([case[:2] for case in SIZES]), np.array([[grid] for _, _, grid, _ in SIZES])
    divides = sides % grids == 0
    mistakes: Mistakes = {
        "you ask whether the grid divides the sides of the *image*. It is laid over f.": (pixels % grids == 0).all(1),
        "your stride is fixed at 8; some of the checker's features have 4 or 16.": (pixels // 8 % grids == 0).all(1),
        "one side is enough for you. Positions that two cells share count twice, in rows *and* in columns.": (
            divides.any(1)
        ),
        "look at both sides of f: yours depends on the height only.": divides[:, 0],
        "look at both sides of f: yours depends on the width only.": divides[:, 1],
        "the number of positions may divide by the number of cells while a row does not: look at each side.": (
            sides.prod(1) % grids[:, 0] ** 2 == 0
        ),
        "True and False are exchanged.": ~divides.all(1),
        "each grid has sizes for which it keeps the mean, and all but the 1 × 1 have others.": [
            np.zeros(len(SIZES)),
            np.ones(len(SIZES)),
        ],
    }
    for case, value, right in zip(SIZES, found, divides.all(1), strict=True):
        if bool(value) != bool(right):
            height, width, grid, stride = case
            closing = f"for {height} × {width} at stride {stride} and grid {grid} it is {bool(right)}: how large is f?"
            expect(found, divides.all(1), closing, mistakes)


def small_S() -> tuple[SemanticExtractor, Tensor]:
    """An S in evaluation mode whose batch norms shift and scale, and features of the mini world's shape for it."""
    generator = torch.Generator().manual_seed(0)
    S = SemanticExtractor(8, 8).eval()
    for tensor in S.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - (0.3 if tensor.ndim == 4 else -0.2))
    for name, tensor in S.state_dict().items():
        if name.startswith("pyramid") and name.endswith("1.bias"):
            tensor.fill_(2.0)  # what zeros become, if they are put in before the projection
    return S, torch.rand(2, 8, 24, 32, generator=generator)


def logits_with(S: SemanticExtractor, f: Tensor, scales: list[float], *, before: int | None = None) -> Tensor:
    """Logits of S with f and its four levels multiplied by `scales`; level `before` is zero before its projection."""
    levels = [f * scales[0]]
    for level, (grid, project) in enumerate(zip(S.bins, S.pyramid, strict=True)):
        pooled = F.adaptive_avg_pool2d(f, grid) * (0 if level == before else 1)
        stretched = F.interpolate(project(pooled), size=f.shape[-2:], mode="bilinear", align_corners=False)
        levels.append(stretched * scales[level + 1])
    fused = S.fuse(torch.cat(levels, dim=1))
    return F.interpolate(fused, scale_factor=S.stride, mode="bilinear", align_corners=False)


@exercise("5.3", "Switch a level off", difficulty=3, minutes=12, optional=True)
@torch.no_grad()
def without_level(answer: Answer) -> None:
    """one grid is silent and everything else is as it was."""
    S, f = small_S()
    state = {name: tensor.clone() for name, tensor in S.state_dict().items()}
    for level in (1, 3):
        try:
            found = answer(S, f.clone(), level)
        except RuntimeError as error:
            require("channels" not in str(error), "S.fuse expects f and four levels: put zeros in, leave nothing out.")
            raise
        is_map = isinstance(found, Tensor) and found.ndim == 4 and found.shape[:2] == (2, 1)
        require(is_map, "return logits of the shape (B, 1, H, W).")
        require(found.shape[-2:] != f.shape[-2:], "these are logits at the positions of f: stretch them by S.stride.")
        require(found.shape[-2:] == (192, 256), f"the logits are as large as the image, not {tuple(found.shape)}.")
        now, whole = S.state_dict(), small_S()[0]  # on which nothing of the answer hangs
        unchanged = not S.training and now.keys() == state.keys() and same(S(f), whole(f))
        unchanged = unchanged and all(bool((now[name] == old).all()) for name, old in state.items())
        require(unchanged, "you changed S itself: leave its weights and its mode as they are, others use it.")
        on = [1.0] * 5
        off = [0.0 if number == level + 1 else 1.0 for number in range(5)]
        shifted = [0.0 if number == level else 1.0 for number in range(5)]
        right = logits_with(whole, f, off)
        mistakes: Mistakes = {
            "this is S(f): nothing is switched off.": logits_with(whole, f, on),
            "one list entry too early: the first entry of `levels` is f itself, so level 0 stands at index 1.": (
                logits_with(whole, f, shifted)
            ),
            "you put zeros in before the projection, whose batch norm makes them something else. Put them in after.": (
                logits_with(whole, f, on, before=level)
            ),
            "f is missing, too: only the level is to be zero.": logits_with(whole, f, [0.0, *off[1:]]),
            "all four levels are off.": logits_with(whole, f, [1.0, 0, 0, 0, 0]),
            "only this level is left; it is the one to switch off.": (
                logits_with(whole, f, [1.0, *(1 - value for value in off[1:])])
            ),
            "these are probabilities; return logits.": right.sigmoid(),
        }
        closing = "with level {level} off the logits differ from the checker's: follow steps 2 to 5 one by one."
        expect(found, right, closing.replace("{level}", str(level)), mistakes)
