"""The true masks that notebooks 05 and 06 measure against."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.silhouettes import found_and_false, silhouettes


def test_silhouettes_lie_where_the_heads_are() -> None:
    people, points = silhouettes(20), notebook.world().target_test[20].points.astype(int)
    assert people.shape == (192, 256) and set(np.unique(people)) == {0, 1}
    assert people[points[:, 1].clip(0, 191), points[:, 0].clip(0, 255)].mean() > 0.8  # some heads are hidden
    assert people.mean() < 0.5


def test_found_and_false_by_hand() -> None:
    people, prob = np.zeros((1, 1, 10), dtype=np.uint8), np.zeros((1, 1, 10))
    people[..., 0:2], prob[..., [1, 2, 9]] = 1, 0.9  # one of two pixels found, one alarm beside them, one far away
    assert found_and_false(prob, people, distance=3) == pytest.approx((50, 100 / 5))


def test_nobody_and_no_background() -> None:
    nobody = np.zeros((1, 4, 4), dtype=np.uint8)
    assert math.isnan(found_and_false(nobody, nobody)[0])
    assert math.isnan(found_and_false(nobody, 1 - nobody)[1])
