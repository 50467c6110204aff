"""Exercises and demo of notebook 02, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.ndimage import generate_binary_structure, iterate_structure, maximum_filter

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import Sample
from sdcda_tutorial.teaching.demos.mask_threshold import mask_threshold, render_mask_threshold, trade_off
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture


def stub(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["2.1", "2.2", "2.3", "2.4"])
def test_a_stub_is_not_attempted(number: str) -> None:
    assert verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


# 2.1 ------------------------------------------------------------------------------------------------------------------


def painter(
    near: Callable[..., Any] = np.floor,
    far: Callable[..., Any] = np.ceil,
    *,
    swap: bool = False,
    last: int = 0,
    add: bool = False,
    cut: bool = True,
    only: int | None = None,
) -> Callable[..., np.ndarray]:
    """A way to paint boxes, and the ways to go wrong."""

    def paint(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        z = np.zeros(size, dtype=int)
        for x0, y0, x1, y1 in boxes[:only]:
            a, b, c, d = int(near(x0)), int(near(y0)), int(far(x1)) + last, int(far(y1)) + last
            if cut:
                a, b = max(a, 0), max(b, 0)
            window = np.s_[a:c, b:d] if swap else np.s_[b:d, a:c]
            z[window] = z[window] + 1 if add else 1
        return z

    return paint


def test_2_1_right() -> None:
    assert verdict("2.1", painter())[0] == "right"
    assert verdict("2.1", masks.from_boxes)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (painter(swap=True), "lies on its side"),
        (painter(last=1), "too large"),
        (painter(add=True), "do not add"),
        (painter(only=1), "both"),
        (painter(np.floor, np.floor), "round the near"),
        (painter(np.round, np.round), "round the near"),
        (painter(cut=False), "negative index"),
        (lambda boxes, size: np.zeros(size[::-1]), "size of the image"),
        (lambda boxes, size: np.ones(size), "covers columns 2-4"),
    ],
)
def test_2_1_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("2.1", answer)
    assert said == "wrong"
    assert hint in text


# 2.2 ------------------------------------------------------------------------------------------------------------------


def share(mask: np.ndarray, points: np.ndarray) -> float:
    columns, rows = points.astype(int).T
    return float(mask[rows, columns].mean())


def test_2_2_right() -> None:
    assert verdict("2.2", share)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda mask, points: share(mask, points[:, ::-1]), "x and y swapped"),
        (lambda mask, points: share(mask, np.round(points)), "rounded"),
        (lambda mask, points: share(mask, points) * len(points), "divide by the number of heads"),
        (lambda mask, points: mask.mean(), "3 of the 6 heads"),
        (lambda mask, points: 0.5, "crowd everywhere"),
    ],
)
def test_2_2_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("2.2", answer)
    assert said == "wrong"
    assert hint in text


# 2.3 ------------------------------------------------------------------------------------------------------------------


def grown(mask: np.ndarray, d: int) -> np.ndarray:
    return maximum_filter(mask, size=2 * d + 1, mode="constant") if d else mask.copy()


def diamond(mask: np.ndarray, d: int) -> np.ndarray:
    if d == 0:
        return mask
    return maximum_filter(mask, footprint=iterate_structure(generate_binary_structure(2, 1), d), mode="constant")


def rolled(mask: np.ndarray, d: int) -> np.ndarray:
    shifts = range(-d, d + 1)
    return np.max([np.roll(mask, (i, j), (0, 1)) for i in shifts for j in shifts], axis=0)


def flooded(mask: np.ndarray, d: int) -> np.ndarray:
    z = mask.copy()
    for row in range(z.shape[0]):
        for column in range(z.shape[1]):
            if z[row, column]:
                z[max(row - d, 0) : row + d + 1, max(column - d, 0) : column + d + 1] = 1
    return z


def in_place(mask: np.ndarray, d: int) -> np.ndarray:
    mask[:] = grown(mask, d)
    return mask


def summed(mask: np.ndarray, d: int) -> np.ndarray:
    margin, (h, w) = np.pad(mask, d), mask.shape
    return sum(margin[i : i + h, j : j + w].astype(int) for i in range(2 * d + 1) for j in range(2 * d + 1))


def test_2_3_right() -> None:
    assert verdict("2.3", grown)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (diamond, "corners are missing"),
        (rolled, "np.roll"),
        (flooded, "what has grown already"),
        (in_place, "changed the mask"),
        (lambda mask, d: maximum_filter(mask, size=d + 1, mode="constant"), "2d + 1 wide"),
        (lambda mask, d: np.pad(mask, d), "margin left on"),
        (lambda mask, d: 1 - grown(1 - mask, d), "none came back"),
        (lambda mask, d: mask, "2d + 1 wide"),
        (summed, "not their sum"),
    ],
)
def test_2_3_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("2.3", answer)
    assert said == "wrong"
    assert hint in text


# 2.4 ------------------------------------------------------------------------------------------------------------------


def shares(probabilities: Any, points: Any, threshold: float) -> list[np.ndarray]:
    found = []
    for probability, heads in zip(probabilities, points, strict=True):
        columns, rows = heads.astype(int).T
        found.append(probability[rows, columns] > threshold)
    return found


def choose(probabilities: Any, points: Any, candidates: Any, wanted: float) -> float:
    return max(t for t in candidates if np.concatenate(shares(probabilities, points, t)).mean() >= wanted)


def choose_smallest(probabilities: Any, points: Any, candidates: Any, wanted: float) -> float:
    return min(t for t in candidates if np.concatenate(shares(probabilities, points, t)).mean() >= wanted)


def choose_last(probabilities: Any, points: Any, candidates: Any, wanted: float) -> float:
    return [t for t in candidates if np.concatenate(shares(probabilities, points, t)).mean() >= wanted][-1]


def choose_strict(probabilities: Any, points: Any, candidates: Any, wanted: float) -> float:
    return max(t for t in candidates if np.concatenate(shares(probabilities, points, t)).mean() > wanted)


def choose_by_image(probabilities: Any, points: Any, candidates: Any, wanted: float) -> float:
    return max(t for t in candidates if np.mean([s.mean() for s in shares(probabilities, points, t)]) >= wanted)


def test_2_4_right() -> None:
    assert verdict("2.4", choose)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (choose_smallest, "*largest*"),
        (choose_last, "*largest*"),
        (choose_strict, "*at least*"),
        (choose_by_image, "every head should count the same"),
        (lambda probabilities, points, candidates, wanted: max(candidates), "fewer than wanted"),
    ],
)
def test_2_4_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("2.4", answer)
    assert said == "wrong"
    assert hint in text


# The demo -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def looked_at() -> tuple[list[Sample], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    heads = rng.uniform(0, (40, 30), (3, 12, 2)).astype(np.float32)
    samples = [Sample(rng.integers(0, 256, (30, 40, 3)).astype(np.uint8), points=points) for points in heads]
    return samples, [rng.random((30, 40)).astype(np.float32) for _ in samples]


def test_trade_off_counts_what_the_masks_hold(looked_at: Any) -> None:
    samples, probabilities = looked_at
    for threshold, dilate in ((0.3, 0), (0.5, 0), (0.9, 1), (0.99, 3)):
        made = [masks.from_probability(p, threshold, dilate=dilate) for p in probabilities]
        inside = np.mean([share(z, s.points) for z, s in zip(made, samples, strict=True)])
        found = trade_off(samples, probabilities, np.array([threshold]), dilate)
        assert np.allclose(np.ravel(found), [inside, np.mean(made)])


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "dilate"), [(0.02, 0), (0.98, 12), (0.98, 0), (0.3, 2)])
def test_the_picture_stands_the_extremes(looked_at: Any, threshold: float, dilate: int) -> None:
    figure = render_mask_threshold(*looked_at, scene=2, threshold=threshold, dilate=dilate)
    assert isinstance(figure, Figure)
    plt.close(figure)


@pytest.mark.slow
def test_the_picture_follows_each_control(looked_at: Any) -> None:
    first = {"scene": 0, "threshold": 0.9, "dilate": 1}
    pictures = {picture(render_mask_threshold(*looked_at, **first))}
    for change in ({"scene": 1}, {"threshold": 0.8}, {"dilate": 2}):
        pictures.add(picture(render_mask_threshold(*looked_at, **{**first, **change})))
    assert len(pictures) == 4


def test_the_controls_move_the_picture(looked_at: Any) -> None:
    box = mask_threshold(*looked_at)
    *controls, image, problem = box.children
    before = image.value
    controls[1].value = 0.9
    assert image.value != before and not problem.value
