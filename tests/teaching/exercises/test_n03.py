"""Exercises of notebook 03, both ways: what is right passes, each typical mistake gets its own hint."""

import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sdcda_tutorial.teaching.exercises import verdict


def stub(*_, **__):
    raise NotImplementedError


def feature_size(height, width, stride):
    return -(-height // stride), -(-width // stride)


def receptive_field(layers):
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


def batch_norm(x, eps=1e-5):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


def field_with(kernel_reach=lambda k: k - 1, start=1, own_stride_first=False, last_only=False, no_stride=False):
    def field(layers):
        size, step = start, 1
        for kernel, stride in layers:
            if own_stride_first:
                step *= stride
            size += kernel_reach(kernel) * step
            if not own_stride_first and not no_stride:
                step = stride if last_only else step * stride
        return size

    return field


def product(layers):
    size = 1
    for kernel, _ in layers:
        size *= kernel
    return size


def normalised(dims, root=True, eps_outside=False, use_eps=True, unbiased=False):
    def norm(x, eps=1e-5):
        e = eps if use_eps else 0.0
        variance = x.var(dim=dims, keepdim=True, unbiased=unbiased)
        if not root:
            return (x - x.mean(dim=dims, keepdim=True)) / (variance + e)
        divisor = variance.sqrt() + e if eps_outside else (variance + e).sqrt()
        return (x - x.mean(dim=dims, keepdim=True)) / divisor

    return norm


CHANNEL = (0, 2, 3)
RIGHT = {"3.1": feature_size, "3.2": receptive_field, "3.3": batch_norm}
MISTAKES = [
    ("3.1", lambda h, w, s: (h // s, w // s), "Round up"),
    ("3.1", lambda h, w, s: (-(-w // s), -(-h // s)), "height comes first"),
    ("3.1", lambda h, w, s: (h / s, w / s), "whole cells"),
    ("3.1", lambda h, w, s: (h // s + 1, w // s + 1), "fits without padding"),
    ("3.1", lambda h, w, s: (h // s + (w % s > 0) + (h == 64), -(-w // s)), "needs no more cells"),
    ("3.1", lambda h, w, s: h // s, "two numbers"),
    ("3.2", lambda layers: 1 + sum(k - 1 for k, _ in layers), "neighbouring cells lie 2 pixels apart"),
    ("3.2", product, "do not multiply"),
    ("3.2", field_with(start=0), "a pixel sees itself"),
    ("3.2", field_with(kernel_reach=lambda k: k), "not 4 and 7"),
    ("3.2", lambda layers: field_with(kernel_reach=lambda k: k, start=0)(layers) or 1, "k - 1 pixels"),
    ("3.2", lambda layers: field_with(start=0)(layers) or 1, "begins with 1"),
    ("3.2", field_with(own_stride_first=True), "Change j last"),
    ("3.2", field_with(last_only=True), "product of *all* strides"),
    ("3.2", lambda layers: str(receptive_field(layers)), "one number"),
    ("3.3", normalised((2, 3)), "instance"),
    ("3.3", normalised((0, 1, 2, 3)), "share one mean"),
    ("3.3", normalised(CHANNEL, root=False), "not by the variance"),
    ("3.3", normalised(CHANNEL, eps_outside=True), "under the root"),
    ("3.3", normalised(CHANNEL, use_eps=False), "left out"),
    ("3.3", normalised(CHANNEL, unbiased=True), "n - 1"),
    ("3.3", lambda x, eps=1e-5: x / (x.var(dim=CHANNEL, keepdim=True) + eps).sqrt(), "should have mean 0"),
    ("3.3", lambda x, eps=1e-5: batch_norm(x).mean(), "shape of x"),
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


@pytest.mark.slow
def test_feature_maps_differ_with_every_control(source, target, monkeypatch):
    import torch

    from sdcda_tutorial.networks import CrowdCounter
    from sdcda_tutorial.teaching.demos import feature_maps as demo
    from sdcda_tutorial.teaching.notebook import picture

    def random_counter(method):
        torch.manual_seed(len(method))
        return CrowdCounter(stride=8, width=1 / 16, label_factor=1.0).eval()

    monkeypatch.setattr(demo, "counter", random_counter)
    drawn = []
    for scene, channel, method in [(0, 0, "noadapt"), (1, 0, "noadapt"), (0, 31, "noadapt"), (0, 0, "se+fd")]:
        figure = demo.render_feature_maps(source, target, scene, channel, method)
        assert isinstance(figure, Figure)
        drawn.append(picture(figure))
    plt.close("all")
    assert len(set(drawn)) == len(drawn)
