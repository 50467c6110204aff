"""S, the semantic extractor: ẑ = S(f; θs), Eq. 2. The pyramid pooling module of PSPNet, slightly modified."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SemanticExtractor(nn.Module):
    """Averages f over grids of four scales, so that each position knows its surroundings, and predicts the crowd mask.

    Args:
        channels: channels of f.
        stride: stride of f; the logits are up-sampled by it.
        bins: the grids, PSPNet's 1, 2, 3, 6 (the authors' later code: 1, 2, 4, 6).

    Shapes:
        f: (B, channels, H / stride, W / stride); while training B > 1, since the 1×1 grid's batch norm
            cannot estimate a variance from one value.
        logits: (B, 1, H, W); ẑ = sigmoid(logits) is the probability of crowd.
    """

    def __init__(self, channels: int, stride: int, bins: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.stride, self.bins = stride, bins
        part = max(1, channels // len(bins))
        self.pyramid = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, part, 1, bias=False), nn.BatchNorm2d(part), nn.ReLU(inplace=True))
            for _ in bins
        )
        fused = max(1, channels // 2)
        self.fuse = nn.Sequential(
            nn.Conv2d(channels + part * len(bins), fused, 3, padding=1, bias=False),
            nn.BatchNorm2d(fused),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.1),
            nn.Conv2d(fused, 1, 1),
        )

    def forward(self, f: Tensor) -> Tensor:
        if self.training and len(f) < 2:
            raise ValueError("S needs at least 2 images a batch while training: the batch norm of its 1×1 pooling")
        size = f.shape[-2:]
        levels = [f]
        for grid, project in zip(self.bins, self.pyramid, strict=True):
            pooled = project(F.adaptive_avg_pool2d(f, grid))  # (B, C / 4, grid, grid)
            levels.append(F.interpolate(pooled, size=size, mode="bilinear", align_corners=False))
        logits = self.fuse(torch.cat(levels, dim=1))  # (B, 1, H / stride, W / stride)
        return F.interpolate(logits, scale_factor=self.stride, mode="bilinear", align_corners=False)
