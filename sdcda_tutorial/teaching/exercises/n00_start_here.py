"""Exercises of notebook 00: the error on the background, and a percentage that needs its base."""

from __future__ import annotations

from dataclasses import replace

import torch

from sdcda_tutorial.paper import TABLE_1
from sdcda_tutorial.teaching.exercises import Answer, exercise, expect, require, same


@exercise("0.1", "People who are not there", difficulty=1, minutes=4)
def background_error(answer: Answer) -> None:
    """a count can be right by chance, when people missed here make up for people invented there; this cannot."""
    truth = torch.tensor([[0.0, 0.01, 0.6, 0.39], [0.0, 0.0, 0.0, 0.0]])
    predicted = torch.tensor([[0.5, 0.02, 0.3, 0.3], [0.25, 0.0, 0.05, 0.0]])
    before = torch.stack([predicted, truth])
    found = float(answer(predicted, truth))
    unchanged = same(torch.stack([predicted, truth]), before, atol=0)
    require(unchanged, "your function changed the maps it was given. Work on copies, or select pixels without writing.")
    mistakes = {
        "these are the people predicted on the *crowd*. The background is where truth == 0.": 0.62,
        "this is the error of the whole count. Add up only the pixels where the truth is zero.": 0.42,
        "this is everybody the map predicts. Select the pixels where truth == 0.": 1.42,
        "this is a mean over pixels. The number of people is the *sum* of the density map.": [0.16, 0.1],
        "the pixel where the truth is 0.01 is the edge of a head. The background is exactly zero.": 0.82,
        "here pixels are counted. Add up the people predicted on them.": [5, 3],
    }
    expect(found, 0.8, "in this example it is 0.5 + 0.25 + 0.05 = 0.8 people, not {found:.3f}.", mistakes)


@exercise("0.2", "How much better?", difficulty=1, minutes=5)
def mae_drop(answer: Answer) -> None:
    """a percentage is worth as much as its base, so name the base."""

    def drop(before: float, after: float) -> float:
        return 100 * (before - after) / before

    right, other_sets = drop(24.6, 16.9), [drop(190.8, 129.3), drop(296.1, 221.2)]
    mistakes = {
        "you divide by the error *after*. A drop is relative to the error before.": 100 * (24.6 - 16.9) / 16.9,
        "check the sign: a drop is positive when the error becomes smaller.": -right,
        "this is a fraction. Multiply by 100 to get a percentage.": right / 100,
        "this is the difference in people. Divide it by the error before.": 24.6 - 16.9,
        "this is how much of the error is *left*. How much is gone?": 100 * 16.9 / 24.6,
        "this is the drop from NoAdpt [16]. The argument names another method, NoAdpt (ours).": drop(22.8, 16.9),
        "this is the drop on another data set. Match the field `dataset` as well as `method`.": other_sets,
        "this is the drop of the MSE. Use the MAE.": drop(33.7, 24.7),
    }
    arguments = "ShanghaiTech B", "NoAdpt (ours)", "SE+FD"
    found = float(answer(TABLE_1, *arguments))
    expect(found, right, "24.6 to 16.9 is a drop of 31.3 %, not {found:.1f} %.", mistakes, atol=0.01)
    doubled = [replace(row, mae=2 * row.mae) if row.method == "SE+FD" else row for row in TABLE_1]
    closing = "with twice the error of SE+FD you return {found:.1f} %: read the table that you are given."
    expect(float(answer(doubled, *arguments)), drop(24.6, 33.8), closing, atol=0.01)
