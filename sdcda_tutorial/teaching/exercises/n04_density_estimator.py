"""Exercises of notebook 04: Eq. 6 as it is trained, the count of a map, and where the error lies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sdcda_tutorial.teaching.exercises import exercise, require

FACTOR = 10.0


def _near(value: float, expected: float) -> bool:
    return abs(value - expected) < 1e-4 * max(1.0, abs(expected))


@exercise(
    "4.1",
    "Eq. 6 in training",
    difficulty=2,
    minutes=6,
    praise="the truth is scaled to the output's unit, and the loss is half the mean of the squares.",
)
def training_loss(answer: Callable[..., Tensor]) -> None:
    # Two images of 1 × 3 pixels. Scaled differences: 1, -2, 0, 0, 3, 0; their squares add up to 14.
    F = torch.tensor([[0.1, 0.2, 0.0], [0.0, 0.3, 0.1]]).view(2, 1, 1, 3)
    output = torch.tensor([[2.0, 0.0, 0.0], [0.0, 6.0, 1.0]]).view(2, 1, 1, 3)
    made = torch.as_tensor(answer(output, F, FACTOR))
    require(made.numel() == 1, "the loss is one number, the mean over pixels and images.")
    loss = float(made)
    plain = 0.5 * float((output - F).square().mean())
    require(
        not _near(loss, plain) and not _near(loss, 2 * plain),
        "output and F(y) are in different units: the truth has to be multiplied by the label factor.",
    )
    both = 0.5 * float((FACTOR * output - FACTOR * F).square().mean())
    require(not _near(loss, both), "the output has the label factor already; multiply the truth only.")
    require(
        abs(loss - 14 / 12 / FACTOR**2) > 1e-5,
        "you compare in people per pixel. Training compares in the output's unit: multiply the truth instead.",
    )
    require(not _near(loss, 14 / 6), "the half of Eq. 6 is missing.")
    require(not _near(loss, 7.0), "this is a sum over the pixels; here the loss is a mean over pixels and images.")
    require(
        not _near(loss, 3.5),
        "this is a sum over pixels and a mean over the images, as the paper writes it; here it is a mean over both.",
    )
    require(not _near(loss, 0.5), "the squared distance is asked for, and not the absolute one.")
    require(_near(loss, 14 / 12), f"half the mean of 1, 4, 0, 0, 9 and 0 is 1.167, not {loss:.4g}.")


@exercise(
    "4.2",
    "Counts of a batch",
    difficulty=1,
    minutes=3,
    praise="the sum of each map, back in people.",
)
def counts(answer: Callable[..., Tensor]) -> None:
    output = torch.zeros(3, 1, 4, 5)
    output[0, 0, 1, 2], output[1, 0, :2] = 20.0, 5.0  # 2, 5 and 0 people
    made = torch.as_tensor(answer(output, FACTOR), dtype=torch.float32)
    require(made.numel() != 1, "one number for the whole batch; each image has a count of its own.")
    require(made.shape == (3,), f"three images should give a tensor of shape (3,), not {tuple(made.shape)}.")
    found = [float(v) for v in made]
    require(found != [20.0, 50.0, 0.0], "people per pixel *times the label factor* were added up; undo the factor.")
    require(found != [200.0, 500.0, 0.0], "the label factor is in the output already: divide by it.")
    require(
        not torch.allclose(made, torch.tensor([0.1, 0.25, 0.0])),
        "this is the mean density; the count is the *sum* of the map.",
    )
    require(torch.allclose(made, torch.tensor([2.0, 5.0, 0.0])), f"the maps hold 2, 5 and 0 people, not {found}.")


@exercise(
    "4.3",
    "Where the error lies",
    difficulty=2,
    minutes=6,
    praise="the two parts add up to the error of the count, and say where to mend it.",
)
def error_parts(answer: Callable[..., tuple[float, float]]) -> None:
    truth, pred = torch.zeros(4, 6), torch.zeros(4, 6)
    truth[:2, :2] = 1.0  # 4 people on 4 pixels
    pred[:2, :2] = 0.75  # 3 of them found
    pred[3, 1:] = 0.4  # 2 more on 5 pixels where nobody is
    made = answer(pred.clone(), truth.clone())
    require(isinstance(made, tuple | list) and len(made) == 2, "give two numbers: (background error, crowd error).")
    background, crowd = (float(v) for v in made)
    require((background, crowd) != (-1.0, 2.0), "the background error comes first.")
    require(
        not _near(background, 5) and not _near(background, 20),
        "people are asked for, not pixels: add up the predicted density where the truth is zero.",
    )
    require(
        not _near(background, 3), "this is what was painted in the crowd; the background is where the truth is *zero*."
    )
    require(
        not _near(background, 1),
        "this is the error of the whole count, 5 people for 4: add up only where the true map is zero.",
    )
    require(_near(background, 2), f"2 people are painted where nobody is, not {background:.4g}.")
    require(not _near(crowd, 3), "the crowd error is what was painted there *less the true count*.")
    require(
        not _near(crowd, 1), "the sign says whether people are missed (below zero) or invented: predicted less true."
    )
    require(_near(crowd, -1), f"3 of 4 people are found, so the crowd error is -1, not {crowd:.4g}.")
    # A faint truth is crowd too: what is out of reach of every head is exactly zero.
    faint = torch.full((1, 2), 1e-4)
    faint[0, 1] = 0.0
    again = answer(torch.tensor([[0.5, 0.25]]), faint)
    require(
        _near(float(again[0]), 0.25),
        "the background is where the truth is exactly zero; a threshold above it cuts off the rim of each head.",
    )
