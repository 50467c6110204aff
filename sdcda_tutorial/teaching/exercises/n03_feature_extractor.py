"""Exercises of notebook 03: the size of f, its receptive field, and what batch norm does."""

from __future__ import annotations

import torch
from torch import Tensor

from sdcda_tutorial.teaching.exercises import Answer, Hint, Mistakes, exercise, expect, pair, require, rule_out, same

CONV, POOL = (3, 1), (2, 2)  # kernel, stride
VGG16_STRIDE_8 = [CONV] * 2 + [POOL] + [CONV] * 2 + [POOL] + [CONV] * 3 + [POOL] + [CONV] * 3


@exercise("3.1", "How large is f?", difficulty=1, minutes=4)
def feature_size(answer: Answer) -> None:
    """the side divided by the stride, rounded up, since padding makes it fit."""

    def size(height: int, width: int, stride: int) -> tuple[int, int]:
        rows, columns = pair(answer(height, width, stride), "height, width")
        require(rows == int(rows) and columns == int(columns), f"f has whole cells, not {rows} × {columns}.")
        return int(rows), int(columns)

    mistakes = {"height comes first, then width, as in a tensor.": (32, 24)}
    expect(size(192, 256, 8), (24, 32), "192 × 256 fits without padding: 24 × 32 cells, not {found}.", mistakes)
    mistakes = {"50 is not 3 × 16: the remainder is padded to one more cell, not dropped. Round up.": (3, 4)}
    expect(size(50, 70, 16), (4, 5), "50 × 70 is padded to 64 × 80: 4 × 5 cells, not {found}.", mistakes)
    expect(size(64, 80, 16), (4, 5), "a side that fits needs no more cells: 64 × 80 at stride 16 gives 4 × 5.")


@exercise("3.2", "The receptive field", difficulty=2, minutes=8)
def receptive_field(answer: Answer) -> None:
    """the strides before a layer decide how far its kernel reaches in the image."""

    def field(*layers: tuple[int, int]) -> float:
        made = answer(list(layers))
        require(isinstance(made, int | float), "return one number, the side of the field in pixels.")
        return float(made)

    require(field() == 1, "before any layer a pixel sees itself: 1.")
    mistakes: Mistakes = {
        "the field begins with 1, the pixel itself; then each layer adds to it.": (2, 4),
        "fields add up, they do not multiply: two 3 × 3 convolutions see 5 pixels, not 9.": (3, 9),
        "a k × k kernel reaches k - 1 pixels further than a single pixel, not k.": (3, 6),
    }
    closing = "one 3 × 3 convolution sees 3 pixels and two see 5, not {found[0]:g} and {found[1]:g}."
    expect((field(CONV), field(CONV, CONV)), (3, 5), closing, mistakes)
    pooled = field(POOL, CONV)
    rule_out(pooled, {"after a pooling neighbouring cells lie 2 pixels apart: multiply by the strides before.": 4})
    rule_out(field(POOL), {"a layer's own stride counts from the next layer on: a pooling sees 2. Change j last.": 3})
    expect(pooled, 6, "a 2 × 2 pooling and then a 3 × 3 convolution see 2 + 2 · 2 = 6 pixels, not {found:g}.")
    mistakes = {"j is the product of *all* strides before the layer, not only of the last one.": 8}
    expect(field(POOL, POOL, CONV), 12, "two poolings and a convolution see 12 pixels, not {found:g}.", mistakes)
    expect(field(*VGG16_STRIDE_8), 92, "the layers in the table see 92 pixels, not {found:g}.")


@exercise("3.3", "Batch norm by hand", difficulty=2, minutes=8)
def batch_norm(answer: Answer) -> None:
    """mean and variance run over the batch and all positions, so each image depends on its neighbours."""
    scales, shifts = torch.tensor([[1.0, 3.0, 0.5], [0.0, 10.0, -5.0]]).view(2, 3, 1, 1)
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * scales
    x = x + torch.arange(4.0).view(4, 1, 1, 1) + shifts
    made = answer(x.clone())
    require(isinstance(made, Tensor) and made.shape == x.shape, "return a tensor of the shape of x.")
    if (made.mean(dim=(2, 3)).abs() <= 1e-3).all():
        raise Hint("each image has a mean of 0 of its own. That is *instance* norm; average over the batch too.")
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
    expect(made, right, "each channel should have variance 1 over batch, height and width.")
