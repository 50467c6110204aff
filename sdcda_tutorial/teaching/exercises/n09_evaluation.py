"""Exercises of notebook 09: what one number says about a counter, and how sure we can be of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sdcda_tutorial.teaching.exercises import Mistakes, exercise, expect, require, rule_out


def _pair(returned: Any, names: str) -> tuple[float, float]:
    require(isinstance(returned, tuple) and len(returned) == 2, f"return two numbers, `{names}`, in this order.")
    first, second = float(returned[0]), float(returned[1])
    require(math.isfinite(first) and math.isfinite(second), f"both numbers should be finite, not {first} and {second}.")
    return first, second


@exercise("9.1", "MAE and the root of the mean square", difficulty=1, minutes=5)
def count_errors(answer: Callable[..., tuple[float, float]]) -> None:
    """both are in people, and the second never lies below the first: it weighs large errors more."""
    truth, pred = np.array([10.0, 20.0, 30.0, 40.0]), np.array([13.0, 20.0, 26.0, 52.0])  # errors 3, 0, -4, 12
    mae, mse = _pair(answer(truth, pred), "mae, mse")
    rule_out((mae, mse), {"both numbers are right, but in the wrong order.": (6.5, 4.75)})
    mistakes: dict[str, Any] = {
        f"your MAE is {mae:.2f}, the mean of *signed* errors: too many here cancels too few there. Take the absolute "
        "value of each image's error before the mean.": [2.75, -2.75],
        "your MAE is the sum of the absolute errors: divide by the number of images.": 19,
    }
    expect(mae, 4.75, f"errors of 3, 0, -4 and 12 people have an MAE of 4.75, not {mae:.2f}.", mistakes)
    mistakes = {
        "the root is missing: 42.25 is in *square* people. Eq. 11 takes the root, although it says MSE.": 42.25,
        "your second number equals the first: the root of each square is the absolute value again. Take the mean "
        "first, then one root.": 4.75,
        "the division by the number of images belongs under the root, with the mean of the squares.": [13, 13 / 4],
        "this is the root of the squared mean: square each image's error, and then take the mean.": 2.75,
    }
    expect(mse, 6.5, f"the mean square is 42.25, so its root is 6.5, not {mse:.2f}.", mistakes)


@exercise("9.2", "PSNR of a density map", difficulty=2, minutes=6)
def psnr(answer: Callable[..., float]) -> None:
    """a mean over pixels, so it sees places; relative to the highest true density, so it needs somebody there."""
    truth = torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    pred = torch.tensor([[0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # two of eight pixels are off by 1
    value = float(answer(pred, truth))

    def decibel(peak: float, error: float) -> float:
        return 10 * math.log10(peak / error)

    right = decibel(9, 0.25)  # the squared peak of 3 over the mean square, 15.56 dB
    mistakes = {
        "the peak is the maximum of the *true* map, 3. A prediction that is too bright must not be rewarded.": (
            decibel(16, 0.25)
        ),
        "you divide by the *sum* of the squares. PSNR takes their mean over all pixels.": decibel(9, 2),
        "the peak stands in the formula as a square, so that the units cancel.": decibel(3, 0.25),
        "there is no peak in it, or a peak of 1. These maps reach 3 people per pixel.": decibel(1, 0.25),
        "255 is the peak of a photograph. For a density map it is the maximum of the true map.": decibel(255**2, 0.25),
        "this is the *root* of the mean square, or the mean error; the formula has the mean square.": decibel(9, 0.5),
        "peak above, error below: a better map has a higher PSNR.": decibel(0.25, 9),
        "20 belongs to peak / root of the mean square, 10 to their squares. Not both.": 2 * right,
        "this is the natural logarithm; decibels use the logarithm to base 10.": right * math.log(10),
        "a decibel is a tenth of a bel: multiply the logarithm by 10.": right / 10,
    }
    closing = (
        "two of eight pixels are off by 1 and the highest true density is 3: 10 log10(9 / 0.25) = 15.56 dB, not "
        f"{value:.2f}."
    )
    expect(value, right, closing, mistakes, atol=1e-3)


@exercise("9.3", "Where the error lies", difficulty=2, minutes=6)
def error_parts(answer: Callable[..., tuple[float, float]]) -> None:
    """the two parts add up to the signed error of the count, which alone would have hidden them both."""
    # The crowd, 3 people: one place with too few, one missed, one with too many, and the faint end of a head's kernel.
    truth, pred = torch.zeros(4, 6), torch.zeros(4, 6)
    truth[1, 1], truth[1, 2], truth[2, 1], truth[2, 2] = 1.5, 0.9995, 0.5, 0.0005
    pred[1, 1], pred[1, 2], pred[2, 1], pred[2, 2] = 0.5, 0.0, 1.25, 0.25  # 2 people
    pred[0, 5], pred[3, 4], pred[3, 5] = 1.0, 0.25, 0.25  # 1.5 people on the background
    background, crowd = _pair(answer(pred, truth), "background, crowd")
    rule_out((background, crowd), {"both numbers are right, but in the wrong order.": (-1, 1.5)})
    by_sign = (
        "too many and too few is another split: a prediction can be too high in the crowd as well. Split by where the "
        "*true* map is zero."
    )
    by_threshold = (
        "a place where the true map is small, 0.0005 here, is crowd too: a head's kernel reaches it. The background is "
        "where the true map is exactly zero, not where it is below some threshold."
    )
    mean = "the background error is in people: the *sum* of what is predicted there, not the mean."
    rule_out(background, {mean: [1.5 / 20, 1.5 / 24], by_sign: 2.4995})
    rule_out(crowd, {by_sign: -1.9995, by_threshold: [-1.25, -1.2495]})  # with the 0.0005 subtracted or not
    mistakes: Mistakes = {
        by_threshold: 1.75,
        "you added up the prediction in the crowd. The background is where the true map is zero.": 2,
        "the background is where the *true* map is zero, not where the prediction is.": 0,
    }
    expect(background, 1.5, f"1.5 people are predicted on the background, not {background:.2f}.", mistakes)
    mistakes = {
        "the people predicted in the crowd are not an error yet: take off those who are really there.": 2,
        "3 people are there and 2 are found, so some are *missed*: the crowd's error is negative. With the opposite "
        "sign, or with absolute values, the two parts would not add up.": [1, 2.999],  # of the sum, and of every place
        "this misses the place where nothing is predicted: the crowd is where the *true* map is above zero.": [
            -0.0005,
            0.0005,
        ],
    }
    expect(crowd, -1, f"in the crowd 2 of 3 people are found: an error of -1, not {crowd:.2f}.", mistakes)


@exercise("9.4", "Two methods, the same seeds", difficulty=2, minutes=8)
def paired_difference(answer: Callable[..., tuple[float, float]]) -> None:
    """what makes a seed hard for both methods drops out of the difference, and its spread is what is left."""
    a, b = np.array([10.0, 20.0, 36.0, 14.0]), np.array([13.0, 25.0, 40.0, 18.0])  # differences -3, -5, -4, -4
    mean, sd = _pair(answer(a, b), "mean, sd")
    mistakes: dict[str, Any] = {
        "this is b - a. The exercise wants a - b, which is negative where a has the smaller error.": 4,
        "take the *mean* of the differences, not their sum.": -16,
    }
    expect(mean, -4, f"the differences are -3, -5, -4 and -4, with a mean of -4, not {mean:.2f}.", mistakes)
    variances, spreads = a.var(ddof=1) + b.var(ddof=1), a.std(ddof=1) - b.std(ddof=1)
    right = math.sqrt(2 / 3)
    mistakes = {
        "you took the spread of each method on its own, with that of the seeds in it. Subtract seed by seed first.": [
            math.sqrt(variances),
            math.sqrt(variances / 4),
            math.sqrt(a.var() + b.var()),
            spreads,
            -spreads,
        ],
        "this divides by the number of seeds. The mean comes from the same seeds, so divide by one less: ddof=1.": (
            math.sqrt(2 / 4)
        ),
        "this is the variance; its root is the standard deviation.": 2 / 3,
        "divided by the root of the number of seeds it is the standard error of the mean. Return the spread itself.": (
            right / 2
        ),
    }
    expect(sd, right, f"the differences have a standard deviation of {right:.3f}, not {sd:.3f}.", mistakes, atol=1e-3)
    mean, sd = _pair(answer(np.array([9.0, 2.0, 5.0]), np.array([4.0, 3.0, 2.0])), "mean, sd")
    closing = (
        f"with differences of 5, -1 and 3 the mean is 2.33 and the standard deviation 3.06, not {mean:.2f} and "
        f"{sd:.2f}. Keep the signs: a difference may fall either way."
    )
    expect((mean, sd), (7 / 3, math.sqrt(28 / 3)), closing, atol=1e-3)
