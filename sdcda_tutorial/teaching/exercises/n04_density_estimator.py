"""Exercises of notebook 04: Eq. 6, the label factor of larger images, and where the error lies."""

from __future__ import annotations

import torch

from sdcda_tutorial.teaching.exercises import (
    Answer,
    Hint,
    exercise,
    expect,
    expect_gradient,
    number,
    pair,
    require,
    rule_out,
)


@exercise("4.1", "Your own Eq. 6", difficulty=2, minutes=4, replaces="losses.density_loss")
def density_loss(answer: Answer) -> None:
    """half the mean of the squares, with a gradient, and no broadcasting by accident."""
    # Two images of 1 × 3 pixels. The differences are 1, -2, 0, 0, 3 and 0; their squares add up to 14.
    truth = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0]]).view(2, 1, 1, 3)
    pred = torch.tensor([[2.0, 0.0, 0.0], [0.0, 6.0, 1.0]]).view(2, 1, 1, 3).requires_grad_()
    returned = answer(pred, truth.clone())
    mistakes = {
        "the half of Eq. 6 is missing.": 14 / 6,
        "this is a sum over the pixels; here the loss is a mean over pixels and images.": [7, 14],
        "this is a sum over pixels and a mean over the images, as in the paper; here it is a mean over both.": 3.5,
        "this is the absolute distance. Eq. 6 has the squared one.": [0.5, 1],
        "square each difference first, then take the mean: here differences of opposite sign cancel.": [1 / 18, 1 / 9],
        "this is a root; Eq. 6 has the squares themselves.": [14**0.5 / 2, 14**0.5, (14 / 6) ** 0.5, (14 / 12) ** 0.5],
    }
    expect(number(returned), 14 / 12, "half the mean of 1, 4, 0, 0, 9 and 0 is 1.167, not {found:.4g}.", mistakes)
    hint = (
        "the value is right, but it has no gradient with respect to the prediction, so nothing would learn: return the "
        "tensor itself, without item(), detach(), float() or a new tensor."
    )
    expect_gradient(returned, [pred], [(pred.detach() - truth) / 6], hint)
    # (2, 1, 3), subtracted from (2, 1, 1, 3), gives (2, 2, 1, 3)
    taller = pred.detach().expand(2, 1, 4, 3).clone()
    for one, other in ((pred, truth[:, 0]), (pred, truth[:1]), (pred, truth.mT), (taller, truth)):
        try:
            answer(one, other)
        except ValueError:
            continue
        except Exception as error:
            raise Hint(f"maps of different shapes should raise a ValueError, not {type(error).__name__}.") from None
        shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
        raise Hint(f"the loss is right, but it accepts {shapes}, which broadcast. Raise a ValueError.")


@exercise("4.2", "Larger images", difficulty=2, minutes=5, optional=True)
def new_label_factor(answer: Answer) -> None:
    """each person spreads over scale² times as many pixels, so the density falls by scale²."""
    require(number(answer(10.0, 1.0)) == 10, "scale 1 changes nothing: the factor should stay 10.")
    mistakes = {
        "σ grows in both directions: each person spreads over scale × scale times as many pixels.": 20,
        "the mean over the pixels does not cancel it: every density is smaller than before.": 10,
        "the densities become smaller, so the factor has to become larger.": [2.5, 5, 0.625],
        "the loss falls by scale⁴, but it contains the *square* of the factor.": 160,
    }
    expect(number(answer(10.0, 2.0)), 40, "for twice the side the factor is 40, not {found:g}.", mistakes)
    expect(number(answer(100.0, 1.5)), 225, "100 and 1.5 should give 225, not {found:g}.")
    expect(number(answer(10.0, 0.5)), 2.5, "half the side makes densities 4 times as large: 2.5, not {found:g}.")


@exercise("4.3", "Where the error lies", difficulty=2, minutes=6, optional=True)
def error_parts(answer: Answer) -> None:
    """the two parts add up to the signed error of the count: +2 and -2 hide in a right count."""
    truth, pred = torch.zeros(4, 6), torch.zeros(4, 6)
    truth[:2, :2] = 1.0  # 4 people on 4 pixels
    pred[:2, :2] = 0.75  # 3 of them found
    pred[3, 1:] = 0.4  # 2 more on 5 pixels of background
    names = "background error, crowd error"
    background, crowd = pair(answer(pred.clone(), truth.clone()), names)
    rule_out((background, crowd), {"the background error comes first.": (-1, 2)})
    mistakes = {
        "count people, not pixels: add up the predicted density where the truth is zero.": [5, 20],
        "this is the prediction on the crowd; the background is where the truth is *zero*.": 3,
        "this is the error of the whole count, 5 people for 4. Add up only where the truth is zero.": 1,
    }
    expect(background, 2, "2 people are predicted on the background, not {found:.4g}.", mistakes)
    mistakes = {
        "the crowd error is the prediction on the crowd *less the true count*.": 3,
        "the sign shows whether people are missed (negative) or invented (positive): predicted less true.": 1,
    }
    expect(crowd, -1, "3 of 4 people are found, so the crowd error is -1, not {found:.4g}.", mistakes)
    # A faint truth is crowd too: the truth is exactly zero only where no kernel reaches.
    background, _ = pair(answer(torch.tensor([[0.5, 0.25]]), torch.tensor([[1e-4, 0.0]])), names)
    expect(background, 0.25, "the background is where the truth is exactly zero; a threshold cuts off each head's rim.")
