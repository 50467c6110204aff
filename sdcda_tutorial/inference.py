"""Density maps of images of any size, in bounded memory.

E and C are local: a pixel of the map depends on the image as far as their receptive field reaches and no further. So a
large image is seen tile by tile, each with that much of its surroundings, and the map is that of the whole image up to
rounding: tiles begin at multiples of the stride, so every pooling and every up-sampling meets the pixels that it would
meet there, and at the border of the image a tile is padded as the image is.

SFCN's spatial encoder is not local: of that counter, tiles give the features that it looks at, and it looks at all of
them at once. Nor is S, whose pyramid pooling does the same: see `training.segmentation.crowd_probability`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from sdcda_tutorial.models import CrowdCounter
from sdcda_tutorial.models.feature_extractor import image_batch
from sdcda_tutorial.models.sfcn import SFCN

PASS_PIXELS = 2**21  # what is seen in one pass: 1080 × 1920, an image of GCC, is just below

Window = tuple[slice, slice]  # rows and columns


@torch.no_grad()  # inference_mode would give a map that nobody may change or differentiate through
def predict_density(model: nn.Module, image: np.ndarray, pass_pixels: int = PASS_PIXELS) -> Tensor:
    """Density map of one (H, W, 3) uint8 image: (H, W) float32 on the CPU, people per pixel; its sum is the count.

    Args:
        model: maps images (1, 3, H, W) in [0, 1] to people per pixel (1, 1, H, W), such as `CrowdCounter`.
        image: of any size. A `CrowdCounter` sees one of more than `pass_pixels` in tiles; how far another network looks
            is not known, so it sees everything at once.
        pass_pixels: at most so many pixels in one pass, surroundings included.
    """
    device = next(model.parameters(), torch.empty(0)).device
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # batch norm and dropout must not depend on this one image
    density = torch.empty(image.shape[:2])
    side, margin = max(image.shape), 0
    if isinstance(model, CrowdCounter) and density.numel() > pass_pixels:
        margin = reach_of_features(model) if isinstance(model, SFCN) else reach(model)
        side = max(1, (math.isqrt(pass_pixels) - 2 * margin) // model.E.stride) * model.E.stride
    try:
        if isinstance(model, SFCN) and margin > 0:
            return _density_of_sfcn(model, image, side, margin)
        for tile, seen, tile_in_seen in tiles(density.shape, side, margin):
            density[tile] = model(image_batch(image[seen][None]).to(device))[0, 0][tile_in_seen]
        return density
    finally:
        for module, training in modes:  # one by one: a part may be frozen in a model that trains
            module.training = training


def tiles(size: tuple[int, ...], side: int, margin: int) -> Iterator[tuple[Window, Window, Window]]:
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


def _density_of_sfcn(model: SFCN, image: np.ndarray, side: int, margin: int) -> Tensor:
    """As `predict_density`: C's dilated convolutions see tiles, what follows sees their features all together."""
    height, width = image.shape[:2]
    stride, device = model.E.stride, model.E.mean.device
    image = np.pad(image, ((0, -height % stride), (0, -width % stride), (0, 0)), mode="edge")  # as the counter does
    rows: list[list[Tensor]] = []
    for tile, seen, tile_in_seen in tiles(image.shape[:2], side, margin):
        f = model.C.back_end(model.E(image_batch(image[seen][None]).to(device)))
        if tile[1].start == 0:
            rows.append([])
        down, across = (slice(edge.start // stride, edge.stop // stride) for edge in tile_in_seen)
        rows[-1].append(f[..., down, across])
    density = model.C.see_all(torch.cat([torch.cat(row, dim=3) for row in rows], dim=2))
    return density[0, 0, :height, :width].float().cpu() / model.label_factor


def reach(counter: CrowdCounter) -> int:
    """How many pixels beyond a tile its part of the map depends on, rounded up to a multiple of the stride.

    From the map back to the image, at each resolution in its own pixels: a convolution adds half its kernel; the
    up-sampling by 2 reads one pixel to either side of the half-sized tile; pooling doubles.
    """
    pixels = 0 if counter.C.refine is None else _half_kernel(counter.C.refine[0])
    for convolution in reversed(counter.C.convolutions):
        pixels = pixels // 2 + 1 + _half_kernel(convolution[0])  # type: ignore[index]
    pixels = needed_before(counter.E.features, pixels)
    return math.ceil(pixels / counter.E.stride) * counter.E.stride


def reach_of_features(counter: SFCN) -> int:
    """As `reach`, of the features that SFCN's spatial encoder looks at: its map depends on the whole image."""
    pixels = needed_before(counter.E.features, needed_before(counter.C.back_end, 0))
    return math.ceil(pixels / counter.E.stride) * counter.E.stride


def needed_before(layers: nn.Sequential, pixels: int) -> int:
    """So many pixels after the layers depend on how many before them."""
    for layer in reversed(layers):
        if isinstance(layer, nn.MaxPool2d):
            pixels *= 2
        elif isinstance(layer, nn.Conv2d):
            pixels += _half_kernel(layer)
    return pixels


def _half_kernel(convolution: nn.Module) -> int:
    assert isinstance(convolution, nn.Conv2d)
    return convolution.kernel_size[0] // 2 * convolution.dilation[0]
