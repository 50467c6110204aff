"""Exercises of notebook 03: the input of E, its receptive field, and what batch norm does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sdcda_tutorial.networks import IMAGENET_MEAN, IMAGENET_STD
from sdcda_tutorial.teaching.exercises import Answer, Hint, Mistakes, exercise, expect, number, require, rule_out, same

CONV, POOL, DILATED = (3, 1, 1), (2, 2, 1), (3, 1, 2)  # kernel, stride, dilation
VGG16_TO_POOL_3 = [CONV] * 2 + [POOL] + [CONV] * 2 + [POOL] + [CONV] * 3 + [POOL]


@exercise("3.1", "Three bugs", difficulty=1, minutes=6)
def prepare(answer: Answer) -> None:
    """`permute` moves the axis of the colours, 255 becomes 1, and E itself does the normalisation."""
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 15  # 0 to 255
    x = answer(image.copy())
    require(isinstance(x, Tensor), f"return a tensor, not {type(x).__name__}.")
    shape = tuple(x.shape)
    require(shape != (3, 2, 3), "E takes a batch: one image has the shape (1, 3, H, W).")
    require(shape not in ((2, 3, 3), (1, 2, 3, 3)), "the colours come before height and width: (1, 3, H, W).")
    require(shape != (1, 3, 3, 2), "height comes before width: (1, 3, H, W).")
    require(shape == (1, 3, 2, 3), f"an image of 2 × 3 pixels should give the shape (1, 3, 2, 3), not {shape}.")
    require(x.is_floating_point(), "E takes floats from 0 to 1; yours are still whole numbers from 0 to 255.")
    kind = str(x.dtype).removeprefix("torch.")
    require(x.dtype == torch.float32, f"E computes in float32, and yours are {kind}: E would stop with an error.")
    require(x.isfinite().all(), "some of the values are not finite.")
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    mixed = torch.from_numpy(image).reshape(1, 3, 2, 3)
    layouts = {
        "": planes,
        "`reshape` keeps the order of the numbers, so the colours of a pixel end up side by side in one channel. "
        "Move the axis instead.": mixed,
        "these are blue, green and red; E expects red first.": planes.flip(1),
    }
    scales = {"": 255, "white is 255 and should become exactly 1.": 256, "E expects values from 0 to 1.": 1}
    for of_layout, pixels in layouts.items():
        for of_scale, largest in scales.items():
            plain = pixels / largest
            rule_out(x, {of_layout or of_scale: plain} if of_layout or of_scale else {})
            normalised = "E normalises its input itself; here it would happen twice."
            rule_out(x, {of_layout or of_scale or normalised: (plain - mean) / deviation})
    expect(x, planes / 255, "the shape is right, but not the values: compare x[0, :, 0, 0] with image[0, 0] / 255.")
    dark = "white is 255 in an image without any white too: do not divide by the brightest value that you find."
    expect(answer(image // 2), torch.from_numpy(image // 2).permute(2, 0, 1)[None] / 255, dark)


@exercise("3.2", "Seeing further without pooling", difficulty=2, minutes=10, optional=True)
def receptive_field(answer: Answer) -> None:
    """dilation widens the field, not the cells of f: with d = 2 after pool 3 it is 140 pixels."""

    def field(*layers: tuple[int, int, int]) -> float:
        made = answer(list(layers))
        return number(made)

    require(field() == 1, "before any layer a pixel sees itself: 1.")
    mistakes: Mistakes = {
        "the field begins with 1, the pixel itself; then each layer adds to it.": (2, 4),
        "fields add up, they do not multiply: two 3 × 3 convolutions see 5 pixels, not 9.": (3, 9),
        "a k × k kernel reaches k - 1 pixels further than a single pixel, not k.": [(3, 6), (4, 7)],
    }
    closing = "one 3 × 3 convolution sees 3 pixels and two see 5, not {found[0]:g} and {found[1]:g}."
    expect((field(CONV), field(CONV, CONV)), (3, 5), closing, mistakes)
    pooled = field(POOL, CONV)
    rule_out(pooled, {"after a pooling neighbouring cells lie 2 pixels apart: multiply by the strides before.": 4})
    rule_out(field(POOL), {"a layer's own stride counts from the next layer on: a pooling sees 2. Change j last.": 3})
    expect(pooled, 6, "a 2 × 2 pooling and then a 3 × 3 convolution see 2 + 2 · 2 = 6 pixels, not {found:g}.")
    mistakes = {"j is the product of *all* strides before the layer, not only of the last one.": 8}
    expect(field(POOL, POOL, CONV), 12, "two poolings and a convolution see 12 pixels, not {found:g}.", mistakes)
    mistakes = {
        "the dilation has no effect yet: with d = 2 a 3 × 3 kernel spans 5 cells.": 3,
        "between 3 values lie 2 steps of d cells each, so the kernel spans (k - 1) · d + 1 cells, not k · d.": 6,
        "the dilation lengthens each of the k - 1 steps, not only one of them.": 4,
    }
    expect(field(DILATED), 5, "a 3 × 3 kernel with d = 2 sees 5 pixels, not {found:g}.", mistakes)
    mistakes = {"dilation does not move the cells of the next layer apart; only the stride changes j.": 9}
    expect(field(DILATED, CONV), 7, "one with d = 2, then one with d = 1 see 5 + 2 = 7, not {found:g}.", mistakes)
    closing = "after a pooling d steps of j = 2 pixels count: 2 + 2 · 2 · 2 = 10, not {found:g}."
    expect(field(POOL, DILATED), 10, closing)
    expect(field(*VGG16_TO_POOL_3, *[CONV] * 3), 92, "E of stride 8 sees 92 pixels, not {found:g}.")


@exercise("3.3", "Batch norm by hand", difficulty=2, minutes=8, optional=True)
def batch_norm(answer: Answer) -> None:
    """an image depends on its batch: the first four keep a variance of 4 / (4 + 2.5²) = 0.39."""
    scales, shifts = torch.tensor([[1.0, 3.0, 0.5], [0.0, 10.0, -5.0]]).view(2, 3, 1, 1)
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * scales
    x = x + torch.arange(4.0).view(4, 1, 1, 1) + shifts
    made = answer(x.clone())
    require(isinstance(made, Tensor) and made.shape == x.shape, "return a tensor of the shape of x.")
    if (made.mean(dim=(2, 3)).abs() <= 1e-3).all():
        raise Hint("each image has a mean of 0 of its own. That is *instance* norm; average over the batch too.")
    if (made.mean(dim=0).abs() <= 1e-3).all():
        raise Hint("each position has a mean of its own. A channel has one mean: average over height and width too.")
    channels = made.mean(dim=(0, 2, 3)).abs()
    if (channels > 0.2).any() and abs(float(made.mean())) < 1e-3:
        raise Hint("the channels share one mean. Each needs its own: do not average over the channel dimension.")
    require((channels < 1e-4).all(), "each channel should have mean 0 over batch, height and width.")
    centred = x - x.mean(dim=(0, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(0, 2, 3), keepdim=True)
    if torch.allclose(made.abs(), (centred / variance).abs(), rtol=1e-3, atol=1e-4):
        raise Hint("divide by the standard deviation, the root of the variance, not by the variance.")
    small = float(answer(torch.tensor([-1e-3, 1e-3]).view(2, 1, 1, 1), 1e-2).abs().max())  # variance 1e-6
    if same(small, 1e-3 / (1e-6**0.5 + 1e-2)):
        raise Hint("ε belongs under the root: the root of the variance, plus ε, is another number.")
    require(small < 0.5, "ε is left out: a channel with zero variance would be divided by zero.")
    if same(float(answer(torch.tensor([0.0, 2.0]).view(2, 1, 1, 1)).abs().max()), 0.5**0.5, atol=1e-3):
        raise Hint("0 and 2 have variance 1 here: take the mean of the squares, dividing by n and not by n - 1.")
    right = centred / (variance + 1e-5).sqrt()
    with_half = centred / (variance + 0.5).sqrt()
    expect(answer(x.clone(), 0.5), with_half, "right for ε = 0.00001, but not for 0.5: use the ε that is passed in.")
    expect(made, right, "each channel should have variance 1 over batch, height and width.")
