"""Exercises of notebook 03, both ways: what is right passes, each typical mistake gets its own hint."""

import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from sdcda_tutorial.networks import FeatureExtractor, image_batch
from sdcda_tutorial.teaching.exercises import verdict


def stub(*_, **__):
    raise NotImplementedError


def prepare(image):
    return torch.from_numpy(image).permute(2, 0, 1)[None] / 255


def prepared(layout="permute", largest=255, normalised=False):
    def wrong(image):
        x = torch.from_numpy(image)
        x = x.permute(2, 0, 1)[None] if layout == "permute" else x.reshape(1, 3, *image.shape[:2])
        E = FeatureExtractor(stride=8, width=1 / 16)
        return (x / largest - E.mean) / E.std if normalised else x / largest

    return wrong


def receptive_field(layers):
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * step
        step *= stride
    return field


def batch_norm(x, eps=1e-5):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


def field_with(reach=lambda k, d: (k - 1) * d, start=1, step_of=lambda j, s, d: j * s, change_first=False):
    def field(layers):
        size, step = start, 1
        for kernel, stride, dilation in layers:
            before = step
            step = step_of(step, stride, dilation)
            size += reach(kernel, dilation) * (step if change_first else before)
        return size

    return field


def product(layers):
    size = 1
    for kernel, _, _ in layers:
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
RIGHT = {"3.1": prepare, "3.2": receptive_field, "3.3": batch_norm}
MISTAKES = [
    ("3.1", prepared("reshape", 256, normalised=True), "Move the axis"),  # the function with all three bugs
    ("3.1", prepared("reshape"), "Move the axis"),
    ("3.1", prepared("reshape", 256), "Move the axis"),
    ("3.1", prepared(largest=256), "exactly 1"),
    ("3.1", prepared(largest=256, normalised=True), "exactly 1"),
    ("3.1", prepared(largest=1), "from 0 to 1"),
    ("3.1", prepared(normalised=True), "happen twice"),
    ("3.1", lambda image: prepare(image).flip(1), "red first"),
    ("3.1", lambda image: prepare(image)[0], "batch"),
    ("3.1", lambda image: torch.from_numpy(image)[None] / 255, "colours come before"),
    ("3.1", lambda image: prepare(image).transpose(2, 3), "height comes before"),
    ("3.1", lambda image: prepare(image)[..., :-1], "2 × 3 pixels"),
    ("3.1", lambda image: (prepare(image) * 255).byte(), "whole numbers"),
    ("3.1", lambda image: image / 255, "return a tensor"),
    ("3.1", lambda image: prepare(image) / 0, "not finite"),
    ("3.1", lambda image: 1 - prepare(image), "compare x"),
    ("3.2", field_with(step_of=lambda j, s, d: 1), "neighbouring cells lie 2 pixels apart"),
    ("3.2", product, "do not multiply"),
    ("3.2", field_with(start=0), "a pixel sees itself"),
    ("3.2", field_with(reach=lambda k, d: k * d), "k - 1 pixels"),
    ("3.2", lambda layers: field_with(reach=lambda k, d: k, start=0)(layers) or 1, "k - 1 pixels"),
    ("3.2", lambda layers: field_with(start=0)(layers) or 1, "begins with 1"),
    ("3.2", lambda layers: 1 + len(layers), "3 pixels and two see 5"),
    ("3.2", field_with(change_first=True), "Change j last"),
    ("3.2", field_with(step_of=lambda j, s, d: s), "product of *all* strides"),
    ("3.2", field_with(reach=lambda k, d: k - 1), "no effect yet"),
    ("3.2", field_with(reach=lambda k, d: k * d - 1), "not k · d"),
    ("3.2", field_with(reach=lambda k, d: k - 1 + d - 1), "each of the k - 1 steps"),
    ("3.2", field_with(step_of=lambda j, s, d: j * s * d), "only the stride changes j"),
    ("3.2", lambda layers: str(receptive_field(layers)), "one number"),
    ("3.3", normalised((2, 3)), "instance"),
    ("3.3", normalised((0,)), "each position"),
    ("3.3", normalised((0,), unbiased=True), "each position"),
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


def test_the_package_prepares_images_alike():
    assert verdict("3.1", lambda image: image_batch(image[None]))[0] == "right"


@pytest.mark.slow
def test_feature_maps_differ_with_every_control(source, target, monkeypatch):
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
