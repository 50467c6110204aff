"""Exercises and demo of notebook 02, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import Sample
from sdcda_tutorial.teaching.demos.mask_threshold import (
    CASES,
    compare_masks,
    mask_threshold,
    render_mask_threshold,
    render_mistakes,
    scene_again,
    trade_off,
)
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture


def stub(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["2.1", "2.2", "2.3"])
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
    cut_far: bool = True,
    skip: bool = True,
    only: int | None = None,
    kind: type = np.uint8,
) -> Callable[..., np.ndarray]:
    """A way to paint boxes, and the ways to go wrong."""

    def paint(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        z = np.zeros(size, dtype=kind)
        for x0, y0, x1, y1 in boxes[:only]:
            if skip and (x1 <= x0 or y1 <= y0):
                continue
            a, b, c, d = int(near(x0)), int(near(y0)), int(far(x1)) + last, int(far(y1)) + last
            if cut:
                a, b = max(a, 0), max(b, 0)
            if cut_far:
                c, d = max(c, 0), max(d, 0)
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
        (painter(cut_far=False), "*far* edge"),
        (painter(skip=False), "without an area"),
        (painter(kind=float), "np.uint8"),
        (lambda boxes, size: painter()(boxes, size) if len(boxes) else None, "shape (0, 4)"),
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


def cost(mask: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    return 1 - share(mask, points), 1 - float(mask.mean())


def test_2_2_right() -> None:
    assert verdict("2.2", cost)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda mask, points: cost(mask, points[:, ::-1]), "x and y swapped"),
        (lambda mask, points: cost(mask, np.round(points)), "rounded"),
        (lambda mask, points: (6 * cost(mask, points)[0], cost(mask, points)[1]), "divide by the number of heads"),
        (lambda mask, points: (share(mask, points), mask.mean()), "*lost*"),
        (lambda mask, points: (1 - share(mask, points), mask.mean()), "the *background*"),
        (lambda mask, points: (1 - share(mask, points), (mask == 0).sum()), "counts pixels"),
        (lambda mask, points: share(mask, points), "return two numbers"),
        (lambda mask, points: (0.5, 0.5), "4 of the 6 heads"),
        (lambda mask, points: (1 - share(mask, points), 0.9), "159 of 168"),
        (lambda mask, points: (4 / 6, 159 / 168), "where all is crowd"),
    ],
)
def test_2_2_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("2.2", answer)
    assert said == "wrong"
    assert hint in text


# 2.3 ------------------------------------------------------------------------------------------------------------------


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


def test_2_3_right() -> None:
    assert verdict("2.3", choose)[0] == "right"


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
def test_2_3_mistakes(answer: Any, hint: str) -> None:
    said, text = verdict("2.3", answer)
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


def test_two_masks_side_by_side(looked_at: Any) -> None:
    before, after = {"threshold": 0.3, "dilate": 1}, {"threshold": 2.0, "dilate": 0}
    lines = compare_masks(*looked_at, before, after, {"heads lost": 25}).splitlines()
    assert lines[0] == "|  | threshold 0.3, dilation 1 | threshold 2.0, dilation 0 | predicted |"
    assert lines[2].endswith("| 100.0 % | 25 % |") and lines[3].endswith("| 100.0 % | – |")


def test_a_scene_again_has_its_persons_on_silhouettes() -> None:
    scene, silhouettes = scene_again("third", 5)
    assert silhouettes.shape == (192, 256) and set(np.unique(silhouettes)) == {0, 1} and scene.people
    assert (scene_again("third", 5)[1] == silhouettes).all()


def test_mistakes_have_four_colours() -> None:
    person, crowd = np.array([[1, 1], [0, 0]]), np.array([[1, 0], [1, 0]])
    figure = render_mistakes(np.zeros((2, 2, 3), np.uint8), person, {"all four": crowd})
    shown = figure.axes[1].images[0].get_array()
    assert shown is not None and len(np.unique(np.asarray(shown).reshape(-1, 3), axis=0)) == len(CASES)
    plt.close(figure)
