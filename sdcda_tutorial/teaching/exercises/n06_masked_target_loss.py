"""Exercises of notebook 06: a loss on the background of a pseudo-mask only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import Answer, exercise, expect, require, rule_out

# 6.1, worked by hand: only the middle two pixels are background.
PROB, Z = np.array([0.9, 0.75, 0.5, 0.2]), np.array([1, 0, 0, 1])
H = [1.0, 0.75, 0.5, 1.0]
LOSS = -(np.log(0.25) + np.log(0.5)) / 4  # log 8 / 4 = 0.520

# 6.2 and 6.3: two images with unequal shares of crowd, so that every kind of mean gives another number.
LOGITS = torch.tensor([[[[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]], [[[1.0, 1.5, -0.5], [-3.0, 0.25, 2.5]]]])
MASK = torch.tensor([[[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], [[[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]]])
BACKGROUND, PIXELS = 1 - MASK, LOGITS.numel()


@exercise("6.1", "H by hand", difficulty=1, minutes=4)
def by_hand(answer: tuple[Any, Any]) -> None:
    """H keeps ẑ on the background and says 1 on the crowd, where -log 1 costs nothing."""
    h, loss = answer
    if h is ... or loss is ... or h is None or loss is None:
        raise NotImplementedError
    h = np.asarray(h, dtype=float).ravel()
    require(h.shape == (4,), f"H has one number for each of the four pixels; yours has {h.size}.")
    mistakes = {
        "you kept ẑ on the crowd instead. z = 1 means crowd, and 1 - z picks the background.": PROB * Z + 1 - Z,
        "on the crowd yours is 0, which means background. Eq. 8 adds z, so H is 1 there.": PROB * (1 - Z),
        "this is ẑ itself: H replaces it on the crowd, where z = 1.": PROB,
    }
    expect(h, H, "put each pixel's ẑ and z into ẑ (1 - z) + z, one after the other.", mistakes, atol=1e-3)
    loss = float(loss)
    require(loss >= 0, "the logarithm of a number below 1 is negative; the minus of Eq. 9 makes the loss positive.")
    wrong_label = -(np.log(0.75) + np.log(0.5)) / 4
    mistakes = {
        "this is the sum over the pixels. The package takes the mean: divide by all four.": 4 * LOSS,
        "you divided by the two pixels of background. Divide by all four; the crowd counts as zeros.": 2 * LOSS,
        "the label of the background is 0, so the loss there is -log(1 - ẑ), not -log ẑ.": wrong_label,
        "log is the natural logarithm.": [LOSS / np.log(10), LOSS / np.log(2)],
    }
    expect(loss, LOSS, "add up -log(1 - ẑ) over the background, and divide by all pixels.", mistakes, atol=2e-3)


@exercise("6.2", "The target loss in PyTorch", difficulty=2, minutes=8)
def target_loss(answer: Answer) -> None:
    """background only, a mean over all pixels, and finite for every logit."""
    value = answer(LOGITS.clone(), MASK.clone())
    require(isinstance(value, Tensor) and value.numel() == 1, "return one number: a tensor without dimensions.")
    everywhere = F.softplus(LOGITS)  # -log(1 - ẑ)
    outside, inside, label_1 = BACKGROUND * everywhere, MASK * everywhere, BACKGROUND * F.softplus(-LOGITS)
    per_image = (outside.sum((1, 2, 3)) / BACKGROUND.sum((1, 2, 3))).mean()
    of_background = [outside.sum() / BACKGROUND.sum(), per_image]
    right, naive = losses.target_segmentation_loss(LOGITS, MASK), losses.source_segmentation_loss(LOGITS, MASK)
    entropy = losses.target_entropy_loss(LOGITS, MASK)
    mistakes = {
        "this is the sum over the pixels: take the mean.": outside.sum(),
        "sum over pixels, mean over images is how the paper prints it; the package takes means.": outside.sum() / 2,
        "you divide by the pixels of background only, which is 0 / 0 without any. Divide by all pixels.": of_background,
        "the mask is the wrong way round: z = 1 is crowd, and this loss counts where z = 0.": inside.mean(),
        "the loss still counts inside the rectangle: this is the naive loss, which trusts it.": naive,
        "the loss counts inside the rectangle, as if all were background. Use z.": everywhere.mean(),
        "this is the entropy, with H as its own label. The label is z: 0 on the background.": entropy,
        "-log ẑ rewards crowd on the background. The label there is 0: the loss is -log(1 - ẑ).": label_1.mean(),
        "nan: 0 × log 0 at a pixel that should not count. Keep 1 - H out of the logarithm, or use logits.": np.nan,
        "the sign is wrong: the logarithm of a number below 1 is negative, and a loss falls to 0.": -right,
    }
    expect(float(value), right, "for two images of 2×3 pixels it should be {right:.4f}, not {found:.4f}.", mistakes)
    x = torch.full((1, 1, 1, 2), 100.0, requires_grad=True)
    extreme = answer(x, torch.tensor([[[[0.0, 1.0]]]]))
    require(torch.isfinite(extreme), "1 - sigmoid(100) is 0, and its logarithm is not finite: use softplus(logits).")
    slopes = torch.autograd.grad(extreme, x)[0].flatten()
    kept = torch.isfinite(slopes).all() and abs(float(slopes[0]) - 0.5) < 1e-3
    require(kept, "at a logit of 100 a small constant hides the zero and loses the gradient: use softplus(logits).")
    require(slopes[1] == 0, "inside the rectangle the gradient should be exactly 0.")


@exercise("6.3", "The gradient by hand", difficulty=2, minutes=8)
def gradient(answer: Answer) -> None:
    """ẑ divided by the number of pixels on the background, and exactly 0 on the crowd."""
    with torch.no_grad():
        given = answer(LOGITS.clone(), MASK.clone())
    right_shape = isinstance(given, Tensor) and given.shape == LOGITS.shape
    require(right_shape, "the gradient has one number for each logit, in the shape of the logits.")
    prob = LOGITS.sigmoid()
    summed = prob * BACKGROUND
    right, by_z = summed / PIXELS, BACKGROUND / (1 - prob) / PIXELS
    mistakes = {
        "right for a sum over pixels. The loss is a mean: divide by the number of pixels.": summed,
        "you divide by the pixels of background. The mean runs over all, crowd included.": summed / BACKGROUND.sum(),
        "the mean runs over the pixels of all images of the batch, not of one image.": summed / LOGITS[0].numel(),
        "on the crowd this is the gradient of the naive loss. There Eq. 8-9 has gradient 0.": (prob - MASK) / PIXELS,
        "the mask is the wrong way round: the gradient is 0 where z = 1.": prob * MASK / PIXELS,
        "ẑ (1 - ẑ) is the slope of the sigmoid alone. By the chain rule it is multiplied by the slope of "
        "-log(1 - ẑ), 1 / (1 - ẑ), and one factor goes away.": (1 - prob) * right,
        "this is the derivative with respect to ẑ. Multiply it by the slope of the sigmoid, ẑ (1 - ẑ).": by_z,
        "check the sign: on the background a larger logit is a larger loss, a positive gradient.": -right,
    }
    rule_out(given, mistakes, atol=1e-5)
    require((given[MASK == 1] == 0).all(), "where z = 1 the loss does not depend on the logit: what is its slope?")
    closing = "differentiate -log(1 - sigmoid(x)) with respect to x, and divide by the number of pixels in the batch."
    expect(given, right, closing, atol=1e-5)
