"""Counting in a region: areas against formulas, against fine sampling, and parts that add up to the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from native_files import complaint

from sdcda_tutorial.evaluation.regions import count_in, coverage, parse_region, refuse_beyond

SIZE = (7, 9)
coordinate = st.floats(0, 7) | st.integers(0, 7).map(float) | st.sampled_from([0.5, 3 + 1e-9, 7 - 1e-9])
corner = st.tuples(coordinate, coordinate)


def area(corners: np.ndarray) -> float:
    x, y = corners.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@given(st.lists(corner, min_size=3, max_size=3))
def test_a_triangle_covers_its_area_whichever_way_it_is_walked(points: list[tuple[float, float]]) -> None:
    corners = np.array(points)
    shares = coverage(corners, SIZE)
    assert shares.shape == SIZE and shares.min() >= 0 and shares.max() <= 1
    assert shares.sum() == pytest.approx(area(corners), abs=1e-9)
    assert np.allclose(coverage(corners[::-1], SIZE), shares, atol=1e-9)


@given(coordinate, coordinate, coordinate, coordinate)
def test_a_box_covers_each_row_times_each_column(x0: float, y0: float, x1: float, y1: float) -> None:
    def covered(low: float, high: float, pixels: int) -> np.ndarray:
        edges = np.clip(np.arange(pixels + 1), *sorted((low, high)))
        return np.diff(edges)

    box = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    wanted = np.outer(covered(y0, y1, SIZE[0]), covered(x0, x1, SIZE[1]))
    assert np.allclose(coverage(box, SIZE), wanted, atol=1e-9)


def test_a_polygon_with_a_bay_agrees_with_fine_sampling() -> None:
    corners = np.array([(0.3, 0.2), (8.7, 1.1), (5.0, 3.4), (8.9, 6.9), (2.2, 5.1), (3.0, 3.0)])
    fine = 40
    centres = np.stack(np.meshgrid(np.arange(9 * fine), np.arange(7 * fine)), axis=-1) / fine + 0.5 / fine
    inside = Outline(corners).contains_points(centres.reshape(-1, 2)).reshape(7, fine, 9, fine)
    assert np.allclose(coverage(corners, SIZE), inside.mean(axis=(1, 3)), atol=0.02)


@given(st.floats(0.1, 8.9), st.integers(0, 2**32 - 1))
def test_the_parts_of_a_map_add_up_to_its_count(cut: float, seed: int) -> None:
    density = torch.rand(SIZE, generator=torch.Generator().manual_seed(seed))
    whole = float(density.sum(dtype=torch.float64))
    assert count_in(density, [(0, 0), (9, 0), (9, 7), (0, 7)]) == pytest.approx(whole, rel=1e-12)
    left = count_in(density, [(0, 0), (cut, 0), (9 - cut, 7), (0, 7)])
    right = count_in(density, [(9, 0), (cut, 0), (9 - cut, 7), (9, 7)])
    assert left + right == pytest.approx(whole, rel=1e-9)


def test_one_pixel_by_hand() -> None:
    density = torch.zeros(SIZE)
    density[2, 3] = 8.0
    assert count_in(density, [(3, 2), (4, 2), (4, 3), (3, 3)]) == 8
    assert count_in(density, [(3, 2), (4, 2), (3, 3)]) == 4
    assert count_in(density, [(3.5, 0), (9, 0), (9, 2.25), (3.5, 2.25)]) == 1
    assert count_in(density, [(4, 0), (9, 0), (9, 7), (4, 7)]) == 0


@pytest.mark.parametrize(
    ("text", "corners"),
    [
        ("1,2,3,4", [(1, 2), (3, 2), (3, 4), (1, 4)]),
        (" 1, 2 ,3.5,4 ", [(1, 2), (3.5, 2), (3.5, 4), (1, 4)]),
        ("0,0 5,0 5,1e1", [(0, 0), (5, 0), (5, 10)]),
        ("0,0  5,0\n5,5 0,5 0,0", [(0, 0), (5, 0), (5, 5), (0, 5)]),
    ],
)
def test_a_region_is_read(text: str, corners: list[tuple[float, float]]) -> None:
    assert parse_region(text).tolist() == [list(corner) for corner in corners]


@pytest.mark.parametrize(
    "text",
    ["", "1", "1,2", "1,2,3", "1,2,3,4,5", "1,2 3,4", "3,2,1,4", "1,4,3,4", "a,b,c,d", "0,0,1,nan", "0,0 1,0 inf,1",
     "0,0,5,5 1,1,2,2", "0,0 1,0 1", "0;0;1;1", "x" * 200],
)  # fmt: skip
def test_what_is_no_region_is_one_line(text: str) -> None:
    complaint(lambda: parse_region(text), "`region` is a box x0,y0,x1,y1", repr(text))


def test_corners_in_the_wrong_order_are_refused() -> None:
    complaint(lambda: parse_region("0,0 10,10 10,0 0,10"), "cross or touch")
    complaint(lambda: parse_region("0,0 40,40 40,10 20,20 0,40"), "cross or touch")  # in one of its own corners
    complaint(lambda: parse_region("0,0,1_0,10"), "not '0,0,1_0,10'")  # to Python 1_0 is ten
    assert len(parse_region("0,0 10,0 5,2 10,10 0,10 5,8")) == 6  # a bay is no crossing


def test_a_region_beyond_the_image_is_refused() -> None:
    corners = parse_region("0,0,9,7")
    refuse_beyond(corners, SIZE, "a.jpg")
    complaint(lambda: refuse_beyond(corners, SIZE[::-1], "a.jpg"), "9,0 of `region` is not in a.jpg", "7x9 pixels")
    complaint(lambda: count_in(torch.ones(SIZE), [(-1, 0), (3, 0), (3, 3)]), "-1,0 of `region` is not in the map")


def test_the_same_regions_are_refused_in_python_as_on_the_command_line() -> None:
    density = torch.ones(20, 30)
    assert count_in(density, (2, 3, 12, 8)) == pytest.approx(50) == count_in(density.numpy(), [2, 3, 12, 8])
    closed = [(0, 0), (10, 0), (10, 10), (0, 10), (0, 0)]
    assert count_in(density, closed) == pytest.approx(100)
    hole = [(0, 0), (20, 0), (20, 18), (0, 18), (0, 0), (5, 5), (5, 9), (9, 9), (9, 5), (5, 5)]
    for corners in ([], [(0, 0), (1, 1)], [(0, 0), (5, 5), (9, 9)], [(0, 0), (9, 9), (9, 0), (0, 9)], hole,
                    [(0, 0), (float("nan"), 1), (2, 2)], (5, 5, 5, 9)):  # fmt: skip
        complaint(lambda corners=corners: count_in(density, corners), "`region`")
    for text in ("0,0 10,10 20,20", "0,0 9,9 9,0 0,9"):
        complaint(lambda text=text: parse_region(text), "`region`", text)
