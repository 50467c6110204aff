"""Exercises of notebook 04: Eq. 6 in training, the count of a map, and where the error lies."""

from __future__ import annotations

import torch

from sdcda_tutorial.teaching.exercises import Answer, exercise, expect, number, pair, require, rule_out

FACTOR = 10.0


@exercise("4.1", "Eq. 6 in training", difficulty=2, minutes=6)
def training_loss(answer: Answer) -> None:
    """the truth is scaled to the output's unit, and the loss is half the mean of the squares."""
    # Two images of 1 × 3 pixels. Scaled differences: 1, -2, 0, 0, 3, 0; their squares add up to 14.
    F = torch.tensor([[0.1, 0.2, 0.0], [0.0, 0.3, 0.1]]).view(2, 1, 1, 3)
    output = torch.tensor([[2.0, 0.0, 0.0], [0.0, 6.0, 1.0]]).view(2, 1, 1, 3)
    plain = float((output - F).square().mean())
    mistakes = {
        "output and F(y) are in different units: multiply the truth by the label factor.": [plain / 2, plain],
        "the output contains the label factor already; multiply the truth only.": plain / 2 * FACTOR**2,
        "you compare in people per pixel. Multiply the truth instead of dividing the output.": 14 / 12 / FACTOR**2,
        "the half of Eq. 6 is missing.": 14 / 6,
        "this is a sum over the pixels; here the loss is a mean over pixels and images.": 7,
        "this is a sum over pixels and a mean over the images, as in the paper; here it is a mean over both.": 3.5,
        "this is the absolute distance. Eq. 6 has the squared one.": 0.5,
    }
    loss = number(answer(output, F, FACTOR))
    expect(loss, 14 / 12, "half the mean of 1, 4, 0, 0, 9 and 0 is 1.167, not {found:.4g}.", mistakes)


@exercise("4.2", "Counts of a batch", difficulty=1, minutes=3)
def counts(answer: Answer) -> None:
    """the sum of each map, back in people."""
    output = torch.zeros(3, 1, 4, 5)
    output[0, 0, 1, 2], output[1, 0, :2] = 20.0, 5.0  # 2, 5 and 0 people
    made = torch.as_tensor(answer(output, FACTOR), dtype=torch.float32)
    require(made.numel() != 1, "this is one number for the whole batch; each image has a count of its own.")
    require(made.shape == (3,), f"three images should give a tensor of shape (3,), not {tuple(made.shape)}.")
    mistakes = {
        "you added up people per pixel *times the label factor*; undo the factor.": (20, 50, 0),
        "the label factor is in the output already: divide by it.": (200, 500, 0),
        "this is the mean density; the count is the *sum* of the map.": (0.1, 0.25, 0),
    }
    expect(made.tolist(), (2, 5, 0), "the maps hold 2, 5 and 0 people, not {found}.", mistakes)


@exercise("4.3", "Where the error lies", difficulty=2, minutes=6)
def error_parts(answer: Answer) -> None:
    """the two parts add up to the error of the count, and say where to mend it."""
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
