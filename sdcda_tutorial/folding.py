"""A counter that only predicts: the same map, up to rounding, in less time and from a fraction of the memory.

In evaluation mode batch norm is a factor and a shift for each channel, and both can be part of the convolution before
it. And the first blocks of E, which leave hundreds of megabytes behind each layer, look two or three pixels far: tile
by tile, what passes between their layers stays near the processor.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from itertools import pairwise
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.tiling import is_as_written, is_known, needed_before, put_together

# What one layer leaves of a tile. The C library gives larger pieces of memory back to the system when they are freed
# and gets them anew, page by page, for the next layer; that takes longer than the batch norm did.
TILE_BYTES = 2**23
# A tile is so many times as long as its margin, even if it leaves more then: margins, seen twice, cost at most 6 %.
LEAST_MARGINS = 64

_MODES = threading.RLock()  # held while a network is not in its own mode
M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def folded(model: M) -> M:
    """A copy of a `CrowdCounter`, in evaluation mode, whose convolutions do what their batch norms did.

    Its map differs from the counter's by rounding, about 1e-6 of the largest value. It is a snapshot: the counter stays
    as it is, in its mode, and may go on learning, of which the copy knows nothing.

    What is folded already is returned itself, and so is what might not give the same map: see `tiling.is_as_written`.
    """
    if not _can_be_folded(model):
        return model
    counter = deepcopy(model).eval()  # only what is in evaluation mode can be fused
    for layers in [module for module in counter.modules() if type(module) is nn.Sequential]:  # in one after the other
        for index, (convolution, norm) in enumerate(pairwise(list(layers)), start=1):
            if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
                layers[index - 1] = fuse_conv_bn_eval(convolution, norm)
                layers[index] = nn.Identity()  # the others keep their numbers, which are their names
    counter.E.features = Blocks(*counter.E.features)
    return counter.eval()  # type: ignore[return-value]  # what is new, too


def _can_be_folded(counter: nn.Module) -> TypeGuard[CrowdCounter]:
    """Whether it is as written, and its batch norms have statistics to fold and are not folded yet."""
    if not is_as_written(counter):
        return False
    norms = [module for module in counter.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if type(counter.E.features) is not nn.Sequential or any(norm.running_mean is None for norm in norms):
        return False
    return all(is_known(layer) and not isinstance(layer, nn.Upsample) for layer in counter.E.features)


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Batch norm and dropout must not depend on the images that are only looked at. Each part gets its mode back: one
    may be frozen in a network that trains. Threads that share such a network take turns."""
    with ExitStack() as stack:
        stack.enter_context(_MODES)
        training = [module for module in network.modules() if module.training]
        if not training:
            stack.close()
        for module in training:  # not by `eval()`, which an exported program lacks
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True


class Blocks(nn.Sequential):
    """The layers of E, which give what a `Sequential` of them gives, but on a CPU see each of VGG's blocks in tiles."""

    def forward(self, x: Tensor) -> Tensor:
        for block in self._blocks():
            x = _in_tiles(block, x) if x.device.type == "cpu" else block(x)
        return x

    def _blocks(self) -> Iterator[nn.Sequential]:
        layers = list(self)
        ends = [i for i, layer in enumerate(layers, start=1) if isinstance(layer, nn.MaxPool2d) or i == len(layers)]
        for first, end in pairwise([0, *ends]):
            yield nn.Sequential(*layers[first:end])


def _in_tiles(block: nn.Sequential, x: Tensor) -> Tensor:
    """`block(x)`, (B, C, H, W) -> (B, C', H, W), or half of H and W, both even, behind a pooling."""
    size = (x.shape[-2], x.shape[-1])
    channels = max(layer.out_channels for layer in block if isinstance(layer, nn.Conv2d))
    margin = 2 * math.ceil(needed_before(block) / 2)
    side = math.isqrt(TILE_BYTES // (len(x) * channels * x.element_size()))
    side = max(side, LEAST_MARGINS * margin)
    if size[0] * size[1] <= side**2:
        return block(x)  # type: ignore[no-any-return]
    scale = 2 if isinstance(block[-1], nn.MaxPool2d) else 1
    return put_together(lambda seen: block(x[(..., *seen)]), size, max(2, side // 2 * 2 - 2 * margin), margin, scale)
