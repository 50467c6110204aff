"""Exercises of notebook 04, both ways: what is right passes, each typical mistake gets its own hint."""

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sdcda_tutorial.teaching.exercises import verdict


def stub(*_, **__):
    raise NotImplementedError


def training_loss(output, F, label_factor):
    return 0.5 * (output - label_factor * F).square().mean()


def counts(output, label_factor):
    return output.sum(dim=(1, 2, 3)) / label_factor


def error_parts(pred, truth):
    return float(pred[truth == 0].sum()), float(pred[truth > 0].sum() - truth.sum())


RIGHT = {"4.1": training_loss, "4.2": counts, "4.3": error_parts}
MISTAKES = [
    ("4.1", lambda o, F, k: 0.5 * (o - F).square().mean(), "different units"),
    ("4.1", lambda o, F, k: (o - F).square().mean(), "different units"),
    ("4.1", lambda o, F, k: 0.5 * (k * o - k * F).square().mean(), "multiply the truth only"),
    ("4.1", lambda o, F, k: 0.5 * (o / k - F).square().mean(), "in people per pixel"),
    ("4.1", lambda o, F, k: (o - k * F).square().mean(), "half of Eq. 6"),
    ("4.1", lambda o, F, k: 0.5 * (o - k * F).square().sum(), "sum over the pixels;"),
    ("4.1", lambda o, F, k: 0.5 * (o - k * F).square().sum() / len(o), "mean over the images"),
    ("4.1", lambda o, F, k: 0.5 * (o - k * F).abs().mean(), "absolute"),
    ("4.1", lambda o, F, k: 0.5 * (o - k * F).square(), "one number"),
    ("4.1", lambda o, F, k: 0.5 * (o + k * F).square().mean(), "is 1.167"),
    ("4.2", lambda o, k: o.sum() / k, "whole batch"),
    ("4.2", lambda o, k: o.sum(dim=(2, 3)) / k, "shape (3,)"),
    ("4.2", lambda o, k: o.sum(dim=(1, 2, 3)), "undo the factor"),
    ("4.2", lambda o, k: o.sum(dim=(1, 2, 3)) * k, "divide by it"),
    ("4.2", lambda o, k: o.mean(dim=(1, 2, 3)) / k, "mean density"),
    ("4.2", lambda o, k: o.amax(dim=(1, 2, 3)) / k, "2, 5 and 0"),
    ("4.3", lambda p, t: tuple(reversed(error_parts(p, t))), "comes first"),
    ("4.3", lambda p, t: (float((p[t == 0] > 0).sum()), -1.0), "not pixels"),
    ("4.3", lambda p, t: (float((t == 0).sum()), -1.0), "not pixels"),
    ("4.3", lambda p, t: (float(p[t > 0].sum()), -1.0), "is *zero*"),
    ("4.3", lambda p, t: (float(p.sum() - t.sum()), -1.0), "whole count"),
    ("4.3", lambda p, t: (float(p[t == 0].mean()), -1.0), "not 0.1"),
    ("4.3", lambda p, t: (float(p[t == 0].sum()), float(p[t > 0].sum())), "less the true count"),
    ("4.3", lambda p, t: (float(p[t == 0].sum()), float(t.sum() - p[t > 0].sum())), "the sign"),
    ("4.3", lambda p, t: (float(p[t == 0].sum()), float(p.sum() - t.sum()) - 1), "so the crowd error is -1"),
    ("4.3", lambda p, t: (float(p[t < 1e-3].sum()), float(p[t >= 1e-3].sum() - t.sum())), "exactly zero"),
    ("4.3", lambda p, t: float(p[t == 0].sum()), "two numbers"),
]


@pytest.mark.parametrize("number", RIGHT)
def test_solution_is_right(number):
    assert verdict(number, RIGHT[number])[0] == "right"


@pytest.mark.parametrize("number", RIGHT)
def test_stub_is_not_attempted(number):
    assert verdict(number, stub)[0] == "not attempted"


@pytest.mark.parametrize(("number", "answer", "hint"), MISTAKES)
def test_mistake_gets_its_hint(number, answer, hint):
    said, text = verdict(number, answer)
    assert said == "wrong" and hint in text


def test_error_split_differs_with_every_control(source, target, monkeypatch):
    from sdcda_tutorial.networks import CrowdCounter
    from sdcda_tutorial.teaching.demos import background_error as demo
    from sdcda_tutorial.teaching.notebook import picture

    def random_counter(method):
        torch.manual_seed(len(method))
        return CrowdCounter(stride=8, width=1 / 16, label_factor=1.0)

    monkeypatch.setattr(demo, "counter", random_counter)
    domains, drawn = {"source": source, "target": target}, []
    for arguments in [("source", 0), ("source", 1), ("target", 0), ("target", 0, "se")]:
        figure = demo.render_background_error(domains, *arguments)
        assert isinstance(figure, Figure)
        drawn.append(picture(figure))
    plt.close("all")
    assert len(set(drawn)) == len(drawn)
