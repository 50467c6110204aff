"""Where a density map errs, by hand and as properties."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdcda_tutorial.density import density_map
from sdcda_tutorial.evaluation.spacing import CLASSES, people_by_spacing

SIZE = 60, 240


def test_every_person_is_in_the_class_of_the_nearest_head() -> None:
    close = [(x, 20.5) for x in (10.5, 14.5, 18.5, 22.5)]  # spacings 8, 5.3, 5.3, 8
    apart = [(x, 20.5) for x in (90.5, 106.5, 122.5)]  # 38.7, 38.7 and 49.3, which is cut to 48
    density = torch.zeros(SIZE)
    density[20, 12] = 1.5  # on the close ones
    density[20, 106] = 0.25  # on the middle one of the others
    density[20, 90] = 0.5
    density[59, 239] = 2.0  # 123 pixels from the last head, more than 2 × 48
    true, predicted = people_by_spacing(density, close + apart)
    assert true.tolist() == [4, 0, 3, 0]
    assert predicted.tolist() == [1.5, 0, 0.75, 2.0]


def test_two_spacings_are_the_border() -> None:
    heads = [(50.5, 30.5), (62.5, 30.5)]  # spacing 12 each
    for distance, place in ((24, 1), (25, 3)):
        density = torch.zeros(SIZE)
        density[30, 50 - distance] = 1.0
        true, predicted = people_by_spacing(density, heads)
        assert true.tolist() == [0, 2, 0, 0] and predicted.tolist() == np.eye(4)[place].tolist()


def test_without_heads_everything_is_far() -> None:
    true, predicted = people_by_spacing(torch.full(SIZE, 0.01), [])
    assert true.tolist() == [0, 0, 0, 0] and np.allclose(predicted, [0, 0, 0, 0.01 * 60 * 240])
    assert len(CLASSES) == 4


@given(st.lists(st.tuples(st.floats(0, 199), st.floats(0, 59)), max_size=12), st.integers(0, 9))
def test_the_classes_add_up_to_the_counts(heads: list[tuple[float, float]], seed: int) -> None:
    density = torch.rand(SIZE, generator=torch.Generator().manual_seed(seed))
    true, predicted = people_by_spacing(density, heads)
    assert true.sum() == len(heads) and np.isclose(predicted.sum(), float(density.sum()), rtol=1e-5)
    _, own = people_by_spacing(density_map(np.array(heads).reshape(-1, 2), SIZE, sigma=1.0, kernel_size=3), heads)
    assert own[3] < 1e-6  # a true map puts nobody far from all
