"""Demo of notebook 05: adaptive pooling of a feature map into a grid."""

from collections.abc import Sequence

import ipywidgets
import numpy as np
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial.evaluation.colours import FEATURES
from sdcda_tutorial.evaluation.pictures import row
from sdcda_tutorial.teaching.demos import explore, slider


def render_pyramid(images: Sequence[np.ndarray], features: Tensor, scene: int, channel: int, grid: int) -> Figure:
    """An image, one channel of its features (N, C, h, w), its average over a grid × grid, and that stretched back."""
    f = features[scene : scene + 1, channel : channel + 1]
    pooled = F.adaptive_avg_pool2d(f, grid)
    spread = F.interpolate(pooled, size=f.shape[-2:], mode="bilinear", align_corners=False)
    pictures = {
        "image": images[scene],
        f"channel {channel} of f": f[0, 0],
        f"averaged over {grid} × {grid}": pooled[0, 0],
        "stretched back": spread[0, 0],
    }
    height, width = f.shape[-2:]  # all four get the same shape on the page
    brightest = max(float(f.max()), 1e-6)  # a channel may be zero everywhere
    figure = row(pictures, height=2.3, brightest=brightest, cmap=FEATURES, extent=(0, width, height, 0))
    figure.colorbar(figure.axes[3].images[0], ax=figure.axes[3], label="value of f", shrink=0.8)
    return figure


def pyramid(images: Sequence[np.ndarray], features: Tensor) -> ipywidgets.VBox:
    controls = {
        "scene": slider("image", 0, 0, len(images) - 1, 1),
        "channel": slider("channel", 0, 0, features.shape[1] - 1, 1),
        "grid": slider("grid, cells a side", 3, 1, 12, 1),
    }
    return explore(render_pyramid, controls, {"images": images, "features": features})
