"""Exercises of notebook 09: what one number says about a counter, and how sure we can be of it."""

from __future__ import annotations

import math

import numpy as np
import torch

from sdcda_tutorial.teaching.exercises import Answer, Mistakes, exercise, expect, number, pair, require, rule_out


@exercise("9.1", "MAE and the root of the mean square", difficulty=1, minutes=3, replaces="metrics.count_errors")
def count_errors(answer: Answer) -> None:
    """both are in people; the second is never the lower one: it gives large errors more weight."""
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
    lists = "the counts may come as lists, which cannot be subtracted: begin with `np.asarray(truth)`, likewise `pred`."
    try:
        of_lists = answer([1, 2], [2, 5])
    except (TypeError, AttributeError):
        require(False, lists)
    expect(pair(of_lists, "mae, mse"), (2, math.sqrt(5)), "errors of 1 and 3 people give 2 and √5, not {found}.")


@exercise("9.2", "The best counter that never looks", difficulty=2, minutes=6, optional=True)
def best_constants(answer: Answer) -> None:
    """the median for the MAE, the mean for the MSE: the metric decides which counter looks good."""
    names = "best for the MAE, best for the MSE"
    median, mean = pair(answer(np.array([12.0, 98.0, 10.0, 30.0, 20.0])), names)
    mistakes: Mistakes = {
        "both numbers are right, but in the wrong order.": (34, 20),
        "these are the errors that the best answers reach. Return the answers themselves.": (21.2, 32.7658),
        "the mean is best for one of the two only. Try 34 and 33 people: which has the lower MAE?": (34, 34),
        "the median is best for one of the two only. Try 20 and 21 people: which has the lower MSE?": (20, 20),
    }
    rule_out((median, mean), mistakes, atol=1e-3)
    mistakes = {
        "halfway between the smallest and the largest count is 54. It looks at two images of the five.": 54,
        "you took the entry in the middle as the counts came. Sort them first.": 10,
        "sorted, the counts are 10, 12, 20, 30, 98. Move your answer down to 33: how many images get worse?": 34,
    }
    closing = "for 10, 12, 20, 30 and 98 people the MAE is lowest at 20, not at {found:.2f}. Try a few answers by hand."
    expect(median, 20, closing, mistakes, atol=0.05)
    mistakes = {
        "halfway between the smallest and the largest count is 54. It looks at two images of the five.": 54,
        "this is the quadratic mean. Set the derivative of the sum of (c - y)² to zero instead.": 47.2186,
    }
    closing = "the sum of (c - y)² has the derivative zero at c = 34, not at {found:.2f}."
    expect(mean, 34, closing, mistakes, atol=0.05)
    low, high = pair(answer(np.array([4.0, 0.0, 8.0, 20.0])), names)
    range_of_best = "for 0, 4, 8 and 20 people every answer from 4 to 8 has the lowest MAE, but not {low:.2f}."
    require(3.9 <= low <= 8.1, range_of_best.format(low=low))
    expect(high, 8, "for 0, 4, 8 and 20 people the MSE is lowest at 8, not at {found:.2f}.", atol=0.05)


@exercise("9.3", "The right count in the right quarter", difficulty=2, minutes=8, optional=True)
def quarter_error(answer: Answer) -> None:
    """this is a known metric, GAME(1): errors in two quarters no longer cancel, and the unit is still people."""
    truth, pred = torch.zeros(4, 6), torch.zeros(4, 6)
    truth[0, 1], truth[3, 5] = 6.0, 3.0  # in the quarters top left and bottom right
    pred[1, 2], pred[0, 3], pred[2, 2], pred[3, 5] = 3.0, 5.0, 1.0, 1.0  # one in each quarter
    error = number(answer(pred, truth))  # errors -3, +5, +1, -2
    mistakes: Mistakes = {
        "errors in different quarters still cancel. Take absolute values of the quarters, and then add up.": [1, -1],
        "this is the mean over the quarters. Add them up, so that the result is in people per image.": 2.75,
        "you compare pixel by pixel. Add up each quarter first: inside a quarter places do not matter.": 17,
        "these are halves, left and right. Cut the rows in the middle as well.": 5,
        "these are halves, top and bottom. Cut the columns in the middle as well.": 3,
        "a quarter with too few people counts as well. Take absolute values.": 6,
        "you squared the quarters' errors. Absolute values keep the unit, people.": [39, 39**0.5],
    }
    closing = "the quarters are off by -3, +5, +1 and -2 people, which makes 11, not {found:.2f}."
    expect(error, 11, closing, mistakes)
    wide = torch.zeros(2, 8)
    wide[0, 3], wide[1, 4] = 1.0, 1.0
    closing = "a quarter of 2 × 8 pixels has 1 × 4: one person on either side of the middle makes 2, not {found:.2f}."
    expect(number(answer(wide, torch.zeros(2, 8))), 2, closing)


@exercise("9.4", "Five seeds and the coin", difficulty=3, minutes=12, optional=True)
def sign_flip_share(answer: Answer) -> None:
    """five agreeing seeds give 2 of 32, or 0.0625: no five seeds can get below 1 in 20 here."""
    a, b = np.array([10.0, 27.0, 36.0, 15.0, 20.0]), np.array([15.0, 25.0, 38.0, 17.0, 21.0])  # -5, +2, -2, -2, -1
    share = number(answer(a, b))
    mistakes: Mistakes = {
        "only one side is counted. A mean of +1.6 is as far from zero as one of -1.6: take absolute values.": 5 / 32,
        "what is exactly as far from zero counts as well: `>=`, not `>`. The observed signs are one of the 32.": 4 / 32,
        "this is the number of choices of signs. Divide by all 2^n of them.": 10,
        "you counted signs only. Give the signs to the *sizes*, 5, 2, 2, 2 and 1.": [12 / 32, 6 / 32],
        "you left out the signs as they were observed. They are one of the 2^n choices.": [9 / 31, 9 / 32],
        "the seeds are pairs: subtract seed by seed. Here the values of both were mixed.": [204 / 252, 102 / 252],
        "this is the share of choices that are *nearer* to zero.": 22 / 32,
    }
    closing = "with differences of -5, +2, -2, -2 and -1, 10 of the 32 choices are as far from zero: not {found:.3f}."
    expect(share, 10 / 32, closing, mistakes, atol=1e-6)
    share = number(answer(np.zeros(5), np.arange(1.0, 6.0)))
    closing = "five differences of one sign: only all minus and all plus are as far, 2 of 32, not {found:.4f}."
    expect(share, 2 / 32, closing)
    share = number(answer(np.array([10.1, 8.8, 6.0]), np.array([9.6, 7.3, 7.5])))
    closing = (
        "with differences of 0.5, 1.5 and -1.5 all 2^3 choices are as far from zero, most of them exactly: 1, not "
        "{found:.3f}. Rounding may break such a tie in the last digit: allow for a tiny difference."
    )
    expect(share, 1, closing, atol=1e-6)
