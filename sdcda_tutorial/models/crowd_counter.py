"""The crowd counter, E followed by C: what is left, and deployed, when the adaptation is done."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sdcda_tutorial.models.density_estimator import DensityEstimator
from sdcda_tutorial.models.feature_extractor import FeatureExtractor


class CrowdCounter(nn.Module):
    """ŷ = C(E(x)).

    Inside the network densities are multiplied by `label_factor`: one head spreads over hundreds of pixels, and a
    target of a few thousandths makes gradients too small to learn from. Outside nobody sees the factor: the map that
    calling the model returns is in people per pixel, and its sum is the predicted count.

    Args:
        stride, width: see `FeatureExtractor`.
        kernels: see `DensityEstimator`.
        label_factor: 100 in the paper preset, 10 in mini.
    """

    def __init__(
        self, stride: int = 16, width: float = 1.0, kernels: str = "paper", label_factor: float = 100.0
    ) -> None:
        super().__init__()
        self.architecture: dict[str, Any] = dict(stride=stride, width=width, kernels=kernels, label_factor=label_factor)
        self.label_factor = label_factor
        self.E = FeatureExtractor(stride, width)
        self.C = DensityEstimator(self.E.channels, stride, kernels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] of any size -> (B, 1, H, W) people per pixel.

        Sides that are no multiples of the stride are padded by repeating the border and the map is cropped back.
        """
        height, width = x.shape[-2:]
        bottom, right = -height % self.E.stride, -width % self.E.stride
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        return self.C(self.E(x))[..., :height, :width].float() / self.label_factor
