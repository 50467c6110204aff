"""Exercises of notebook 04, both ways: what is right passes, each typical mistake gets its own hint."""

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.exercises import verdict


def stub(*_, **__):
    raise NotImplementedError


def density_loss(pred, truth):
    if pred.shape != truth.shape:
        raise ValueError("shapes differ")
    return 0.5 * (pred - truth).square().mean()


def checked(loss):
    """The same loss with the check of shapes, which comes last."""

    def with_check(pred, truth):
        density_loss(pred, truth)
        return loss(pred - truth)

    return with_check


def refuses_with(error):
    def loss(pred, truth):
        if pred.shape != truth.shape:
            raise error
        return density_loss(pred, truth)

    return loss


def new_label_factor(factor, scale):
    return factor * scale**2


def error_parts(pred, truth):
    return float(pred[truth == 0].sum()), float(pred[truth > 0].sum() - truth.sum())


RIGHT = {"4.1": density_loss, "4.2": new_label_factor, "4.3": error_parts}
MISTAKES = [
    ("4.1", checked(lambda d: d.square().mean()), "half of Eq. 6"),
    ("4.1", checked(lambda d: 0.5 * d.square().sum()), "sum over the pixels;"),
    ("4.1", checked(lambda d: 0.5 * d.square().sum() / len(d)), "mean over the images"),
    ("4.1", checked(lambda d: 0.5 * d.abs().mean()), "absolute"),
    ("4.1", checked(lambda d: 0.5 * d.mean().square()), "opposite sign"),
    ("4.1", checked(lambda d: 0.5 * d.norm()), "this is a root"),
    ("4.1", checked(lambda d: 0.5 * d.square()), "one number"),
    ("4.1", checked(lambda d: 0.25 * d.square().mean()), "is 1.167"),
    ("4.1", checked(lambda d: (0.5 * d.square().mean()).item()), "no gradient"),
    ("4.1", checked(lambda d: 0.5 * d.square().mean().detach()), "no gradient"),
    ("4.1", lambda p, t: 0.5 * (p - t).square().mean(), "broadcast"),
    ("4.1", refuses_with(AssertionError()), "not AssertionError"),
    ("4.2", lambda factor, scale: factor, "does not cancel"),
    ("4.2", lambda factor, scale: factor * scale, "scale × scale"),
    ("4.2", lambda factor, scale: factor * scale**4, "*square* of the factor"),
    ("4.2", lambda factor, scale: factor / scale**2, "has to become larger"),
    ("4.2", lambda factor, scale: factor + scale, "should stay 10"),
    ("4.2", lambda factor, scale: factor * (3 * scale - 2), "give 225"),
    ("4.2", lambda factor, scale: factor * (scale**2 if scale >= 1 else 1 / scale), "half the side"),
    ("4.2", lambda factor, scale: factor * scale**3, "not 80"),
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


def test_the_loss_of_the_package_is_right():
    assert verdict("4.1", losses.density_loss)[0] == "right"


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
