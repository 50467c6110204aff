"""Eq. 11, GAME, PSNR and SSIM by hand and against plain NumPy; what blank, equal and scaled maps give."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdcda_tutorial.metrics import count_errors, game, psnr, ssim

VARIANTS = ["standard", "authors"]
few = settings(deadline=None, max_examples=40)

# Counts, Eq. 11


def test_count_errors_by_hand() -> None:
    """Errors 3, 0, -4: MAE = 7 / 3, "MSE" = √(25 / 3) = 2.887, which is a root, in people."""
    mae, mse = count_errors([13, 20, 26], [10, 20, 30])
    assert mae == pytest.approx(7 / 3) and mse == pytest.approx(math.sqrt(25 / 3))
    assert count_errors([100], [93.5]) == (6.5, 6.5)
    assert count_errors(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == (0, 0)


count = st.floats(0, 13_000)


@few
@given(st.lists(st.tuples(count, count), min_size=1, max_size=20), st.floats(0.1, 10))
def test_count_errors_properties(pairs: list[tuple[float, float]], factor: float) -> None:
    truth, pred = np.array(pairs).T
    mae, mse = count_errors(truth, pred)
    assert mae == pytest.approx(sum(abs(a - b) for a, b in pairs) / len(pairs))
    assert mse == pytest.approx(math.sqrt(sum((a - b) ** 2 for a, b in pairs) / len(pairs)))
    assert mae <= mse * (1 + 1e-9) + 1e-12 and mse <= np.abs(truth - pred).max() * (1 + 1e-9)
    assert count_errors(pred, truth) == (mae, mse)
    # Both are in people: counting in other units scales both alike. A mean square would not.
    np.testing.assert_allclose(count_errors(truth * factor, pred * factor), (mae * factor, mse * factor))


@pytest.mark.parametrize(("truth", "pred"), [([], []), ([1, 2], [1]), ([1], [[1]]), ([1, 2, 3], 2.0)])
def test_counts_come_in_pairs(truth: list, pred: list) -> None:
    with pytest.raises(ValueError, match="as many predictions"):
        count_errors(truth, pred)


# Counts in the cells of a grid, GAME


def test_game_by_hand() -> None:
    """Three people, four predicted; one of them two pixels from where it is, which only small cells see."""
    truth, pred = torch.zeros(8, 8), torch.zeros(8, 8)
    truth[0, 0], truth[0, 7], truth[7, 0] = 1, 1, 1
    pred[0, 2], pred[0, 7], pred[7, 7] = 1, 1, 2
    # L = 0: |4 - 3|. L = 1: one missed at the lower left, two too many at the lower right. L = 2: the first, twice.
    assert [game(pred, truth, level) for level in range(5)] == [1, 3, 5, 5, 5]
    assert game(truth, truth.clone(), 3) == 0


def test_cells_tile_a_map_whose_sides_the_grid_does_not_divide() -> None:
    """5 × 7 in 2 × 2 cells: rows 0-1 and 2-4, columns 0-2 and 3-6, every pixel in one of them."""
    truth = torch.zeros(5, 7)
    for pred, cell in ((torch.zeros(5, 7), (slice(y), slice(x))) for y in (0, 2, 5) for x in (0, 3, 7)):
        pred[cell] = 1
        assert game(pred, truth, 1) == pred.sum()
    pred = torch.zeros(5, 7)
    pred[1, 2], pred[2, 2], pred[1, 3], pred[2, 3] = 1, -2, -4, 8  # the four pixels around the common corner
    assert [game(pred, truth, level) for level in (0, 1)] == [3, 15]


def plain_game(pred: np.ndarray, truth: np.ndarray, level: int) -> float:
    """Every pixel is given to its cell, one by one: the last whose beginning is not beyond it."""
    height, width = truth.shape
    cells: dict[tuple[int, int], float] = {}
    for y in range(height):
        for x in range(width):
            i = max(i for i in range(2**level) if math.floor(i * height / 2**level) <= y)
            j = max(j for j in range(2**level) if math.floor(j * width / 2**level) <= x)
            cells[i, j] = cells.get((i, j), 0.0) + pred[y, x] - truth[y, x]
    return sum(map(abs, cells.values()))


@pytest.mark.slow
@few
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20), st.floats(0.01, 100))
def test_game_properties(seed: int, height: int, width: int, unit: float) -> None:
    """Also for maps with fewer pixels than the grid has cells."""
    rng = np.random.default_rng(seed)
    pred, truth = rng.exponential(size=(2, height, width)) * rng.integers(0, 2, (2, height, width))
    values = [game(*tensors(pred, truth), level) for level in range(5)]
    assert values == pytest.approx([plain_game(pred, truth, level) for level in range(5)])
    assert values[0] == pytest.approx(count_errors([truth.sum()], [pred.sum()])[0])
    assert all(coarse <= fine + 1e-9 for coarse, fine in itertools.pairwise(values))
    assert values[-1] <= np.abs(pred - truth).sum() + 1e-9
    assert game(*tensors(pred, truth), 5) == pytest.approx(np.abs(pred - truth).sum())  # a pixel a cell, at most
    assert [game(*tensors(truth, pred), level) for level in range(5)] == values
    assert [game(*tensors(pred * unit, truth * unit), level) for level in range(5)] == pytest.approx(
        [value * unit for value in values]
    )


@few
@given(st.integers(0, 10**6), st.integers(0, 3))
def test_game_sees_where_people_are_only_by_cells(seed: int, level: int) -> None:
    """Pixels shuffled within a cell change nothing; the count stays wherever they go."""
    rng = np.random.default_rng(seed)
    pred, truth = rng.exponential(size=(2, 16, 24))
    side = (16 >> level, 24 >> level)
    moved = pred.copy()
    for top in range(0, 16, side[0]):
        for left in range(0, 24, side[1]):
            cell = moved[top : top + side[0], left : left + side[1]]
            cell[:] = rng.permutation(cell.ravel()).reshape(side)
    assert game(*tensors(moved, truth), level) == pytest.approx(game(*tensors(pred, truth), level))
    everywhere = rng.permutation(pred.ravel()).reshape(16, 24)
    assert game(*tensors(everywhere, truth), 0) == pytest.approx(game(*tensors(pred, truth), 0))


def test_game_wants_two_maps_of_one_size() -> None:
    with pytest.raises(ValueError, match="two maps"):
        game(torch.zeros(12, 12), torch.zeros(12, 13), 1)


# PSNR and SSIM once more, in plain NumPy


def maps(seed: int, shape: tuple[int, int] = (25, 34), noise: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a truth like density maps: small, mostly near zero, a few hills."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for y, x in rng.uniform(0, 1, (8, 2)) * shape:
        truth += np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8) / 25
    pred = np.maximum(truth * rng.uniform(0.5, 1.5) + rng.normal(0, noise * truth.max(), shape), 0)
    return pred, truth


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]


def plain_psnr(pred: np.ndarray, truth: np.ndarray) -> float:
    return 10 * math.log10(truth.max() ** 2 / np.mean((pred - truth) ** 2))


def plain_psnr_of_the_authors(pred: np.ndarray, truth: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((pred / pred.max() * 255 - truth / truth.max() * 255) ** 2))


def plain_ssim(pred: np.ndarray, truth: np.ndarray) -> float:
    """Wang et al. 2004: Gaussian window 11×11, σ 1.5, K1 = 0.01, K2 = 0.03; around every pixel, borders reflected.

    torchmetrics left a rim of 5 pixels out of the mean before its pull request #2721 (September 2024).
    """
    steps = np.arange(-5, 6)
    window = np.exp(-(steps[:, None] ** 2 + steps[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * truth.max()) ** 2, (0.03 * truth.max()) ** 2
    size = truth.shape
    pred, truth = np.pad(pred, 5, mode="reflect"), np.pad(truth, 5, mode="reflect")
    values = []
    for i in range(size[0]):
        for j in range(size[1]):
            x, y = pred[i : i + 11, j : j + 11], truth[i : i + 11, j : j + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(values))


def plain_ssim_of_the_authors(pred: np.ndarray, truth: np.ndarray) -> float:
    """Blocks of 11×11 side by side, and sums where the definition has means."""
    c1, c2 = 0.0001, 0.0009
    values = []
    for i in range(0, truth.shape[0] - 10, 11):
        for j in range(0, truth.shape[1] - 10, 11):
            x, y = pred[i : i + 11, j : j + 11].ravel(), truth[i : i + 11, j : j + 11].ravel()
            sx, sy = sum(x), sum(y)
            vx, vy = sum(x * x) - sx * sx, sum(y * y) - sy * sy
            cov = sum(x * y) - sx * sy
            values.append((2 * sx * sy + c1) * (2 * cov + c2) / ((sx * sx + sy * sy + c1) * (vx + vy + c2)))
    return float(np.mean(values))


REFERENCES = [
    (psnr, "standard", plain_psnr),
    (psnr, "authors", plain_psnr_of_the_authors),
    (ssim, "standard", plain_ssim),
    (ssim, "authors", plain_ssim_of_the_authors),
]


@pytest.mark.parametrize(
    ("metric", "variant", "plain"), REFERENCES, ids=lambda value: getattr(value, "__name__", value)
)
@pytest.mark.parametrize("shape", [(11, 11), (21, 22), (25, 34), (33, 23)])
def test_maps_agree_with_plain_numpy(metric, variant: str, plain, shape: tuple[int, int]) -> None:
    for seed in range(4):
        pred, truth = maps(seed, shape, noise=0.1 * (seed + 1))
        assert metric(*tensors(pred, truth), variant) == pytest.approx(plain(pred, truth), rel=1e-6, abs=1e-6)


def test_the_variants_differ() -> None:
    pred, truth = tensors(*maps(0))
    for metric in (psnr, ssim):
        assert metric(pred, truth) == metric(pred, truth, "standard") != metric(pred, truth, "authors")


def test_psnr_by_hand() -> None:
    """Peak 2, one of four pixels off by 0.2: the mean square is 0.01, 10 log10(4 / 0.01) = 26.02 dB."""
    truth = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    pred = torch.tensor([[0.2, 2.0], [0.0, 0.0]])
    assert psnr(pred, truth) == pytest.approx(26.0206, abs=1e-4)
    assert psnr(pred, truth, "authors") == pytest.approx(26.0206, abs=1e-4)  # both peaks are 2 already
    # The truth's maximum is the peak, not the prediction's.
    assert psnr(truth * 3, truth) == pytest.approx(10 * math.log10(4 / 4))


def test_ssim_of_flat_maps_by_hand() -> None:
    """No variance: (2 · 2 · 1 + C1) / (4 + 1 + C1) with C1 = (0.01 · 1)²."""
    truth = torch.ones(15, 15)
    assert ssim(2 * truth, truth) == pytest.approx((4 + 1e-4) / (5 + 1e-4), rel=1e-6)


def test_authors_ssim_of_one_block_by_hand() -> None:
    """One person in the corner of the only block, predicted twice as strong: sums 1 and 2, squares 1 and 4."""
    truth = torch.zeros(12, 21)  # what is beyond the block of 11×11 does not count
    truth[0, 0] = 1.0
    truth[11, :] = truth[:, 11] = 7.0
    pred = truth.clone()
    pred[0, 0], pred[11, :] = 2.0, 0.0
    c1, c2 = 1e-4, 9e-4  # all variances are zero: 1 - 1 and 4 - 4; covariance 2 - 2
    assert ssim(pred, truth, "authors") == pytest.approx((2 * 2 + c1) * c2 / ((1 + 4 + c1) * c2))


def test_authors_ssim_can_exceed_one() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.rand(300, 2, 22, 22, generator=generator)
    assert max(ssim(pred, truth, "authors") for pred, truth in pairs) > 1 > max(ssim(p, t) for p, t in pairs[:20])


# Equal, blank and scaled maps


@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_maps_are_perfect(variant: str) -> None:
    _, truth = tensors(*maps(3))
    assert psnr(truth, truth.clone(), variant) == math.inf
    assert ssim(truth, truth.clone(), variant) == pytest.approx(1, abs=1e-9)


def test_a_blank_truth_has_no_standard_value() -> None:
    pred, truth = tensors(*maps(4, noise=0.05))
    blank = torch.zeros_like(truth)
    for metric in (psnr, ssim):
        assert math.isnan(metric(pred, blank)) and math.isnan(metric(blank, blank))
        assert math.isfinite(metric(blank, truth))  # an all-zero prediction is merely bad
    assert psnr(blank, truth) < psnr(pred, truth) and ssim(blank, truth) < ssim(pred, truth)


def test_a_blank_map_has_an_authors_value() -> None:
    pred, truth = tensors(*maps(4))
    blank = torch.zeros_like(truth)
    for one, other in ((pred, blank), (blank, truth)):
        assert math.isfinite(psnr(one, other, "authors")) and math.isfinite(ssim(one, other, "authors"))
    assert psnr(blank, blank, "authors") == math.inf and ssim(blank, blank, "authors") == pytest.approx(1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [(10, 40), (40, 10), (1, 1)])
def test_ssim_needs_eleven_pixels_and_psnr_does_not(variant: str, shape: tuple[int, int]) -> None:
    pred, truth = tensors(*maps(0, shape))
    assert math.isnan(ssim(pred + 0.01, truth + 0.01, variant))
    assert not math.isnan(psnr(pred, truth + 0.01, variant))


@few
@given(st.integers(0, 10**6), st.floats(1e-4, 1e4))
def test_standard_values_do_not_depend_on_the_unit(seed: int, unit: float) -> None:
    """People per pixel, or times the label factor: the peak moves along."""
    pred, truth = maps(seed)
    before, after = tensors(pred, truth), tensors(pred * unit, truth * unit)
    assert psnr(*after) == pytest.approx(psnr(*before), rel=1e-9)
    assert ssim(*after) == pytest.approx(ssim(*before), rel=1e-6)


@few
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(0.01, 100))
def test_authors_psnr_does_not_see_a_wrong_count(seed: int, a: float, b: float) -> None:
    pred, truth = maps(seed)
    one, other = tensors(pred * a, truth * b)
    assert psnr(one, other, "authors") == pytest.approx(psnr(*tensors(pred, truth), "authors"), rel=1e-9)
    assert psnr(*tensors(truth * a, truth), "authors") > 200  # perfect but for rounding; the standard one is not fooled
    if abs(a - 1) > 0.1:
        assert psnr(*tensors(truth * a, truth)) < 60


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_more_noise_is_worse(metric) -> None:
    values = [metric(*tensors(*maps(7, noise=noise))) for noise in (0.05, 0.2, 0.8)]
    assert values == sorted(values, reverse=True) and len(set(values)) == 3


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("pred", "truth"), [((12, 12), (12, 13)), ((12, 12), (1, 12, 12)), ((1, 12, 12), (1, 12, 12)), ((144,), (144,))]
)
def test_maps_are_two_of_one_size(metric, variant: str, pred: tuple, truth: tuple) -> None:
    with pytest.raises(ValueError, match="two maps"):
        metric(torch.zeros(pred), torch.zeros(truth), variant)


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("variant", VARIANTS)
def test_single_precision_maps_give_the_same(metric, variant: str) -> None:
    pred, truth = tensors(*maps(5))
    assert metric(pred.float(), truth.float(), variant) == pytest.approx(metric(pred, truth, variant), rel=1e-4)
