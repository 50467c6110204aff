"""Density maps of images of any size, in bounded memory.

E and C are local: a pixel of the map depends on the image as far as their receptive field reaches and no further. So a
large image is seen tile by tile, each with that much of its surroundings, and the map is that of the whole image up to
rounding; see `tiling`. From some hundred thousand pixels on, a counter is folded first, which pays; see `folding`.

A counter that is not local throughout (SFCN) splits itself: `local` runs tile by tile, `together` once on what came of
all tiles. S is not local either, because of its pyramid pooling: see `training.mask_model.crowd_probability`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.folding import folded, in_evaluation
from sdcda_tutorial.networks import CrowdCounter, batch_for, pad_to_multiple
from sdcda_tutorial.pixels import as_rgb
from sdcda_tutorial.tiling import Window, is_local, put_together, reach

PASS_PIXELS = 5 * 2**19  # what is seen in one pass: an image of GCC, 1080 × 1920, and a quarter more
FOLDED_PIXELS = 2**18  # from so many on, folding takes less time than it saves


@torch.no_grad()  # inference_mode would give a map that nobody may change or differentiate through
def predict_density(model: nn.Module, image: object, pass_pixels: int = PASS_PIXELS) -> Tensor:
    """Density map of one image: (H, W) float32 on the CPU, people per pixel; its sum is the count.

    Args:
        model: maps images (1, 3, H, W) in [0, 1] to people per pixel (1, 1, H, W), such as `CrowdCounter`. For many
            images give `folded(counter)`: else each large image folds it anew, as its weights may have changed.
        image: (H, W, 3) uint8 RGB, or what `as_rgb` takes. A `CrowdCounter` sees one of more than `pass_pixels` in
            tiles; how far another network looks is not known, so it sees everything at once.
        pass_pixels: at most so many pixels in one pass, surroundings included.
    Raises:
        InputError: an image that is not clear, or a map of another shape.
    """
    image = as_rgb(image)
    pixels = image.shape[0] * image.shape[1]
    if pixels >= FOLDED_PIXELS:
        model = folded(model)
    with in_evaluation(model):
        if pixels > pass_pixels and is_local(model):
            return _in_tiles(model, image, pass_pixels)
        density = model(batch_for(model, image))
    if not isinstance(density, Tensor) or density.is_complex() or density.shape != (1, 1, *image.shape[:2]):
        found = (*density.shape,) if isinstance(density, Tensor) else f"a {type(density).__name__}"
        raise InputError(f"the network must give {(1, 1, *image.shape[:2])}, people per pixel, not {found}")
    return torch.empty(image.shape[:2], dtype=torch.float32).copy_(density[0, 0])


def _in_tiles(counter: CrowdCounter, image: np.ndarray, pass_pixels: int) -> Tensor:
    """As `predict_density`: what is local in the counter sees tiles, the rest sees what came of it all together."""
    stride, scale, device = counter.E.stride, counter.local_stride, counter.E.mean.device
    height, width = image.shape[:2]
    margin = reach(counter)
    side = max(1, (math.isqrt(pass_pixels) - 2 * margin) // stride) * stride

    def local(seen: Window) -> Tensor:
        x = pad_to_multiple(batch_for(counter, image[seen]), stride)
        return counter.local(x).float().cpu()  # (1, C, h, w)

    padded = height + -height % stride, width + -width % stride
    found = put_together(local, padded, side, margin, scale)
    density = counter.together(found.to(device) if scale > 1 else found)[0, 0, :height, :width]
    return density.float().cpu().div_(counter.label_factor)
