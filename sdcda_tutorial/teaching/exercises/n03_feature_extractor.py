"""Exercises of notebook 03: the size of f, how far it sees, and what batch norm does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdcda_tutorial.teaching.exercises import exercise, require

CONV, POOL = (3, 1), (2, 2)  # kernel, stride
VGG16_STRIDE_8 = [CONV] * 2 + [POOL] + [CONV] * 2 + [POOL] + [CONV] * 3 + [POOL] + [CONV] * 3


@exercise(
    "3.1",
    "How large is f?",
    difficulty=1,
    minutes=4,
    praise="the side divided by the stride, rounded up, since padding makes it fit.",
)
def feature_size(answer: Callable[..., tuple[int, int]]) -> None:
    def size(height: int, width: int, stride: int) -> tuple[int, int]:
        made = answer(height, width, stride)
        require(isinstance(made, tuple | list) and len(made) == 2, "give two numbers, (height, width) of f.")
        rows, columns = made
        require(rows == int(rows) and columns == int(columns), f"f has whole cells, not {rows} × {columns}.")
        return int(rows), int(columns)

    even = size(192, 256, 8)
    require(even != (32, 24), "height comes first, then width, as in a tensor.")
    require(even == (24, 32), f"192 × 256 at stride 8 fits without padding and gives 24 × 32 cells, not {even}.")
    odd = size(50, 70, 16)
    require(odd != (3, 4), "50 is not 3 × 16: what is left over is padded to one more cell, and not dropped. Round up.")
    require(odd == (4, 5), f"50 × 70 at stride 16 is padded to 64 × 80 and gives 4 × 5 cells, not {odd}.")
    require(size(64, 80, 16) == (4, 5), "a side that fits needs no more cells: 64 × 80 at stride 16 gives 4 × 5.")


@exercise(
    "3.2",
    "The receptive field",
    difficulty=2,
    minutes=8,
    praise="the strides before a layer decide how far its kernel reaches in the image.",
)
def receptive_field(answer: Callable[[list[tuple[int, int]]], int]) -> None:
    def field(layers: list[tuple[int, int]]) -> float:
        made: Any = answer(list(layers))
        require(isinstance(made, int | float), "give one number, the side of the field in pixels.")
        return float(made)

    require(field([]) == 1, "before any layer a pixel sees itself: 1.")
    one, two = field([CONV]), field([CONV, CONV])
    require((one, two) != (2, 4), "the field begins with 1, the pixel itself; then each layer adds to it.")
    require((one, two) != (3, 9), "fields add up, they do not multiply: two 3 × 3 convolutions see 5 pixels, not 9.")
    require(
        (one, two) != (3, 6), "a k × k kernel reaches k - 1 pixels further than one that sees a single pixel, not k."
    )
    require((one, two) == (3, 5), f"one 3 × 3 convolution sees 3 pixels and two see 5, not {one:g} and {two:g}.")
    pooled = field([POOL, CONV])
    require(
        pooled != 4,
        "after a pooling neighbouring cells lie 2 pixels apart: multiply what a kernel adds by the strides before it.",
    )
    require(
        field([POOL]) != 3,
        "a layer's own stride counts from the next layer on: a 2 × 2 pooling by itself sees 2 pixels. Change j last.",
    )
    require(pooled == 6, f"a 2 × 2 pooling and then a 3 × 3 convolution see 2 + 2 · 2 = 6 pixels, not {pooled:g}.")
    deep = field([POOL, POOL, CONV])
    require(
        deep != 8,
        "j is the product of *all* strides before the layer, not only of the last one.",
    )
    require(deep == 12, f"two poolings and a convolution see 12 pixels, not {deep:g}.")
    require(field(VGG16_STRIDE_8) == 92, f"the table's layers see 92 pixels, not {field(VGG16_STRIDE_8):g}.")


@exercise(
    "3.3",
    "Batch norm by hand",
    difficulty=2,
    minutes=8,
    praise="mean and variance run over the batch and all positions, so each image depends on its neighbours.",
)
def batch_norm(answer: Callable[..., Tensor]) -> None:
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 3.0, 0.5]).view(
        3, 1, 1
    )
    x = x + torch.arange(4.0).view(4, 1, 1, 1) + torch.tensor([0.0, 10.0, -5.0]).view(3, 1, 1)
    made = answer(x.clone())
    require(isinstance(made, Tensor) and made.shape == x.shape, "give a tensor of the shape of x.")
    centred = (x - x.mean(dim=(0, 2, 3), keepdim=True)).abs()
    require(
        (made.mean(dim=(2, 3)).abs() > 1e-3).any(),
        "every image came out with mean 0 of its own. That is *instance* norm; here the mean runs over the batch too.",
    )
    require(
        not ((made.mean(dim=(0, 2, 3)).abs() > 0.2).any() and abs(float(made.mean())) < 1e-3),
        "the channels share one mean. Each channel has its own; leave its dimension out.",
    )
    require(
        (made.mean(dim=(0, 2, 3)).abs() < 1e-4).all(), "each channel should have mean 0 over batch, height and width."
    )
    deviation = centred.square().mean(dim=(0, 2, 3), keepdim=True).sqrt()
    require(
        not torch.allclose(made.abs(), centred / deviation.square(), rtol=1e-3, atol=1e-4),
        "divide by the deviation, the root of the variance, not by the variance.",
    )
    tiny = torch.tensor([-1e-3, 1e-3]).view(2, 1, 1, 1)  # variance 1e-6
    small = float(answer(tiny.clone(), 1e-2).abs().max())
    require(
        abs(small - 1e-3 / (1e-6**0.5 + 1e-2)) > 1e-4,
        "ε stands under the root, beside the variance: the root of the variance plus ε is another number.",
    )
    require(small < 0.5, "ε is left out: a channel without variance would be divided by zero.")
    unbiased = float(answer(torch.tensor([0.0, 2.0]).view(2, 1, 1, 1)).abs().max())
    require(
        abs(unbiased - 0.5**0.5) > 1e-3,
        "0 and 2 have variance 1 here: the plain mean of the squared distances, dividing by n and not by n - 1.",
    )
    require(
        torch.allclose(made, (x - x.mean(dim=(0, 2, 3), keepdim=True)) / (deviation.square() + 1e-5).sqrt(), atol=1e-4),
        "each channel should have variance 1 over batch, height and width.",
    )
