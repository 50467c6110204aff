"""Exercises of notebook 06: a loss that listens to the background of a pseudo-mask only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdcda_tutorial.teaching.exercises import exercise, require

# 6.1, worked by hand: only the middle two pixels are background.
PROB, Z = np.array([0.9, 0.75, 0.5, 0.2]), np.array([1, 0, 0, 1])
H = [1.0, 0.75, 0.5, 1.0]
LOSS = -(np.log(0.25) + np.log(0.5)) / 4  # log 8 / 4 = 0.520

# 6.2 and 6.3: two images with unequal shares of crowd, so that every kind of mean gives another number.
LOGITS = torch.tensor([[[[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]], [[[1.0, 1.5, -0.5], [-3.0, 0.25, 2.5]]]])
MASK = torch.tensor([[[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], [[[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]]])


@exercise(
    "6.1",
    "H by hand",
    difficulty=1,
    minutes=4,
    praise="H keeps ẑ on the background and says 1 on the crowd, where -log 1 costs nothing.",
)
def by_hand(answer: tuple[Any, Any]) -> None:
    h, loss = answer
    if h is ... or loss is ... or h is None or loss is None:
        raise NotImplementedError
    h = np.asarray(h, dtype=float).ravel()
    require(h.shape == (4,), f"H has one number for each of the four pixels, and yours has {h.size}.")
    require(
        not np.allclose(h, PROB * Z + (1 - Z), atol=1e-3),
        "you kept ẑ on the crowd and put 1 on the background. z = 1 means crowd, and 1 - z picks the background.",
    )
    require(
        not np.allclose(h, PROB * (1 - Z), atol=1e-3),
        "on the crowd yours is 0, which says background there. Eq. 8 adds z, so H is 1 on the crowd.",
    )
    require(not np.allclose(h, PROB, atol=1e-3), "this is ẑ itself: H replaces it on the crowd, where z = 1.")
    require(np.allclose(h, H, atol=1e-3), "put each pixel's ẑ and z into ẑ (1 - z) + z, one after the other.")
    loss = float(loss)
    require(loss >= 0, "a logarithm of a number below 1 is negative, and the minus of Eq. 9 makes the loss positive.")
    require(
        abs(loss - 4 * LOSS) > 2e-3, "this is the sum over the pixels. The package takes the mean: divide by all four."
    )
    require(
        abs(loss - 2 * LOSS) > 2e-3,
        "you divided by the two pixels of background. The mean runs over all four; the crowd counts as zeros.",
    )
    require(
        abs(loss + (np.log(0.75) + np.log(0.5)) / 4) > 2e-3,
        "the label of the background is 0, so what counts there is log(1 - ẑ), not log ẑ.",
    )
    require(
        abs(loss - LOSS / np.log(10)) > 2e-3 and abs(loss - LOSS / np.log(2)) > 2e-3, "log is the natural logarithm."
    )
    require(abs(loss - LOSS) < 2e-3, "add up -log(1 - ẑ) over the background and divide by the number of all pixels.")


@exercise(
    "6.2",
    "The target loss in PyTorch",
    difficulty=2,
    minutes=8,
    praise="background only, a mean over all pixels, and finite for every logit.",
)
def target_loss(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    softplus = torch.nn.functional.softplus(LOGITS)
    value = answer(LOGITS.clone(), MASK.clone())
    require(isinstance(value, Tensor) and value.numel() == 1, "give one number: a tensor without dimensions.")
    loss = float(value)

    def is_(number: Tensor) -> bool:
        return abs(loss - float(number)) < 1e-4 * max(1.0, abs(float(number)))

    background = 1 - MASK
    naive = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, MASK)
    require(not is_((background * softplus).sum()), "this is the sum over the pixels: take the mean.")
    require(
        not is_((background * softplus).sum() / len(LOGITS)),
        "the sum over the pixels, divided by the number of images, is how the paper prints it. The package takes the "
        "mean over the pixels too.",
    )
    require(
        not is_((background * softplus).sum() / background.sum())
        and not is_(((background * softplus).sum((1, 2, 3)) / background.sum((1, 2, 3))).mean()),
        "you divide by the pixels of background only. Divide by all pixels, and let the crowd count as zeros: "
        "otherwise an image with little background shouts, and one without any gives 0 / 0.",
    )
    require(
        not is_((MASK * softplus).mean()),
        "the mask is the wrong way round: z = 1 is crowd, and this loss speaks where z = 0.",
    )
    require(not is_(naive), "the loss still counts inside the rectangle: this is the naive loss, which trusts it.")
    require(not is_(softplus.mean()), "the loss counts inside the rectangle, as if all were background. Use z.")
    h = LOGITS.sigmoid() * background + MASK
    entropy = -(torch.xlogy(h, h) + torch.xlogy(1 - h, 1 - h)).mean()
    require(not is_(entropy), "this is the entropy, H as its own label. The label is z: 0 on the background.")
    require(
        not is_((background * -torch.nn.functional.logsigmoid(LOGITS)).mean()),
        "-log ẑ rewards crowd on the background. The label there is 0, so the loss is -log(1 - ẑ).",
    )
    require(
        not bool(torch.isnan(value)),
        "nan: somewhere 0 × log 0 is computed, at a pixel that should be silent. Keep 1 - H out of the logarithm "
        "there, or write the loss in logits.",
    )
    right = (background * softplus).mean()
    require(not is_(-right), "the sign is wrong: the logarithm of a number below 1 is negative, and a loss falls to 0.")
    require(is_(right), f"for two images of 2×3 pixels the loss should be {float(right):.4f}, not {loss:.4f}.")

    x = torch.full((1, 1, 1, 2), 100.0, requires_grad=True)
    extreme = answer(x, torch.tensor([[[[0.0, 1.0]]]]))
    require(
        bool(torch.isfinite(extreme)),
        f"at a logit of 100 the loss is {float(extreme.detach())}: 1 - sigmoid(100) is 0 in float32, and its logarithm "
        "is not finite. softplus(logits) is the same function without the zero.",
    )
    (slope,) = torch.autograd.grad(extreme, x)
    require(
        bool(torch.isfinite(slope).all()) and abs(float(slope[..., 0]) - 0.5) < 1e-3,
        "at a logit of 100 the gradient is lost (0 or nan), where the mistake is largest: a small constant inside "
        "the logarithm hides the zero and does not mend it. softplus(logits) needs none.",
    )
    require(float(slope[..., 1]) == 0, "inside the rectangle the gradient should be exactly 0.")


@exercise(
    "6.3",
    "The gradient by hand",
    difficulty=2,
    minutes=8,
    praise="ẑ divided by the number of pixels on the background, and exactly 0 on the crowd.",
)
def gradient(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    with torch.no_grad():
        given = answer(LOGITS.clone(), MASK.clone())
    require(
        isinstance(given, Tensor) and given.shape == LOGITS.shape,
        "the gradient has one number for each logit, in the shape of the logits.",
    )
    prob, background, pixels = LOGITS.sigmoid(), 1 - MASK, LOGITS.numel()

    def is_(other: Tensor) -> bool:
        return bool(torch.allclose(given, other, atol=1e-5))

    require(
        not is_(prob * background),
        "right for a sum over pixels. The loss is a mean, so each pixel's part is divided by the number of pixels.",
    )
    require(
        not is_(prob * background / background.sum()),
        "you divide by the pixels of background. The mean runs over all pixels, crowd included.",
    )
    require(
        not is_(prob * background / LOGITS[0].numel()),
        "the mean runs over the pixels of all images of the batch, not of one image.",
    )
    require(
        not is_((prob - MASK) / pixels),
        "on the crowd this pulls ẑ towards 1: it is the gradient of the naive loss. There Eq. 8-9 has gradient 0.",
    )
    require(not is_(prob * MASK / pixels), "the mask is the wrong way round: the gradient is 0 where z = 1.")
    require(
        not is_(prob * (1 - prob) * background / pixels),
        "ẑ (1 - ẑ) is the slope of the sigmoid alone. By the chain rule it is multiplied by the slope of -log(1 - ẑ), "
        "1 / (1 - ẑ), and one factor goes away.",
    )
    require(
        not is_(background / (1 - prob) / pixels),
        "this is the derivative with respect to ẑ. To get to the logit multiply by the sigmoid's slope, ẑ (1 - ẑ).",
    )
    require(
        not is_(-prob * background / pixels),
        "the sign: a larger logit on the background is a larger loss, so the gradient is positive.",
    )
    require(
        bool((given[MASK == 1] == 0).all()), "where z = 1 the loss does not depend on the logit: what is its slope?"
    )
    require(
        is_(prob * background / pixels),
        "differentiate -log(1 - sigmoid(x)) with respect to x, and divide by the number of pixels in the batch.",
    )
