"""What looks only so far is seen tile by tile: the same result, up to rounding, in bounded memory.

Each tile is seen with as much of its surroundings as the layers reach. Tiles begin at multiples of the stride, so every
pooling and every up-sampling meets the pixels that it would meet in the whole image, and at the border of the image a
tile is padded as the image is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn

from sdcda_tutorial.networks import CrowdCounter, DensityEstimator, FeatureExtractor

Window = tuple[slice, slice]  # rows and columns


def put_together(
    see: Callable[[Window], Tensor], size: tuple[int, int], side: int, margin: int, scale: int = 1
) -> Tensor:
    """The whole map, (B, C, H / scale, W / scale), of which `see` gives what it finds in a window of the input.

    Args:
        see: window of the input -> (B, C, h / scale, w / scale).
        size: (H, W) of the input, multiples of `scale`.
        side: of a tile; a multiple of `scale`, as is `margin`.
        margin: how far beyond a tile `see` has to look.
    """
    whole = torch.empty(0)
    for tile, seen, tile_in_seen in tiles(size, side, margin):
        found = see(seen)
        if not len(whole):
            shape = (*found.shape[:2], size[0] // scale, size[1] // scale)
            whole = torch.empty(
                shape, dtype=found.dtype, device=found.device, memory_format=torch.channels_last
            )  # as convolutions are fast
        whole[(..., *_shrunk(tile, scale))] = found[(..., *_shrunk(tile_in_seen, scale))]
    return whole


def tiles(size: tuple[int, int], side: int, margin: int) -> Iterator[tuple[Window, Window, Window]]:
    """Squares that cover a map of `size`: the tile, what is seen of the image for it, where in that the tile lies."""
    height, width = size
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            above, before = min(margin, top), min(margin, left)  # nothing lies beyond the border of the image
            yield (
                (slice(top, bottom), slice(left, right)),
                (slice(top - above, bottom + margin), slice(left - before, right + margin)),
                (slice(above, above + bottom - top), slice(before, before + right - left)),
            )


def is_as_written(network: nn.Module) -> TypeGuard[CrowdCounter]:
    """Whether a network is a `CrowdCounter` whose parts do what their classes say, and only that.

    A subclass may have a `local` and a C of its own if it also says the `local_stride`, as SFCN does. With another
    `forward`, nobody knows which layers it looks at. Nor with hooks, or with functions in the place of methods.
    """
    if not isinstance(network, CrowdCounter) or type(network).forward is not CrowdCounter.forward:
        return False
    kind = type(network)
    if kind is CrowdCounter or "local_stride" not in vars(kind):
        ours = kind.local is CrowdCounter.local and kind.together is CrowdCounter.together
        if not ours or type(network.C) is not DensityEstimator:
            return False
    return type(network.E) is FeatureExtractor and not any(map(_is_changed, network.modules()))


def _is_changed(module: nn.Module) -> bool:
    """Whether a call of a module does something else than the `forward` of its class."""
    replaced = [vars(module)[name] for name in ("forward", "local", "together") if name in vars(module)]
    hooks = module._forward_hooks or module._forward_pre_hooks
    return bool(hooks) or not all(getattr(one, "same_without_gradient", False) for one in replaced)


def is_local(network: nn.Module) -> TypeGuard[CrowdCounter]:
    """Whether tiles give a network's whole map: a `CrowdCounter` of layers whose reach is known, and of no others."""
    return is_as_written(network) and all(map(is_known, _layers_of(network)))


def _layers_of(counter: CrowdCounter) -> list[nn.Module]:
    """The layers of what is local in a counter, in the order of its `forward`."""
    C = counter.C
    if type(C) is not DensityEstimator:  # its class says what of it is local
        return [*counter.E.features, *C.layers()]  # type: ignore[operator]
    steps = [[*step] if type(step) is nn.Sequential else [step] for step in (*C.convolutions, C.head)]
    head = steps.pop()
    layers = [*counter.E.features, *(layer for step in steps for layer in (*step, C.upsample))]
    return [*layers[:-1], *head, C.upsample] if C.refine is None else [*layers, *C.refine, *head]


def is_known(layer: nn.Module) -> bool:
    """Whether `needed_before` knows how far a layer looks, and it looks no further."""
    if type(layer) is nn.Conv2d:
        same = tuple(side // 2 * step for side, step in zip(layer.kernel_size, layer.dilation, strict=True))
        zeros = layer.padding == same and layer.padding_mode == "zeros"
        return zeros and layer.stride == (1, 1) and len({*layer.kernel_size}) == len({*layer.dilation}) == 1
    if type(layer) is nn.MaxPool2d:
        return (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode) == (2, 2, 0, False)
    if type(layer) is nn.BatchNorm2d:
        return layer.running_mean is not None  # else its statistics are the image's
    if type(layer) is nn.Upsample:
        return layer.scale_factor == 2 and layer.mode == "bilinear" and not layer.align_corners
    return type(layer) in (nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout2d)


def reach(counter: CrowdCounter) -> int:
    """How many pixels beyond a tile its part of `counter.local` depends on, rounded up to a multiple of the stride."""
    return math.ceil(needed_before(_layers_of(counter)) / counter.E.stride) * counter.E.stride


def needed_before(layers: Iterable[nn.Module], pixels: int = 0) -> int:
    """How many extra pixels the input needs on each side so that `pixels` extra pixels of the output are right.

    From the last layer back to the first: a convolution adds half its kernel; an up-sampling by 2 reads one pixel to
    either side of the half-sized tile; pooling doubles.
    """
    for layer in reversed(list(layers)):
        if isinstance(layer, nn.MaxPool2d):
            pixels *= 2
        elif isinstance(layer, nn.Upsample):
            pixels = pixels // 2 + 1
        elif isinstance(layer, nn.Conv2d):
            pixels += layer.kernel_size[0] // 2 * layer.dilation[0]
    return pixels


def _shrunk(window: Window, scale: int) -> Window:
    rows, columns = (slice(edge.start // scale, edge.stop // scale) for edge in window)
    return rows, columns
