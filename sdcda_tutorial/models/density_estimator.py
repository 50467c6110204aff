"""C, the density estimator: ŷ = C(f; θc), Eq. 4."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class DensityEstimator(nn.Module):
    """Convolutions, each followed by an up-sampling by 2, until the map has the size of the image.

    Args:
        channels: channels of f.
        stride: stride of f; log2(stride) up-samplings lead back to the image.
        kernels: "paper" has 3×3 kernels throughout, as the paper's text says; "authors" the kernels of the authors'
            later code: 1, 9, 7, 5 and one more 3×3 at the full resolution.

    Shapes:
        f: (B, channels, H / stride, W / stride)
        ŷ: (B, 1, H, W), never negative, in people per pixel times the label factor (see `CrowdCounter`).
    """

    def __init__(self, channels: int, stride: int, kernels: str = "paper") -> None:
        super().__init__()
        if kernels not in ("paper", "authors"):
            raise ValueError(f'kernels is "paper" or "authors", not {kernels!r}')
        steps = int(math.log2(stride))
        widths = [max(1, channels >> i) for i in range(steps + 1)]  # 512, 256, 128, 64, 32
        sizes = [3] * steps if kernels == "paper" else [1, 9, 7, 5][:steps]
        self.convolutions = nn.ModuleList(
            _convolution(i, o, k) for i, o, k in zip(widths[:-1], widths[1:], sizes, strict=True)
        )
        self.refine = _convolution(widths[-1], widths[-1], 3) if kernels == "authors" else None
        self.head = nn.Conv2d(widths[-1], 1, 1)
        # A density is almost zero almost everywhere. Starting there, a little above the kink of the ReLU, keeps
        # the decoder alive: with a larger random start it can learn to output zeros for ever.
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(self.head.bias, 0.02)  # type: ignore[arg-type]

    def forward(self, f: Tensor) -> Tensor:
        *first, last = self.convolutions
        for convolution in first:
            f = _double(convolution(f))
        f = last(f)
        if self.refine is None:
            # A 1×1 convolution and a bilinear up-sampling commute (both are weighted sums, and the weights of the
            # latter add up to 1), so the last up-sampling is done on one channel instead of on all.
            return torch.relu(_double(self.head(f)))
        return torch.relu(self.head(self.refine(_double(f))))
