"""Demo of notebook 05: what adaptive pooling into a grid keeps of a feature map, and what it spreads over the image."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial.teaching.demos import explore, slider


def render_pyramid(images: Sequence[np.ndarray], features: Tensor, scene: int, channel: int, grid: int) -> Figure:
    """An image, one channel of its features, the channel averaged over a grid, and that stretched back.

    Args:
        images: (H, W, 3) uint8.
        features: (N, C, h, w) f of these images.
        scene, channel: index of each.
        grid: cells along a side.
    """
    f = features[scene : scene + 1, channel : channel + 1]
    pooled = F.adaptive_avg_pool2d(f, grid)
    spread = F.interpolate(pooled, size=f.shape[-2:], mode="bilinear", align_corners=False)
    figure, axes = plt.subplots(1, 4, figsize=(10, 2.3), layout="constrained")
    axes[0].imshow(images[scene])
    axes[0].set_title("image")
    brightest = max(float(f.max()), 1e-6)  # a channel may be silent
    height, width = f.shape[-2:]
    titles = (f"channel {channel} of f", f"averaged over {grid} × {grid}", "stretched back")
    for axis, values, title in zip(axes[1:], (f, pooled, spread), titles, strict=True):
        drawn = axis.imshow(
            values[0, 0].numpy(), cmap="cividis", vmin=0, vmax=brightest, extent=(0, width, height, 0), aspect="equal"
        )
        axis.set_title(title)
    figure.colorbar(drawn, ax=axes[3], label="value of f", shrink=0.8)
    for axis in axes:
        axis.set_axis_off()
    return figure


def pyramid(images: Sequence[np.ndarray], features: Tensor) -> ipywidgets.VBox:
    """Choose an image, a channel and the grid."""
    controls = {
        "scene": slider("image", 0, 0, len(images) - 1, 1),
        "channel": slider("channel", 0, 0, features.shape[1] - 1, 1),
        "grid": slider("grid, cells a side", 3, 1, 12, 1),
    }
    return explore(render_pyramid, controls, {"images": images, "features": features})
