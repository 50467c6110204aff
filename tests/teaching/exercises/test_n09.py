"""Exercises and demo of notebook 09: solutions pass, typical mistakes get their own hint."""

from __future__ import annotations

from collections.abc import Callable
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
    error = pred - truth
    return np.abs(error).mean(), np.sqrt((error**2).mean())


def psnr(pred: Tensor, truth: Tensor) -> float:
    return float(10 * torch.log10(truth.max() ** 2 / (pred - truth).square().mean()))


def error_parts(pred: Tensor, truth: Tensor) -> Pair:
    return float(pred[truth == 0].sum()), float(pred[truth > 0].sum() - truth.sum())


def split(pred: Tensor, truth: Tensor, background: Tensor) -> Pair:
    """The parts with a background of one's own."""
    return float(pred[background].sum()), float((pred - truth)[~background].sum())


def paired(a: Any, b: Any) -> Pair:
    return (a - b).mean(), (a - b).std(ddof=1)


RIGHT = {"9.1": count_errors, "9.2": psnr, "9.3": error_parts, "9.4": paired}


def decibel(peak: Callable[[Tensor, Tensor], Any], error: Callable[[Tensor], Tensor]) -> Callable[..., float]:
    return lambda p, t: float(10 * torch.log10(torch.as_tensor(peak(p, t)) / error((p - t).square())))


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
    ("9.2", decibel(lambda p, t: p.max() ** 2, torch.mean), "maximum of the *true* map"),
    ("9.2", decibel(lambda p, t: t.max() ** 2, torch.sum), "*sum* of the squares"),
    ("9.2", decibel(lambda p, t: t.max(), torch.mean), "as a square"),
    ("9.2", decibel(lambda p, t: 1.0, torch.mean), "no peak in it"),
    ("9.2", decibel(lambda p, t: 255.0**2, torch.mean), "photograph"),
    ("9.2", decibel(lambda p, t: t.max() ** 2, lambda e: e.mean().sqrt()), "*root* of the mean square"),
    ("9.2", lambda p, t: -psnr(p, t), "peak above"),
    ("9.2", lambda p, t: 2 * psnr(p, t), "Not both"),
    ("9.2", lambda p, t: psnr(p, t) * np.log(10), "natural logarithm"),
    ("9.2", lambda p, t: psnr(p, t) / 10, "tenth of a bel"),
    ("9.2", lambda p, t: 1.0, "15.56 dB"),
    ("9.3", lambda p, t: error_parts(p, t)[::-1], "wrong order"),
    ("9.3", lambda p, t: (float(p[t == 0].mean()), -1.0), "in people: the *sum*"),
    ("9.3", lambda p, t: (float((p * (t == 0)).mean()), -1.0), "in people: the *sum*"),
    ("9.3", lambda p, t: (float(p[t > 0].sum()), -1.0), "prediction in the crowd"),
    ("9.3", lambda p, t: (float(p[p == 0].sum()), -1.0), "*true* map is zero"),
    ("9.3", lambda p, t: (1.5, float(p[t > 0].sum())), "take off those"),
    ("9.3", lambda p, t: (1.5, float((t - p)[t > 0].sum())), "*missed*"),
    ("9.3", lambda p, t: (1.5, abs(float((p - t)[t > 0].sum()))), "*missed*"),
    ("9.3", lambda p, t: (1.5, float((p - t)[(p > 0) & (t > 0)].sum())), "misses the place"),
    ("9.3", lambda p, t: (5.0, -1.0), "1.5 people are predicted"),
    ("9.3", lambda p, t: (1.5, 0.0), "2 of 3"),
    ("9.3", lambda p, t: ((p - t).clamp(min=0).sum(), (p - t).clamp(max=0).sum()), "another split"),
    ("9.3", lambda p, t: (p[p > t].sum() - t[p > t].sum(), p[p <= t].sum() - t[p <= t].sum()), "another split"),
    ("9.3", lambda p, t: (1.5, (p - t).clamp(max=0).sum()), "another split"),
    ("9.3", lambda p, t: split(p, t, t < 1e-3), "exactly zero"),
    ("9.3", lambda p, t: split(p, t, t <= 0.1 * t.max()), "exactly zero"),
    ("9.3", lambda p, t: (1.5, split(p, t, t < 1e-3)[1]), "exactly zero"),
    ("9.3", lambda p, t: (1.5, float((p - t)[t > 0].abs().sum())), "*missed*"),
    ("9.4", lambda a, b: paired(b, a), "this is b - a"),
    ("9.4", lambda a, b: (np.abs(a - b).mean(), (a - b).std(ddof=1)), "this is b - a"),
    ("9.4", lambda a, b: ((a - b).sum(), 1.0), "not their sum"),
    ("9.4", lambda a, b: (a.mean() - b.mean(), np.sqrt(a.var(ddof=1) + b.var(ddof=1))), "Subtract seed by seed"),
    ("9.4", lambda a, b: (a.mean() - b.mean(), a.std(ddof=1) - b.std(ddof=1)), "Subtract seed by seed"),
    ("9.4", lambda a, b: ((a - b).mean(), (a - b).std()), "ddof=1"),
    ("9.4", lambda a, b: ((a - b).mean(), (a - b).var(ddof=1)), "variance"),
    ("9.4", lambda a, b: ((a - b).mean(), (a - b).std(ddof=1) / np.sqrt(len(a))), "standard error"),
    ("9.4", lambda a, b: (-np.abs(a - b).mean(), np.abs(a - b).std(ddof=1)), "Keep the signs"),
    ("9.4", lambda a, b: (1.0, 1.0), "mean of -4"),
    ("9.4", lambda a, b: (-4.0, 9.0), "standard deviation of 0.816"),
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
    parts = [float(word.strip(",")) for word in figures[0].axes[3].get_title().split() if word[0] in "+-"]
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
