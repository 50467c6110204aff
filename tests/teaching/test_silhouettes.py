"""The true masks that notebooks 05 and 06 measure against."""

from __future__ import annotations

import numpy as np
import pytest

from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.silhouettes import far_from, found_and_false, silhouettes


def test_silhouettes_lie_where_the_heads_are() -> None:
    people, points = silhouettes(20), notebook.world().target_test[20].points.astype(int)
    assert people.shape == (192, 256) and set(np.unique(people)) == {0, 1}
    assert people[points[:, 1].clip(0, 191), points[:, 0].clip(0, 255)].mean() > 0.8  # some heads are hidden
    assert people.mean() < 0.5


def test_far_from_by_hand() -> None:
    people = np.zeros((2, 1, 10), dtype=np.uint8)
    people[0, 0, 0:2] = 1
    assert far_from(people, distance=3)[0, 0].tolist() == [False] * 5 + [True] * 5  # pixel 5 is 4 from pixel 1
    assert far_from(people)[1].all()  # another image is far away


def test_found_and_false_by_hand() -> None:
    people, prob = np.zeros((1, 1, 40), dtype=np.uint8), np.zeros((1, 1, 40))
    people[..., 0:2], prob[..., [1, 2, 39]] = 1, 0.9  # one of two pixels found, an alarm beside them, one far away
    assert found_and_false(prob, people) == pytest.approx((50, 100 / (40 - 14)))
