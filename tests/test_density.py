"""F(y) against a plain reference: every head weighs 1, borders included, and the geometry is the image's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdcda_tutorial.density import adaptive_sigma, density_map, inside, neighbour_distance

KERNELS = ["fixed", "adaptive"]


def plain_sigmas(heads: list[tuple[float, float]], alone: float) -> list[float]:
    """0.3 × mean distance to the 3 nearest others, within 1 to 15, one head after the other."""
    sigmas = []
    for i, (x, y) in enumerate(heads):
        distances = sorted(math.hypot(x - a, y - b) for j, (a, b) in enumerate(heads) if j != i)[:3]
        sigmas.append(min(max(0.3 * sum(distances) / len(distances), 1.0), 15.0) if distances else alone)
    return sigmas


def plain_map(points, size, kernel="fixed", sigma=4.0, kernel_size=15) -> np.ndarray:
    """The definition in float64, with a loop over heads and pixels and a two-dimensional normalisation."""
    height, width = size
    heads = [(x, y) for x, y in points if 0 <= x < width and 0 <= y < height]
    if kernel == "fixed":
        kernels = [(sigma, kernel_size // 2)] * len(heads)
    else:
        kernels = [(s, math.ceil(3 * s)) for s in plain_sigmas(heads, sigma)]
    density = np.zeros(size)
    for (x, y), (s, reach) in zip(heads, kernels, strict=True):
        column, row = math.floor(x), math.floor(y)
        weight = {}
        for i in range(max(0, row - reach), min(height, row + reach + 1)):
            for j in range(max(0, column - reach), min(width, column + reach + 1)):
                weight[i, j] = math.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * s * s))
        total = sum(weight.values())
        for pixel, w in weight.items():
            density[pixel] += w / total
    return density


def layout(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Up to 12 points, most of them where it hurts: on every border, a hair inside, a hair and far outside."""

    def coordinate(side: int) -> float:
        awkward = [
            0.0,
            -0.0,
            -1e-9,
            -1.0,
            -7.5,
            side,
            side - 1e-9,
            side - 1,
            side - 0.5,
            side + 1e-9,
            side + 8,
            side / 2,
        ]
        return float(rng.choice(awkward)) if rng.random() < 0.6 else float(rng.uniform(-5, side + 5))

    return np.array([(coordinate(size[1]), coordinate(size[0])) for _ in range(rng.integers(13))]).reshape(-1, 2)


# The sum is the count


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_largest_crowd_keeps_its_count(kernel: str) -> None:
    """12,865 heads is the largest count of UCF-QNRF; 1080×1920 is GCC's size. Half of them crowd a corner."""
    rng = np.random.default_rng(1)
    everywhere, corner = rng.uniform(0, 1, (2, 12_865, 2))
    points = np.where(np.arange(12_865)[:, None] % 2, everywhere * [1920, 1080], corner * [150, 100])
    density = density_map(points, (1080, 1920), kernel=kernel)
    assert density.shape == (1080, 1920) and density.dtype == torch.float32
    assert float(density.double().sum()) == pytest.approx(12_865, rel=1e-4)
    assert float(density.sum()) == pytest.approx(12_865, rel=1e-4)  # also as a user sums it, in float32
    assert float(density.min()) >= 0


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("seed", range(4))
def test_random_layouts_agree_with_the_plain_reference(kernel: str, seed: int) -> None:
    """4 × 50 layouts for each kernel, with points on and beyond every border, down to images of one pixel."""
    rng = np.random.default_rng(seed)
    counted = left_out = 0
    for _ in range(50):
        size = (int(rng.integers(1, 32)), int(rng.integers(1, 32)))
        points = layout(rng, size)
        density = density_map(points, size, kernel=kernel)
        count = sum(1 for x, y in points if 0 <= x < size[1] and 0 <= y < size[0])
        assert float(density.double().sum()) == pytest.approx(count, rel=1e-4, abs=1e-12)
        np.testing.assert_allclose(density, plain_map(points, size, kernel), rtol=1e-5, atol=1e-7)
        counted, left_out = counted + count, left_out + len(points) - count
    assert counted > 50 and left_out > 50  # the layouts are what this test says they are


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_single_head_keeps_its_weight_wherever_it_stands(kernel: str) -> None:
    """Head by head, so that no head's surplus can hide another's loss."""
    height, width = 9, 20  # the fixed kernel is cut on both sides at once along y
    for y in range(height):
        for x in range(width):
            assert float(density_map(np.array([[x, y]]), (height, width), kernel=kernel).sum()) == pytest.approx(
                1, abs=1e-5
            )


