"""Exercises of notebook 09: what one number says about a counter, and how sure one may be of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sdcda_tutorial.teaching.exercises import exercise, require


def _near(value: float, expected: float, tolerance: float = 1e-4) -> bool:
    return abs(value - expected) <= tolerance


def _pair(returned: Any, names: str) -> tuple[float, float]:
    require(isinstance(returned, tuple) and len(returned) == 2, f"return two numbers, `{names}`, in this order.")
    first, second = float(returned[0]), float(returned[1])
    require(math.isfinite(first) and math.isfinite(second), f"both numbers should be finite, not {first} and {second}.")
    return first, second


@exercise(
    "9.1",
    "MAE and the root of the mean square",
    difficulty=1,
    minutes=5,
    praise="both are in people, and the second never lies below the first: it weighs large errors more.",
)
def count_errors(answer: Callable[..., tuple[float, float]]) -> None:
    truth, pred = np.array([10.0, 20.0, 30.0, 40.0]), np.array([13.0, 20.0, 26.0, 52.0])  # errors 3, 0, -4, 12
    mae, mse = _pair(answer(truth, pred), "mae, mse")
    require(
        not _near(abs(mae), 11 / 4),
        f"your MAE is {mae:.2f}, the mean of *signed* errors: too many here makes up for too few there. Take the "
        "absolute value of each image's error before the mean.",
    )
    require(not _near(mae, 19), "your MAE is the sum of the absolute errors: divide by the number of images.")
    root = 6.5  # √((9 + 0 + 16 + 144) / 4)
    require(not (_near(mae, root) and _near(mse, 19 / 4)), "the two are the right ones, in the wrong order.")
    require(_near(mae, 19 / 4), f"errors of 3, 0, -4 and 12 people have an MAE of 4.75, not {mae:.2f}.")
    require(
        not _near(mse, root**2),
        "the root is missing: 42.25 is in *square* people. Eq. 11 takes the root, although it says MSE.",
    )
    require(
        not _near(mse, 19 / 4),
        "your second number equals the first: the root of each square is the absolute value again. Take the mean "
        "first, then one root.",
    )
    require(
        not _near(mse, 13) and not _near(mse, 13 / 4),
        "the division by the number of images belongs under the root, with the mean of the squares.",
    )
    require(
        not _near(mse, 11 / 4),
        "that is the root of the squared mean: square each image's error, and then take the mean.",
    )
    require(_near(mse, root), f"the mean square is 42.25, so its root is 6.5, not {mse:.2f}.")


@exercise(
    "9.2",
    "PSNR of a density map",
    difficulty=2,
    minutes=6,
    praise="a mean over pixels, so it sees places; relative to the highest true density, so it needs somebody there.",
)
def psnr(answer: Callable[..., float]) -> None:
    truth = torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    pred = torch.tensor([[0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # two of eight pixels are off by 1
    value = float(answer(pred, truth))
    square, peak = 0.25, 3.0
    expected = 10 * math.log10(peak**2 / square)  # 15.56 dB
    hints = {
        16
        / square: "the peak is the maximum of the *true* map, 3. A prediction that is too bright must not be rewarded.",
        peak**2 / 2: "you divide by the *sum* of the squares. PSNR takes their mean over all pixels.",
        peak / square: "the peak stands in the formula as a square, so that the unit cancels.",
        1 / square: "there is no peak in it, or one of 1. These maps reach 3 people per pixel.",
        255**2 / square: "255 is the peak of a photograph. That of a density map is the maximum of the true map.",
        peak**2 / 0.5: "that is the *root* of the mean square, or the mean error; the formula has the mean square.",
        square / peak**2: "peak above, error below: a better map has a higher PSNR.",
        (peak**2 / square) ** 2: "20 belongs to peak / root of the mean square, 10 to their squares. Not both.",
    }
    for ratio, hint in hints.items():
        require(not _near(value, 10 * math.log10(ratio), 1e-3), hint)
    require(
        not _near(value, 10 * math.log(peak**2 / square), 1e-3),
        "this is the natural logarithm; decibels take the one to the base 10.",
    )
    require(not _near(value, expected / 10, 1e-3), "a decibel is a tenth of a bel: multiply the logarithm by 10.")
    require(
        _near(value, expected, 1e-3),
        f"two of eight pixels are off by 1 and the highest true density is 3: 10 log10(9 / 0.25) = 15.56 dB, not "
        f"{value:.2f}.",
    )


@exercise(
    "9.3",
    "Where the error lies",
    difficulty=2,
    minutes=6,
    praise="the two parts add up to the signed error of the count, which alone would have hidden them both.",
)
def error_parts(answer: Callable[..., tuple[float, float]]) -> None:
    # The crowd, 3 people: one place with too few, one missed, one with too many, and the faint end of a head's kernel.
    truth, pred = torch.zeros(4, 6), torch.zeros(4, 6)
    truth[1, 1], truth[1, 2], truth[2, 1], truth[2, 2] = 1.5, 0.9995, 0.5, 0.0005
    pred[1, 1], pred[1, 2], pred[2, 1], pred[2, 2] = 0.5, 0.0, 1.25, 0.25  # 2 people
    pred[0, 5], pred[3, 4], pred[3, 5] = 1.0, 0.25, 0.25  # 1.5 people where nobody is
    background, crowd = _pair(answer(pred, truth), "background, crowd")
    require(not (_near(background, -1.0) and _near(crowd, 1.5)), "the two are the right ones, in the wrong order.")
    require(
        not _near(background, 1.5 / 20) and not _near(background, 1.5 / 24),
        "the background error is in people: the *sum* of what is predicted there, not the mean.",
    )
    require(
        not _near(background, 2.4995) and not _near(crowd, -1.9995),  # all that is above the truth, all that is below
        "too many and too few is another split: also in the crowd too many may be predicted. Split by where the *true* "
        "map is zero.",
    )
    require(
        not _near(background, 1.75) and not _near(crowd, -1.25, 6e-4),  # with the 0.0005 taken off or not
        "a place where the true map is small, 0.0005 here, is crowd too: it is within reach of a head. The background "
        "is where the true map is exactly zero, not where it is below some limit.",
    )
    require(
        not _near(background, 2.0),
        "you added up the prediction in the crowd. The background is where the true map is zero.",
    )
    require(not _near(background, 0.0), "the background is where the *true* map is zero, not where the prediction is.")
    require(_near(background, 1.5), f"1.5 people are predicted where nobody is, not {background:.2f}.")
    require(
        not _near(crowd, 2.0),
        "the people predicted in the crowd are not an error yet: take off those who are really there.",
    )
    require(
        not _near(crowd, 1.0) and not _near(crowd, 2.999),  # of the sum, and of every place
        "3 people are there and 2 are found, so some are *missed*: the crowd's error is below zero. Neither its "
        "sign turned round nor absolute values would do, or the two parts would not add up.",
    )
    require(
        not _near(crowd, -0.0005) and not _near(crowd, 0.0005),
        "that misses the place where nothing is predicted: the crowd is where the *true* map is above zero.",
    )
    require(_near(crowd, -1.0), f"in the crowd 2 of 3 people are found: an error of -1, not {crowd:.2f}.")


@exercise(
    "9.4",
    "Two methods, the same seeds",
    difficulty=2,
    minutes=8,
    praise="what makes a seed hard for both methods drops out of the difference, and its spread is what is left.",
)
def paired_difference(answer: Callable[..., tuple[float, float]]) -> None:
    a, b = np.array([10.0, 20.0, 36.0, 14.0]), np.array([13.0, 25.0, 40.0, 18.0])  # differences -3, -5, -4, -4
    mean, sd = _pair(answer(a, b), "mean, sd")
    require(not _near(mean, 4), "this is b - a; asked is a - b, below zero where a has the smaller error.")
    require(not _near(mean, -16), "the *mean* of the differences, not their sum.")
    require(_near(mean, -4), f"the differences are -3, -5, -4 and -4, with a mean of -4, not {mean:.2f}.")
    variances = float(a.var(ddof=1) + b.var(ddof=1))
    unpaired = (math.sqrt(variances), math.sqrt(variances / 4), abs(float(a.std(ddof=1) - b.std(ddof=1))))
    require(
        not any(_near(abs(sd), value, 1e-3) for value in (*unpaired, math.sqrt(float(a.var() + b.var())))),
        "you took the spread of each method on its own, and with it that of the seeds. Subtract seed by seed first.",
    )
    require(
        not _near(sd, math.sqrt(2 / 4)),
        "this divides by the number of seeds. Their mean was made of the same seeds, so one less is right: ddof=1.",
    )
    require(not _near(sd, 2 / 3), "that is the variance; its root is the standard deviation.")
    require(
        not _near(sd, math.sqrt(2 / 3) / 2),
        "divided by the root of the number of seeds this is the standard error of the mean; asked is "
        "the spread itself.",
    )
    expected = math.sqrt(2 / 3)
    require(_near(sd, expected, 1e-3), f"the differences have a standard deviation of {expected:.3f}, not {sd:.3f}.")
    c, d = np.array([9.0, 2.0, 5.0]), np.array([4.0, 3.0, 2.0])  # differences 5, -1, 3
    mean, sd = _pair(answer(c, d), "mean, sd")
    require(
        _near(mean, 7 / 3) and _near(sd, math.sqrt(28 / 3), 1e-3),
        f"with differences of 5, -1 and 3 the mean is 2.33 and the standard deviation 3.06, not {mean:.2f} and "
        f"{sd:.2f}. Keep the signs: a difference may fall either way.",
    )
