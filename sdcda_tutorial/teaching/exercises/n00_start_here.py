"""Exercises of notebook 00: the error in the background, and a percentage that needs its base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from sdcda_tutorial.paper import TABLE_1
from sdcda_tutorial.teaching.exercises import exercise, require


@exercise(
    "0.1",
    "People who are not there",
    difficulty=1,
    minutes=4,
    praise="a count can be right by chance, when people missed here make up for people invented there; this cannot.",
)
def background_error(answer: Callable[..., Any]) -> None:
    truth = torch.tensor([[0.0, 0.01, 0.6, 0.39], [0.0, 0.0, 0.0, 0.0]])
    predicted = torch.tensor([[0.5, 0.02, 0.3, 0.3], [0.25, 0.0, 0.05, 0.0]])
    given = predicted.clone(), truth.clone()
    found = float(answer(predicted, truth))
    require(
        torch.equal(predicted, given[0]) and torch.equal(truth, given[1]),
        "your function changed the maps that it was given: work on a copy, or pick the pixels without writing.",
    )
    require(abs(found - 0.62) > 1e-4, "that is what was predicted on the *crowd*; the background is where truth == 0.")
    require(
        abs(found - 0.42) > 1e-4,
        "that is the error of the whole count. Only pixels where the truth is zero count here.",
    )
    require(abs(found - 1.42) > 1e-4, "that is everybody whom the map predicts: choose the pixels where truth == 0.")
    require(
        abs(found - 0.16) > 1e-4 and abs(found - 0.1) > 1e-4,
        "that is a mean over pixels. People are a *sum* over the density map.",
    )
    require(
        abs(found - 0.82) > 1e-4,
        "the pixel where the truth is 0.01 belongs to a person's edge: the background is where it is exactly zero.",
    )
    require(
        abs(found - 5) > 1e-4 and abs(found - 3) > 1e-4,
        "pixels are counted there; asked for are the people predicted on them.",
    )
    require(abs(found - 0.8) < 1e-4, f"in a small example it is 0.5 + 0.25 + 0.05 = 0.8 people, not {found:.3f}.")


@exercise(
    "0.2",
    "How much better?",
    difficulty=1,
    minutes=5,
    praise="a percentage is worth as much as its base, so name the base.",
)
def mae_drop(answer: Callable[..., float]) -> None:
    found = float(answer(TABLE_1, "ShanghaiTech B", "NoAdpt (ours)", "SE+FD"))
    exact = 100 * (24.6 - 16.9) / 24.6
    require(
        abs(found - 100 * (24.6 - 16.9) / 16.9) > 0.01,
        "you divide by the error *after*. A drop is measured from where one starts: divide by the error before.",
    )
    require(abs(found + exact) > 0.01, "the sign: a drop is positive when the error becomes smaller.")
    require(abs(found - exact / 100) > 1e-4, "that is a fraction; per cent are asked for, a hundred times as many.")
    require(abs(found - (24.6 - 16.9)) > 1e-4, "that is the difference in people; divide it by the error before.")
    require(
        abs(found - 100 * 16.9 / 24.6) > 0.01, "that is what is *left* of the error, and asked for is what is gone."
    )
    require(
        abs(found - 100 * (22.8 - 16.9) / 22.8) > 0.01,
        "that is the drop from NoAdpt [16]; the method before is the one that the argument names, NoAdpt (ours).",
    )
    require(
        abs(found - 100 * (190.8 - 129.3) / 190.8) > 0.01 and abs(found - 100 * (296.1 - 221.2) / 296.1) > 0.01,
        "that is the drop on another data set: look at the field `dataset` as well as at `method`.",
    )
    require(abs(found - 100 * (33.7 - 24.7) / 33.7) > 0.01, "that is the drop of the MSE; the MAE was asked for.")
    require(abs(found - exact) < 0.01, f"24.6 to 16.9 is a drop of 31.3 %, not {found:.1f} %.")
    other = [replace(row, mae=2 * row.mae if row.method == "SE+FD" else row.mae) for row in TABLE_1]
    rise = float(answer(other, "ShanghaiTech B", "NoAdpt (ours)", "SE+FD"))
    require(
        abs(rise - 100 * (24.6 - 33.8) / 24.6) < 0.01,
        "with another table in hand, in which the error of SE+FD is twice as large, the answer should change (and be "
        f"negative, since the error rises); yours is {rise:.1f} %. Read the table that you are given.",
    )
