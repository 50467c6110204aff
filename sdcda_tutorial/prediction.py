"""Density maps of images of any size, in bounded memory.

E and C are local: a pixel of the map depends on the image as far as their receptive field reaches and no further. So a
large image is seen tile by tile, each with that much of its surroundings, and the map is that of the whole image up to
rounding: tiles begin at multiples of the stride, so every pooling and every up-sampling meets the pixels that it would
meet there, and at the border of the image a tile is padded as the image is.

A counter that is not local throughout (SFCN) splits itself: `local` runs tile by tile, `together` once on what came of
all tiles. S is not local either, because of its pyramid pooling: see `training.mask_model.crowd_probability`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from sdcda_tutorial.networks import CrowdCounter, image_batch, pad_to_multiple
from sdcda_tutorial.pixels import as_rgb

PASS_PIXELS = 2**21  # what is seen in one pass: 1080 × 1920, an image of GCC, is just below

Window = tuple[slice, slice]  # rows and columns


@torch.no_grad()  # inference_mode would give a map that nobody may change or differentiate through
def predict_density(model: nn.Module, image: object, pass_pixels: int = PASS_PIXELS) -> Tensor:
    """Density map of one image: (H, W) float32 on the CPU, people per pixel; its sum is the count.

    Args:
        model: maps images (1, 3, H, W) in [0, 1] to people per pixel (1, 1, H, W), such as `CrowdCounter`.
        image: (H, W, 3) uint8 RGB, or what `as_rgb` takes. A `CrowdCounter` sees one of more than `pass_pixels` in
            tiles; how far another network looks is not known, so it sees everything at once.
        pass_pixels: at most so many pixels in one pass, surroundings included.
    """
    image = as_rgb(image)
    device = next(model.parameters(), torch.empty(0)).device
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # batch norm and dropout must not depend on this one image
    try:
        if isinstance(model, CrowdCounter) and image.shape[0] * image.shape[1] > pass_pixels:
            return _in_tiles(model, image, pass_pixels)
        return torch.empty(image.shape[:2]).copy_(model(image_batch(image[None]).to(device))[0, 0])
    finally:
        for module, training in modes:  # one by one: a part may be frozen in a model that trains
            module.training = training


def _in_tiles(counter: CrowdCounter, image: np.ndarray, pass_pixels: int) -> Tensor:
    """As `predict_density`: what is local in the counter sees tiles, the rest sees what came of it all together."""
    stride, scale, device = counter.E.stride, counter.local_stride, counter.E.mean.device
    height, width = image.shape[:2]
    padded = height + -height % stride, width + -width % stride
    margin = reach(counter)
    side = max(1, (math.isqrt(pass_pixels) - 2 * margin) // stride) * stride
    local = torch.empty(0)
    for tile, seen, tile_in_seen in tiles(padded, side, margin):
        found = counter.local(pad_to_multiple(image_batch(image[seen][None]).to(device), stride))  # (1, C, h, w)
        if not len(local):
            local = torch.empty(1, found.shape[1], padded[0] // scale, padded[1] // scale)
        local[(..., *_shrunk(tile, scale))] = found[(..., *_shrunk(tile_in_seen, scale))]
    density = counter.together(local.to(device) if scale > 1 else local)[0, 0, :height, :width]
    return density.float().cpu().div_(counter.label_factor)


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


def reach(counter: CrowdCounter) -> int:
    """How many pixels beyond a tile its part of `counter.local` depends on, rounded up to a multiple of the stride."""
    layers = [*counter.E.features, *counter.C.layers()]
    return math.ceil(needed_before(layers) / counter.E.stride) * counter.E.stride


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
