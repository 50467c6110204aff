"""Exercises and demo of notebook 09: solutions pass, typical mistakes get their own hint."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.teaching.demos.predictions import predictions, render_predictions
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture

Pair = tuple[float, float]


def count_errors(truth: Any, pred: Any) -> Pair:
    error = np.asarray(pred) - np.asarray(truth)
    return np.abs(error).mean(), np.sqrt((error**2).mean())


def best_constants(truth: Any) -> Pair:
    return float(np.median(truth)), float(np.mean(truth))


def quarter_error(pred: Tensor, truth: Tensor) -> float:
    height, width = truth.shape
    error = (pred - truth).reshape(2, height // 2, 2, width // 2).sum(dim=(1, 3))
    return float(error.abs().sum())


def quarters(pred: Tensor, truth: Tensor) -> Tensor:
    """Signed errors of the quarters, (2, 2)."""
    return (pred - truth).reshape(2, truth.shape[0] // 2, 2, truth.shape[1] // 2).sum(dim=(1, 3))


def means(a: Any, b: Any) -> tuple[list[float], float]:
    """Means of the differences under every choice of signs, and as they are."""
    d = a - b
    return [float(np.mean(np.array(signs) * d)) for signs in product((1, -1), repeat=len(d))], float(d.mean())


def sign_flip_share(a: Any, b: Any) -> float:
    every, observed = means(a, b)
    return sum(abs(one) >= abs(observed) - 1e-9 for one in every) / len(every)


def share(condition: Callable[[float, float], bool]) -> Callable[..., float]:
    """The share of the choices of signs that meet a condition on their mean and the observed one."""

    def answer(a: Any, b: Any) -> float:
        every, observed = means(a, b)
        return sum(condition(one, observed) for one in every) / len(every)

    return answer


def mixed(a: Any, b: Any) -> float:
    """A permutation test that forgets the pairs."""
    both, n = np.concatenate([a, b]), len(a)
    every = [both[list(c)].mean() - np.delete(both, c).mean() for c in combinations(range(2 * n), n)]
    return sum(abs(one) >= abs(a.mean() - b.mean()) - 1e-9 for one in every) / len(every)


RIGHT = {"9.1": count_errors, "9.2": best_constants, "9.3": quarter_error, "9.4": sign_flip_share}


WRONG: list[tuple[str, Any, str]] = [
    ("9.1", lambda t, p: ((p - t).mean(), 6.5), "absolute value"),
    ("9.1", lambda t, p: ((t - p).mean(), 6.5), "absolute value"),
    ("9.1", lambda t, p: (np.abs(p - t).sum(), 6.5), "divide by the number of images"),
    ("9.1", lambda t, p: count_errors(t, p)[::-1], "wrong order"),
    ("9.1", lambda t, p: (4.75, ((p - t) ** 2).mean()), "the root is missing"),
    ("9.1", lambda t, p: (4.75, np.sqrt((p - t) ** 2).mean()), "mean first, then one root"),
    ("9.1", lambda t, p: (4.75, np.sqrt(((p - t) ** 2).sum())), "belongs under the root"),
    ("9.1", lambda t, p: (4.75, np.sqrt(((p - t) ** 2).sum()) / len(t)), "belongs under the root"),
    ("9.1", lambda t, p: (4.75, abs((p - t).mean())), "root of the squared mean"),
    ("9.1", lambda t, p: np.abs(p - t).mean(), "two numbers"),
    ("9.1", lambda t, p: (1.0, 6.5), "MAE of 4.75"),
    ("9.1", lambda t, p: (4.75, 1.0), "mean square is 42.25"),
    ("9.1", lambda t, p: (np.abs(p - t).mean() if isinstance(t, np.ndarray) else (t - p), 6.5), "np.asarray"),
    ("9.1", lambda t, p: (4.75, 6.5), "1 and 3 people"),
    ("9.2", lambda t: best_constants(t)[::-1], "wrong order"),
    ("9.2", lambda t: (np.abs(t - np.median(t)).mean(), t.std()), "Return the answers"),
    ("9.2", lambda t: (t.mean(), t.mean()), "Try 34 and 33"),
    ("9.2", lambda t: (np.median(t), np.median(t)), "Try 20 and 21"),
    ("9.2", lambda t: ((t.min() + t.max()) / 2, t.mean()), "two images of the five"),
    ("9.2", lambda t: (np.median(t), (t.min() + t.max()) / 2), "two images of the five"),
    ("9.2", lambda t: (t[len(t) // 2], t.mean()), "Sort them first"),
    ("9.2", lambda t: (t.mean(), 1.0), "get worse"),
    ("9.2", lambda t: (np.median(t), np.sqrt((t**2).mean())), "quadratic mean"),
    ("9.2", lambda t: (1.0, t.mean()), "lowest at 20"),
    ("9.2", lambda t: (np.median(t), 1.0), "zero at c = 34"),
    ("9.2", lambda t: (sorted(t)[len(t) // 2] if len(t) % 2 else t.max(), t.mean()), "every answer from 4 to 8"),
    ("9.2", lambda t: (np.median(t), 34.0), "lowest at 8"),
    ("9.3", lambda p, t: (p - t).sum(), "still cancel"),
    ("9.3", lambda p, t: (p - t).sum().abs(), "still cancel"),
    ("9.3", lambda p, t: quarters(p, t).abs().mean(), "mean over the quarters"),
    ("9.3", lambda p, t: (p - t).abs().sum(), "pixel by pixel"),
    ("9.3", lambda p, t: quarters(p, t).sum(dim=0).abs().sum(), "left and right"),
    ("9.3", lambda p, t: quarters(p, t).sum(dim=1).abs().sum(), "top and bottom"),
    ("9.3", lambda p, t: quarters(p, t).clamp(min=0).sum(), "too few people"),
    ("9.3", lambda p, t: quarters(p, t).square().sum(), "keep the unit"),
    ("9.3", lambda p, t: quarters(p, t).square().sum().sqrt(), "keep the unit"),
    ("9.3", lambda p, t: 7.0, "which makes 11"),
    ("9.3", lambda p, t: 11.0, "1 × 4"),
    ("9.4", share(lambda one, observed: one <= observed + 1e-9), "only one side"),
    ("9.4", share(lambda one, observed: abs(one) > abs(observed) + 1e-9), "not `>`"),
    ("9.4", share(lambda one, observed: abs(one) < abs(observed) - 1e-9), "*nearer*"),
    ("9.4", lambda a, b: sign_flip_share(a, b) * 2 ** len(a), "Divide by all"),
    ("9.4", lambda a, b: sign_flip_share(np.sign(a - b), 0 * a), "signs only"),
    ("9.4", lambda a, b: (sign_flip_share(a, b) * 2 ** len(a) - 1) / (2 ** len(a) - 1), "left out"),
    ("9.4", mixed, "are pairs"),
    ("9.4", lambda a, b: 0.9, "10 of the 32"),
    ("9.4", lambda a, b: 10 / 32, "2 of 32"),
]


def stub(*_: Any) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("number", RIGHT)
def test_solution_passes_and_stub_is_not_attempted(number: str) -> None:
    assert verdict(number, RIGHT[number])[0] == "right"
    assert verdict(number, stub)[0] == "not attempted"


@pytest.mark.parametrize(("number", "answer", "fragment"), WRONG)
def test_each_mistake_has_its_hint(number: str, answer: Any, fragment: str) -> None:
    said, hint = verdict(number, answer)
    assert said == "wrong" and fragment in hint, hint


class Constant(nn.Module):
    """A counter that puts `people` evenly over the image, and counts how often it is asked."""

    def __init__(self, people: float) -> None:
        super().__init__()
        self.people, self.asked = people, 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return torch.full_like(x[:, :1], self.people / x[0, 0].numel())


def test_render_predictions_differs_by_scene_and_method(target: CrowdDataset) -> None:
    counters, kernel = {"few": Constant(3), "many": Constant(300), "none": Constant(0)}, DensityKernel(sigma=2.0)
    shown = [(0, "few"), (0, "many"), (1, "few"), (len(target) - 1, "none")]
    figures = [render_predictions(target, counters, kernel, scene, method) for scene, method in shown]
    assert all(isinstance(figure, Figure) for figure in figures)
    titles = [figure.axes[2].get_title() for figure in figures]
    assert titles == ["few: 3.0", "many: 300.0", "few: 3.0", "none: 0.0"]
    words = figures[0].axes[3].get_title().replace("−", "-").split()
    parts = [float(word.strip(",")) for word in words if word[0] in "+-"]
    assert sum(parts) == pytest.approx(3 - target[0].count, abs=0.11)  # each part is rounded to a tenth
    assert len({picture(figure) for figure in figures}) == 4


def test_predictions_asks_a_network_once_an_image(target: CrowdDataset) -> None:
    counters = {"few": Constant(3), "many": Constant(300)}
    box = predictions(target, counters, DensityKernel(sigma=2.0))
    scene, method, image, problem = box.children
    seen = {image.value}
    for wanted in ("many", "few", "many"):
        method.value = wanted
        seen.add(image.value)
    scene.value = 0
    seen.add(image.value)
    assert problem.value == "" and len(seen) == 3
    assert counters["few"].asked == 1 and counters["many"].asked == 2
