"""SFCN, the other counter of Table 1 ("NoAdpt [16]"): the same E, a C that looks at the whole image.

Wang, Gao, Lin, Yuan, "Learning from Synthetic Data for Crowd Counting in the Wild", CVPR 2019, in its VGG form.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdcda_tutorial.networks import COUNTERS, CrowdCounter

STRIDE = 8  # conv4_3
_BACK_END = (512, 512, 512, 256, 128, 64)


class SpatialEncoder(nn.Module):
    """Four sweeps over the features, down, up, right and left, so that every position depends on every other.

    A sweep adds to each row the previous, already updated one after a 1×9 convolution and a ReLU. Down and up share a
    convolution, and so do right and left (9×1).

    Args:
        channels: channels of the features.
        kernel: size of the convolution, odd.

    Shapes:
        f: (B, channels, h, w), and the result likewise.
    """

    def __init__(self, channels: int, kernel: int = 9) -> None:
        super().__init__()
        # A row without its height is one-dimensional: 1×9 over the map is 9 over the row.
        self.over_rows = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.over_columns = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        for convolution in (self.over_rows, self.over_columns):
            # A sweep is as deep as the map is long: larger initial weights would grow with every row.
            nn.init.normal_(convolution.weight, std=0.01)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, f: Tensor) -> Tensor:
        for dim, convolution in ((2, self.over_rows), (3, self.over_columns)):
            for direction in (1, -1):
                slices = list(f.unbind(dim))  # rows (B, C, w) or columns (B, C, h)
                for before, here in pairwise(range(len(slices))[::direction]):
                    slices[here] = slices[here] + torch.relu(convolution(slices[before]))
                f = torch.stack(slices, dim)
        return f


class SpatialDensityEstimator(nn.Module):
    """C of SFCN: six dilated convolutions, the spatial encoder, a 1×1 convolution.

    Args:
        channels: channels of f; those of the six convolutions, given for 512, are in proportion.

    Shapes:
        f: (B, channels, H / 8, W / 8)
        ŷ: (B, 1, H, W), never negative, in people per pixel times the label factor (see `CrowdCounter`).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in [max(1, round(full * channels / 512)) for full in _BACK_END]:
            # Dilation instead of pooling: the receptive field grows, and the map stays fine.
            convolution = nn.Conv2d(channels, width, 3, padding=2, dilation=2)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            layers += [convolution, nn.ReLU(inplace=True)]
            channels = width
        self.back_end = nn.Sequential(*layers)
        self.spatial_encoder = SpatialEncoder(channels)
        self.head = nn.Conv2d(channels, 1, 1)
        nn.init.normal_(self.head.weight, std=0.01)  # as in `DensityEstimator`, and for the same reason
        nn.init.constant_(self.head.bias, 0.02)  # type: ignore[arg-type]

    def forward(self, f: Tensor) -> Tensor:
        return self.see_all(self.back_end(f))

    def layers(self) -> list[nn.Module]:
        """The layers of its local part, for `tiling.reach`."""
        return list(self.back_end)

    def see_all(self, f: Tensor) -> Tensor:
        """The part that is not local, on the output of `back_end`."""
        density = torch.relu(self.head(self.spatial_encoder(f)))
        return F.interpolate(density, scale_factor=STRIDE, mode="bilinear", align_corners=False)


class SFCN(CrowdCounter):
    """ŷ = C(E(x)) with E at stride 8 and SFCN's C: used and trained as any `CrowdCounter`, where its arguments are.

    [16] has VGG16 without batch norm. Ours has it, as in the paper's own counter: both begin with the same ImageNet
    weights and learn from random ones too. At stride 8 (presets mini and photos) they differ in C alone.
    """

    C: SpatialDensityEstimator  # type: ignore[assignment]  # another, with the same shapes
    local_stride = STRIDE

    def __init__(self, width: float = 1.0, label_factor: float = 100.0, stride: int = STRIDE) -> None:
        if stride != STRIDE:
            raise ValueError(f"SFCN has stride {STRIDE}, not {stride}")
        super().__init__(STRIDE, width, label_factor=label_factor)
        self.architecture["counter"] = "sfcn"
        self.C = SpatialDensityEstimator(self.E.channels)

    def local(self, x: Tensor) -> Tensor:
        """The features that the spatial encoder looks at, (B, C, H / 8, W / 8)."""
        return self.C.back_end(self.E(x))

    def together(self, local: Tensor) -> Tensor:
        return self.C.see_all(local)


COUNTERS["sfcn"] = SFCN
