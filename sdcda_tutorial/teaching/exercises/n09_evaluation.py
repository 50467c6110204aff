"""Exercises of notebook 09: what one number says about a counter, and how sure we can be of it."""

from __future__ import annotations

import math

import numpy as np
import torch

from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, pair, rule_out


@exercise("9.1", "MAE and the root of the mean square", difficulty=1, minutes=5)
def count_errors(answer: Answer) -> None:
    """both are in people, and the second never lies below the first: it weighs large errors more."""
    truth, pred = np.array([10.0, 20.0, 30.0, 40.0]), np.array([13.0, 20.0, 26.0, 52.0])  # errors 3, 0, -4, 12
    mae, mse = pair(answer(truth, pred), "mae, mse")
    rule_out((mae, mse), {"both numbers are right, but in the wrong order.": (6.5, 4.75)})
    mistakes: Mistakes = {
        "this is the mean of *signed* errors. First take the absolute value of each image's error.": [2.75, -2.75],
        "your MAE is the sum of the absolute errors: divide by the number of images.": 19,
    }
    expect(mae, 4.75, "errors of 3, 0, -4 and 12 people have an MAE of 4.75, not {found:.2f}.", mistakes)
    mistakes = {
        "the root is missing: 42.25 is in *square* people. Eq. 11 takes the root, although it says MSE.": 42.25,
        "the root of each square is the absolute value again. Take the mean first, then one root.": 4.75,
        "the division by the number of images belongs under the root, with the mean of the squares.": [13, 13 / 4],
        "this is the root of the squared mean: square each image's error, and then take the mean.": 2.75,
    }
    expect(mse, 6.5, "the mean square is 42.25, so its root is 6.5, not {found:.2f}.", mistakes)