@pytest.mark.parametrize(
    ("point", "counts"),
    [
        ((0, 0), True),
        ((np.nextafter(20, 0), np.nextafter(10, 0)), True),
        ((20, 5), False),
        ((5, 10), False),
        ((np.nextafter(0, -1), 5), False),
        ((5, np.nextafter(0, -1)), False),
    ],
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_image_ends_just_before_its_width_and_height(point, counts: bool, kernel: str) -> None:
    points = np.array([point, (3, 3)])
    np.testing.assert_array_equal(inside(points, (10, 20)), [counts, True])
    assert float(density_map(points, (10, 20), kernel=kernel).sum()) == pytest.approx(1 + counts, abs=1e-5)


# Worked by hand


def test_one_head_in_the_middle_is_the_normalised_gaussian() -> None:
    steps = np.arange(-7, 8)
    gaussian = np.exp(-(steps[:, None] ** 2 + steps[None] ** 2) / (2 * 4.0**2))
    density = density_map(np.array([[30.9, 20.0]]), (50, 60)).numpy()  # column 30: a pixel holds x up to 30.999…
    np.testing.assert_allclose(density[13:28, 23:38], gaussian / gaussian.sum(), rtol=1e-5)
    assert np.count_nonzero(density) == 15 * 15
    # The peak: 1 / (1 + 2 (.9692 + .8825 + .7548 + .6065 + .4578 + .3247 + .2163))²; a kernel without end has 0.00995.
    assert density[20, 30] == pytest.approx(0.01126, abs=1e-5)


def test_a_cut_kernel_by_hand() -> None:
    """3×3, σ = 1, e = exp(-1/2): in the corner the four pixels that are left share 1, along a border six do."""
    e = math.exp(-0.5)
    corner = density_map(np.array([[0, 0]]), (6, 6), sigma=1.0, kernel_size=3).numpy()
    np.testing.assert_allclose(corner[:2, :2], np.array([[1, e], [e, e * e]]) / (1 + e) ** 2, rtol=1e-5)
    border = density_map(np.array([[5, 3]]), (6, 6), sigma=1.0, kernel_size=3).numpy()
    np.testing.assert_allclose(border[2:5, 4:], np.outer([e, 1, e], [e, 1]) / ((1 + 2 * e) * (1 + e)), rtol=1e-5)
    assert np.count_nonzero(corner) == 4 and np.count_nonzero(border) == 6


def test_a_kernel_of_one_pixel_counts_heads_per_pixel() -> None:
    points = np.array([[0.0, 0.0], [0.9, 0.9], [2.5, 1.0]])
    np.testing.assert_array_equal(density_map(points, (2, 3), kernel_size=1), [[2, 0, 0], [0, 0, 1]])


def test_adaptive_sigma_by_hand() -> None:
    """A square of side 10 px: 10, 10 and 10√2 to the neighbours, σ = 0.3 × 11.38 = 3.414."""
    square = np.array([[20.0, 20], [30, 20], [20, 30], [30, 30]])
    distance = (20 + 10 * math.sqrt(2)) / 3
    np.testing.assert_allclose(neighbour_distance(square), distance)
    np.testing.assert_allclose(adaptive_sigma(square), 0.3 * distance)
    with_a_far_one = np.vstack([square, [[500.0, 500]]])  # only the three nearest count, so the square does not notice
    np.testing.assert_allclose(adaptive_sigma(with_a_far_one), [0.3 * distance] * 4 + [15])
    longer = (10 + 10 * math.sqrt(2)) / 2
    np.testing.assert_allclose(neighbour_distance(square[:3]), [10, longer, longer])  # two others are all there are


def test_two_heads_are_each_others_only_neighbour() -> None:
    np.testing.assert_allclose(adaptive_sigma(np.array([[0.0, 0], [6, 8]])), [3, 3])


@pytest.mark.parametrize("sigma", [0.5, 4.0, 20.0])
def test_one_head_alone_takes_the_given_sigma(sigma: float) -> None:
    assert adaptive_sigma(np.array([[5.0, 5]]), alone=sigma).tolist() == [sigma]
    density = density_map(np.array([[70.0, 75]]), (150, 140), kernel="adaptive", sigma=sigma)
    np.testing.assert_allclose(density, plain_map([(70, 75)], (150, 140), "adaptive", sigma), rtol=1e-5, atol=1e-9)
    reach = math.ceil(3 * sigma)
    assert density[75, 70 + reach] > 0 and density[75, 71 + reach] == 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_coincident_heads_add_up(kernel: str) -> None:
    density = density_map(np.array([[12.0, 9]] * 5), (20, 25), kernel=kernel)
    assert bool(density.isfinite().all()) and float(density.sum()) == pytest.approx(5, rel=1e-5)
    sigma = 4.0 if kernel == "fixed" else 1.0  # no distance at all: the smallest σ
    reach = 7 if kernel == "fixed" else 3
    one = plain_map([(12, 9)], (20, 25), "fixed", sigma, 2 * reach + 1)
    np.testing.assert_allclose(density, 5 * one, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("points", [np.zeros((0, 2)), [], np.array([[-1.0, 3], [9, 9]]), np.zeros((0, 0))])
def test_no_heads_is_a_map_of_zeros(points, kernel: str) -> None:
    density = density_map(points, (6, 8), kernel=kernel)
    assert density.shape == (6, 8) and density.dtype == torch.float32 and not density.any()


def test_heads_outside_have_no_say_in_the_adaptive_kernel() -> None:
    heads = np.array([[20.0, 20], [30, 20], [20, 35]])
    crowd_outside = np.array([[-1.0, 20]] * 5)
    with_them = density_map(np.vstack([heads, crowd_outside]), (50, 50), kernel="adaptive")
    assert torch.equal(with_them, density_map(heads, (50, 50), kernel="adaptive"))


# The geometry is the image's


@st.composite
def pixel_heads(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int]]:
    """Heads in the middle of their pixels, so that a mirror image of them is exact."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    pixel = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    return np.array(draw(st.lists(pixel, max_size=10)), dtype=float).reshape(-1, 2) + 0.5, (height, width)


@settings(deadline=None, max_examples=60)
@given(pixel_heads(), st.sampled_from(KERNELS))
def test_mirroring_the_heads_mirrors_the_map(case: tuple[np.ndarray, tuple[int, int]], kernel: str) -> None:
    points, (height, width) = case
    density = density_map(points, (height, width), kernel=kernel)
    close = dict(rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        density_map(points * [-1, 1] + [width, 0], (height, width), kernel=kernel), density.flip(1), **close
    )
    torch.testing.assert_close(
        density_map(points * [1, -1] + [0, height], (height, width), kernel=kernel), density.flip(0), **close
    )
    torch.testing.assert_close(density_map(points[:, ::-1], (width, height), kernel=kernel), density.T, **close)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 20, width=16), st.floats(0, 20, width=16)), min_size=1, max_size=8),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from(KERNELS),
)
def test_moving_the_heads_moves_the_map(heads: list, down: int, right: int, kernel: str) -> None:
    """Away from the borders: 46 px is the farthest an adaptive kernel reaches."""
    points = np.array(heads) + 46
    density = density_map(points, (150, 150), kernel=kernel)
    moved = density_map(points + np.array([right, down]), (150, 150), kernel=kernel)
    torch.testing.assert_close(moved, density.roll((down, right), (0, 1)), rtol=1e-4, atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(pixel_heads(), st.randoms(use_true_random=False))
def test_the_order_of_the_heads_does_not_matter_and_fixed_maps_add_up(case, random) -> None:
    points, size = case
    order = list(range(len(points)))
    random.shuffle(order)
    for kernel in KERNELS:
        torch.testing.assert_close(
            density_map(points[order], size, kernel=kernel),
            density_map(points, size, kernel=kernel),
            rtol=1e-4,
            atol=1e-6,
        )
    half = len(points) // 2
    apart = density_map(points[:half], size) + density_map(points[half:], size)
    torch.testing.assert_close(density_map(points, size), apart, rtol=1e-4, atol=1e-6)


def test_rows_are_y_and_columns_are_x() -> None:
    density = density_map(np.array([[17.0, 3.0]]), (10, 30), kernel_size=3)
    assert divmod(int(density.argmax()), 30) == (3, 17)


# What goes in and what comes out


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_map_is_float32_in_row_order_and_the_points_stay_as_they_are(kernel: str) -> None:
    points = np.array([[1.0, 2.0], [50.0, 3.0], [4.0, 4.0]])
    before = points.copy()
    density = density_map(points, (8, 12), kernel=kernel)
    assert density.dtype == torch.float32 and density.shape == (8, 12)
    assert density.is_contiguous() and density.view(-1).shape == (96,)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("convert", [np.ndarray.tolist, torch.from_numpy, lambda p: p.astype(np.float32), np.int64])
def test_points_may_come_as_lists_tensors_or_integers(convert, kernel: str) -> None:
    points = np.array([[1.0, 2.0], [7.0, 3.0]])
    assert torch.equal(
        density_map(convert(points), (8, 12), kernel=kernel), density_map(points, (8, 12), kernel=kernel)
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "points",
    [
        np.array([[np.nan, 1.0]]),
        np.array([[1.0, 1.0], [1.0, np.inf]]),
        np.array([[-np.inf, 1.0]]),
        np.array([1.0, 2.0]),
        np.ones((3, 3)),
        np.ones((2, 2, 2)),
    ],
)
def test_bad_points_raise(points: np.ndarray, kernel: str) -> None:
    with pytest.raises(ValueError, match="points must be"):
        density_map(points, (8, 8), kernel=kernel)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.array([[3.0, 3.0]])], ids=["no head", "one head"])
@pytest.mark.parametrize(
    "settings_",
    [
        {"kernel_size": 14},
        {"kernel_size": 0},
        {"kernel_size": -3},
        {"sigma": 0.0},
        {"sigma": -4.0},
        {"sigma": math.nan},
        {"sigma": math.inf},
        {"kernel": "gaussian"},
    ],
    ids=str,
)
def test_bad_settings_raise_also_for_an_empty_scene(points: np.ndarray, settings_: dict) -> None:
    with pytest.raises(ValueError):
        density_map(points, (8, 8), **settings_)
