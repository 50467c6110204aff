"""Exercises of notebook 06: a loss on the background of a pseudo-mask, its mean, and one prediction for two things."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, number, require

# 6.1: two images with unequal shares of crowd, so that every kind of mean gives another number.
LOGITS = torch.tensor([[[[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]], [[[1.0, 1.5, -0.5], [-3.0, 0.25, 2.5]]]])
MASK = torch.tensor([[[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], [[[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]]]])
BACKGROUND = 1 - MASK


@exercise("6.1", "The target loss from logits", difficulty=2, minutes=5, replaces="losses.target_segmentation_loss")
def target_segmentation_loss(answer: Answer) -> None:
    """background only, a mean over all pixels, and finite for every logit."""
    value = answer(LOGITS.clone(), MASK.clone())
    require(isinstance(value, Tensor) and value.numel() == 1, "return one number: a tensor without dimensions.")
    everywhere = F.softplus(LOGITS)  # -log(1 - ẑ)
    outside, inside, label_1 = BACKGROUND * everywhere, MASK * everywhere, BACKGROUND * F.softplus(-LOGITS)
    per_image = (outside.sum((1, 2, 3)) / BACKGROUND.sum((1, 2, 3))).mean()
    of_background = [outside.sum() / BACKGROUND.sum(), per_image]
    right, naive = losses.target_segmentation_loss(LOGITS, MASK), losses.source_segmentation_loss(LOGITS, MASK)
    entropy = losses.target_entropy_loss(LOGITS, MASK)
    mistakes: Mistakes = {
        "this is the sum over the pixels: take the mean.": outside.sum(),
        "sum over pixels, mean over images is how the paper prints it; the package takes means.": outside.sum() / 2,
        "you divide by the pixels of background only, which is 0 / 0 without any. Divide by all pixels.": of_background,
        "the mask is the wrong way round: z = 1 is crowd, and this loss counts where z = 0.": inside.mean(),
        "the loss still counts where z = 1: this is the naive loss, which trusts the mask there.": naive,
        "the loss counts where z = 1, as if all were background. Use z.": everywhere.mean(),
        "you set the *logits* to 0 where z = 1. A logit of 0 is ẑ = 0.5 and costs log 2: set the loss to 0 there.": (
            F.softplus(BACKGROUND * LOGITS).mean()
        ),
        "this is the entropy, with H as its own label. The label is z: 0 on the background.": entropy,
        "-log ẑ rewards crowd on the background. The label there is 0: the loss is -log(1 - ẑ).": label_1.mean(),
        "nan: 0 × log 0 at a pixel that should not count. Keep 1 - H out of the logarithm, or use logits.": np.nan,
        "the sign is wrong: the logarithm of a number below 1 is negative, and a loss falls to 0.": -right,
    }
    closing = "for two images of 2×3 pixels it should be {right:.4f}, not {found:.4f}."
    expect(float(value.detach()), float(right), closing, mistakes)
    x = torch.full((1, 1, 1, 2), 100.0, requires_grad=True)
    extreme = answer(x, torch.tensor([[[[0.0, 1.0]]]]))
    require(torch.isfinite(extreme), "1 - sigmoid(100) is 0, and its logarithm is not finite: use softplus(logits).")
    require(extreme.requires_grad, "no gradient leads back to the logits: no detach(), no item() and no NumPy.")
    slopes = torch.autograd.grad(extreme, x)[0].flatten()
    kept = torch.isfinite(slopes).all() and abs(float(slopes[0]) - 0.5) < 1e-3
    require(kept, "at a logit of 100 a small constant hides the zero and loses the gradient: use softplus(logits).")
    full = "where all is crowd there is no background to learn from: the loss is 0, not {found}."
    expect(number(answer(LOGITS, torch.ones_like(MASK))), 0, full)
    require(slopes[1] == 0, "where z = 1 the gradient should be exactly 0.")


@exercise("6.2", "Mean over which pixels?", difficulty=2, minutes=6, optional=True)
def which_mean(answer: tuple[Any, Any, Any]) -> None:
    """only the mean over each image's background lets a pixel weigh more because its image is crowded."""
    if not isinstance(answer, tuple | list) or any(value is ... or value is None for value in answer):
        raise NotImplementedError
    require(len(answer) == 3, "three numbers are asked for: (a), (b) and (c).")
    a, b, c = (number(value) for value in answer)
    mistakes: Mistakes = {
        "(a) the gradient of a background pixel is ẑ / number of *all* pixels, whatever image it is in.": [4.0, 0.25],
    }
    expect(a, 1.0, "(a) A and B have equally many pixels, and ẑ is 0.5 in both.", mistakes)
    mistakes = {
        "(b) all background pixels of the batch share one denominator, those of A and of B alike.": [4.0, 0.25],
    }
    expect(b, 1.0, "(b) the denominator is the number of background pixels of both images together.", mistakes)
    mistakes = {
        "(c) the other way round: B has fewer background pixels, so each of them gets a larger part.": 0.25,
        "(c) here each image has a denominator of its own: 80 % of the pixels in A, 20 % in B.": 1.0,
        "(c) the mean over the two images halves both gradients, so it drops out of the ratio.": [2.0, 8.0],
        "(c) compare the *background*, which is 80 and 20 %; this is no ratio of a share and its rest.": [1.6, 0.4],
    }
    expect(c, 4.0, "(c) a background pixel gets ẑ / (background pixels of its image), divided by 2 images.", mistakes)


@exercise("6.3", "One ẑ for two things", difficulty=3, minutes=10, optional=True)
def compromise(answer: Answer) -> None:
    """S can only say which share of the votes is for crowd; to do better, E has to tell the two apart."""
    cases = [(300.0, 100.0, 1.0), (300.0, 100.0, 2.5), (50.0, 200.0, 0.5), (80.0, 20.0, 0.0)]
    for people, leaves, weight in cases:
        found = number(answer(people, leaves, weight))
        votes = weight * leaves
        right = people / (people + votes)
        logit = math.log(people / votes) if votes else math.inf
        table = {
            "this is the logit of the right answer: return ẑ, its sigmoid.": [logit],
            "this is 1 - ẑ: the people vote for crowd, ẑ near 1.": [1 - right],
            "this is the ratio of the two; ẑ is a probability: set the derivative of the *sum* of losses to zero.": [
                people / max(votes, 1e-9),
                votes / people,
            ],
            "`weight` multiplies the loss on the leaves, so it belongs beside `leaves` in your answer.": [
                people / (people + leaves),
                weight * people / (people + leaves),
                weight * people / (weight * people + leaves) if weight else math.nan,
            ],
            "this is the decision, 0 or 1. The loss has its minimum in between.": [0.0, 1.0],
            "half is right for equal numbers only. More people pull ẑ further up.": [0.5],
        }
        mistakes: Mistakes = {
            hint: [value for value in wrong if abs(value - right) > 0.01] for hint, wrong in table.items()
        }
        closing = (
            f"for {people:g} people, {leaves:g} leaves and weight {weight:g} the minimum is at {right:.3f}, not at "
            f"{found:.3f}. The loss is -people · log ẑ - weight · leaves · log(1 - ẑ): where is its derivative zero?"
        )
        expect(found, right, closing, mistakes, atol=2e-3)
