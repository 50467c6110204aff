"""Exercises of notebook 00: the error on the background, and how much of it a good count can hide."""

from __future__ import annotations

import numpy as np
import torch

from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, number, require, same


@exercise("0.1", "People who are not there", difficulty=1, minutes=5)
def background_error(answer: Answer) -> None:
    """a count can be right by chance, when people missed here make up for people invented there; this cannot."""
    truth = torch.tensor([[0.0, 1e-7, 0.6, 0.3999], [0.0, 0.0, 0.0, 0.0]])
    predicted = torch.tensor([[0.5, 0.02, 0.3, 0.3], [0.25, 0.0, 0.05, 0.0]])
    before = torch.stack([predicted, truth])
    found = number(answer(predicted, truth))
    unchanged = same(torch.stack([predicted, truth]), before, atol=0)
    require(unchanged, "your function changed the maps it was given. Work on copies, or select pixels without writing.")
    mistakes = {
        "these are the people predicted on the *crowd*. The background is where truth == 0.": 0.62,
        "this is the error of the whole count. Add up only the pixels where the truth is zero.": 0.42,
        "this is everybody the map predicts. Select the pixels where truth == 0.": 1.42,
        "this is a mean over pixels. The number of people is the *sum* of the density map.": [0.16, 0.1],
        "the pixel where the truth is 0.0000001 is the edge of a head. The background is exactly zero.": 0.82,
        "here pixels are counted. Add up the people predicted on them.": [5, 3],
    }
    expect(found, 0.8, "in this example it is 0.5 + 0.25 + 0.05 = 0.8 people, not {found:.3f}.", mistakes)


@exercise("0.2", "Right for the wrong reasons", difficulty=2, minutes=5, optional=True)
def hidden_errors(answer: Answer) -> None:
    """the smaller of the two errors is hidden by the other; only a map shows it, never the count."""
    true, predicted, invented = np.array([30.0, 30, 30, 30]), np.array([35.0, 24, 31, 38]), np.array([25.0, 4, 0, 6])
    missed = true - (predicted - invented)  # 20, 10, -1, -2: on the last two the crowd itself is overcounted
    right = np.minimum(invented, np.maximum(missed, 0))
    given = answer(true.copy(), predicted.copy(), invented.copy())
    require(np.shape(given) == (4,), f"return one number per image: 4 here, not the shape {np.shape(given)}.")
    found = np.asarray(given, dtype=float)
    crowd, error = predicted - invented, predicted - true
    mistakes: Mistakes = {
        "these are the missed people. Some of them are not made up for: where 4 are invented, only 4 can be.": [
            missed, np.maximum(missed, 0),
        ],
        "these are the invented people. They can hide only as many people as are missed.": invented,
        "this is the error of the count, which is what you see. How much does it hide?": [error, -error, abs(error)],
        "below zero: where the crowd is overcounted, nobody is missed and nothing is made up for.": np.minimum(
            invented, missed
        ),
        "these are the people seen on the crowd. Those who are missed are the true count less these.": crowd,
        "missed people are not true - predicted: of the predicted ones, leave out those on the background.": [
            np.minimum(invented, np.maximum(true - predicted, 0)), np.minimum(invented, true - predicted),
        ],
        "the larger of the two is not hidden. What one error can hide of the other is the smaller.": [
            np.maximum(invented, missed), np.maximum(invented, np.maximum(missed, 0)),
        ],
    }  # fmt: skip
    wrong = int(np.argmax(~np.isclose(found, right)))  # the first image that differs
    closing = (
        f"with 30 people, {predicted[wrong]:g} predicted and {invented[wrong]:g} of them invented, "
        f"{right[wrong]:g} are missed and hidden; you say {found[wrong]:g}."
    )
    expect(found, right, closing, mistakes)