@exercise("9.2", "PSNR of a density map", difficulty=2, minutes=6)
def psnr(answer: Answer) -> None:
    """a mean over pixels, so it sees places; relative to the highest true density, so it needs somebody there."""
    truth = torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    pred = torch.tensor([[0.0, 4.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # two of eight pixels are off by 1

    def decibel(peak: float, error: float) -> float:
        return 10 * math.log10(peak / error)

    right = decibel(9, 0.25)  # the squared peak of 3 over the mean square, 15.56 dB
    mistakes = {
        "the peak is the maximum of the *true* map, 3: a map that is too bright deserves no reward.": decibel(16, 0.25),
        "you divide by the *sum* of the squares. PSNR takes their mean over all pixels.": decibel(9, 2),
        "the peak stands in the formula as a square, so that the units cancel.": decibel(3, 0.25),
        "there is no peak in it, or a peak of 1. These maps reach 3 people per pixel.": decibel(1, 0.25),
        "255 is the peak of a photograph. Use the maximum of the true density map.": decibel(255**2, 0.25),
        "this is the *root* of the mean square, or the mean error. Use the mean square.": decibel(9, 0.5),
        "peak above, error below: a better map has a higher PSNR.": decibel(0.25, 9),
        "20 belongs to peak / root of the mean square, 10 to their squares. Not both.": 2 * right,
        "this is the natural logarithm; decibels use the logarithm to base 10.": right * math.log(10),
        "a decibel is a tenth of a bel: multiply the logarithm by 10.": right / 10,
    }
    closing = "two of eight pixels are off by 1, the peak is 3: 10 log10(9 / 0.25) = 15.56 dB, not {found:.2f}."
    expect(float(answer(pred, truth)), right, closing, mistakes, atol=1e-3)


@exercise("9.3", "Where the error lies", difficulty=2, minutes=6)
def error_parts(answer: Answer) -> None:
    """the two parts add up to the signed error of the count, which alone would have hidden them both."""
    # The crowd, 3 people: one place with too few, one missed, one with too many, and the faint end of a head's kernel.
    truth, pred = torch.zeros(4, 6), torch.zeros(4, 6)
    truth[1, 1], truth[1, 2], truth[2, 1], truth[2, 2] = 1.5, 0.9995, 0.5, 0.0005
    pred[1, 1], pred[1, 2], pred[2, 1], pred[2, 2] = 0.5, 0.0, 1.25, 0.25  # 2 people
    pred[0, 5], pred[3, 4], pred[3, 5] = 1.0, 0.25, 0.25  # 1.5 people on the background
    background, crowd = pair(answer(pred, truth), "background, crowd")
    rule_out((background, crowd), {"both numbers are right, but in the wrong order.": (-1, 1.5)})
    mean = "the background error is in people: the *sum* of what is predicted there, not the mean."
    by_sign = "too many and too few is another split, also in the crowd. Split by where the *true* map is zero."
    by_threshold = "a small truth, 0.0005 here, is crowd too. The background is where the true map is exactly zero."
    rule_out(background, {mean: [1.5 / 20, 1.5 / 24], by_sign: 2.4995})
    rule_out(crowd, {by_sign: -1.9995, by_threshold: [-1.25, -1.2495]})  # with the 0.0005 subtracted or not
    mistakes: Mistakes = {
        by_threshold: 1.75,
        "you added up the prediction in the crowd. The background is where the true map is zero.": 2,
        "the background is where the *true* map is zero, not where the prediction is.": 0,
    }
    expect(background, 1.5, "1.5 people are predicted on the background, not {found:.2f}.", mistakes)
    mistakes = {
        "the people predicted in the crowd are not an error yet: take off those who are really there.": 2,
        # With the sign turned round, and with absolute values of each place.
        "2 of 3 people are found, so some are *missed*: the error is negative, or the parts do not add up.": [1, 2.999],
        "this misses the place where nothing is predicted. Crowd is where the *true* map is above zero.": [-5e-4, 5e-4],
    }
    expect(crowd, -1, "in the crowd 2 of 3 people are found: an error of -1, not {found:.2f}.", mistakes)


@exercise("9.4", "Two methods, the same seeds", difficulty=2, minutes=8)
def paired_difference(answer: Answer) -> None:
    """what makes a seed hard for both methods drops out of the difference, and its spread is what is left."""
    a, b = np.array([10.0, 20.0, 36.0, 14.0]), np.array([13.0, 25.0, 40.0, 18.0])  # differences -3, -5, -4, -4
    mean, sd = pair(answer(a, b), "mean, sd")
    mistakes: Mistakes = {
        "this is b - a. The exercise wants a - b, which is negative where a has the smaller error.": 4,
        "take the *mean* of the differences, not their sum.": -16,
    }
    expect(mean, -4, "the differences are -3, -5, -4 and -4, with a mean of -4, not {found:.2f}.", mistakes)
    variance, spread, right = a.var(ddof=1) + b.var(ddof=1), a.std(ddof=1) - b.std(ddof=1), math.sqrt(2 / 3)
    unpaired = [math.sqrt(variance), math.sqrt(variance / 4), math.sqrt(a.var() + b.var()), spread, -spread]
    mistakes = {
        "this is the spread of each method alone, which includes that of the seeds. Subtract seed by seed.": unpaired,
        "this divides by the number of seeds. Their mean comes from them too, so use one less: ddof=1.": 0.5**0.5,
        "this is the variance; its root is the standard deviation.": 2 / 3,
        "divided by the root of the number of seeds this is the standard error of the mean. Do not divide.": right / 2,
    }
    expect(sd, right, "the differences have a standard deviation of 0.816, not {found:.3f}.", mistakes, atol=1e-3)
    c, d = np.array([9.0, 2.0, 5.0]), np.array([4.0, 3.0, 2.0])  # differences 5, -1, 3
    closing = "differences of 5, -1, 3 give 2.33 and 3.06, not {found[0]:.2f} and {found[1]:.2f}. Keep the signs."
    expect(pair(answer(c, d), "mean, sd"), (7 / 3, math.sqrt(28 / 3)), closing, atol=1e-3)
