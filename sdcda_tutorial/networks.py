"""The networks of Fig. 1, in the order of Eq. 1-4, and the counter C(E(x)), which is all that one deploys.

E extracts features f, S predicts the crowd mask ẑ, D tells the domains apart, C estimates the density ŷ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.pixels import checked

# VGG16 ("configuration D" of its paper): channels of each 3×3 convolution, M = 2×2 max pooling.
_BLOCKS: list[int | str] = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
_LAST_LAYER = {16: len(_BLOCKS), 8: _BLOCKS.index("M", 10)}  # conv5_3 or conv4_3

# What torchvision's weights were trained with; kept for random weights too, so that there is one normalisation.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def image_batch(images: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> x, (B, 3, H, W) float32 in [0, 1]; in memory channels-last, as convolutions are fast."""
    return torch.from_numpy(np.require(checked(images, 4), requirements="W")).permute(0, 3, 1, 2).float().div_(255)


def batch_for(network: nn.Module, image: np.ndarray) -> Tensor:
    """`image_batch` of one (H, W, 3) image, where the network's weights are; an InputError unless they are float32."""
    weights = next(network.parameters(), torch.empty(0))
    if weights.dtype != torch.float32:
        raise InputError(f"the network's weights are {weights.dtype}; give network.float(), for half torch.autocast")
    return image_batch(image[None]).to(weights.device)


def pad_to_multiple(x: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column of (B, C, H, W) until both sides are multiples of `stride`."""
    bottom, right = -x.shape[-2] % stride, -x.shape[-1] % stride
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


class FeatureExtractor(nn.Module):
    """E: f = E(x; θe), Eq. 1. VGG16-BN up to conv5_3 (stride 16) or conv4_3 (stride 8), ReLU included.

    The normalisation is part of the network, and so of the checkpoint: nobody who loads it can normalise wrongly.

    Args:
        stride: 16 as in the paper, or 8 for small images whose heads are a few pixels wide.
        width: multiplies every channel count; 1 is VGG16, 1/4 the mini preset.

    Shapes:
        x: (B, 3, H, W) RGB in [0, 1], H and W multiples of `stride`.
        f: (B, `channels`, H / stride, W / stride), never negative.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, stride: int = 16, width: float = 1.0) -> None:
        super().__init__()
        if stride not in _LAST_LAYER or not width > 0:
            raise ValueError(f"stride is 16 or 8 and width above 0, not {stride} and {width}")
        layers, channels = list[nn.Module](), 3
        for block in _BLOCKS[: _LAST_LAYER[stride]]:
            if block == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            before, channels = channels, max(1, round(int(block) * width))
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.stride, self.width, self.channels = stride, width, channels
        self.features = nn.Sequential(*layers)  # named and ordered as torchvision's, whose ImageNet weights fit
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        f: Tensor = self.features((x - self.mean) / self.std)  # (B, C, H / stride, W / stride)
        return f


class SemanticExtractor(nn.Module):
    """S: ẑ = S(f; θs), Eq. 2. The pyramid pooling module of PSPNet, slightly modified.

    It averages f over grids of four scales, so that each position knows its surroundings, and predicts the crowd mask.

    Args:
        channels: channels of f.
        stride: stride of f; the logits are up-sampled by it.
        bins: the grids, PSPNet's 1, 2, 3, 6 (the authors' later code: 1, 2, 4, 6).

    Shapes:
        f: (B, channels, H / stride, W / stride); in training B > 1: the 1×1 grid's batch norm needs two values.
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
            raise ValueError("S needs 2 images per batch or more in training: of one, its 1×1 pooling gives one value")
        size = f.shape[-2:]
        levels = [f]
        for grid, project in zip(self.bins, self.pyramid, strict=True):
            pooled = project(F.adaptive_avg_pool2d(f, grid))  # (B, C / 4, grid, grid)
            levels.append(F.interpolate(pooled, size=size, mode="bilinear", align_corners=False))  # (B, C / 4, h, w)
        logits = self.fuse(torch.cat(levels, dim=1))  # (B, 1, h, w)
        return F.interpolate(logits, scale_factor=self.stride, mode="bilinear", align_corners=False)  # (B, 1, H, W)


class FeatureDiscriminator(nn.Module):
    """D: p = D(f; θd), Eq. 3. Four convolutions 4×4 with stride 2 tell source (label 1) from target features (label 0).

    The paper's text says four; the AdaptSegNet discriminator that it cites has a fifth. Four is what fits: stride-16
    features of a 480×640 crop shrink 30×40 → 15×20 → 7×10 → 3×5 → 1×2.

    Args:
        channels: channels of f.
        width: multiplies the channels 64, 128, 256 of the first three convolutions.

    Shapes:
        f: (B, channels, h, w) with h, w >= 16.
        logits: (B, 1, h / 16, w / 16), rounded down; p = sigmoid(logits).
    """

    def __init__(self, channels: int, width: float = 1.0) -> None:
        super().__init__()
        first, second, third = (max(1, round(c * width)) for c in (64, 128, 256))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, first, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(first, second, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(second, third, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(third, 1, 4, stride=2, padding=1),
        )

    def forward(self, f: Tensor) -> Tensor:
        logits: Tensor = self.layers(f)  # (B, 1, h / 16, w / 16)
        return logits


class DensityEstimator(nn.Module):
    """C: ŷ = C(f; θc), Eq. 4. Convolutions, each followed by an up-sampling by 2, to the size of the image.

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
        steps = stride.bit_length() - 1
        if kernels not in ("paper", "authors") or stride != 2**steps:
            raise ValueError(f'kernels is "paper" or "authors", stride a power of two, not {kernels!r} and {stride}')
        widths = [max(1, channels >> i) for i in range(steps + 1)]  # 512, 256, 128, 64, 32
        sizes = [3] * steps if kernels == "paper" else [1, 9, 7, 5][:steps]
        self.convolutions = nn.ModuleList(
            _convolution(i, o, k) for i, o, k in zip(widths[:-1], widths[1:], sizes, strict=True)
        )
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.refine = _convolution(widths[-1], widths[-1], 3) if kernels == "authors" else None
        self.head = nn.Conv2d(widths[-1], 1, 1)
        # A density is almost zero almost everywhere. Starting there, a little above the kink of the ReLU, keeps
        # the decoder alive: with a larger random start it can learn to output zeros for ever.
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(self.head.bias, 0.02)  # type: ignore[arg-type]

    def forward(self, f: Tensor) -> Tensor:
        *first, last = self.convolutions
        for convolution in first:
            f = self.upsample(convolution(f))
        f = last(f)
        if self.refine is None:  # the kernels of the paper; the authors' later code has one convolution more
            # A 1×1 convolution and a bilinear up-sampling commute (both are weighted sums, and the weights of the
            # latter add up to 1), so the last up-sampling is done on one channel instead of on all.
            return torch.relu(self.upsample(self.head(f)))  # (B, 1, H, W)
        return torch.relu(self.head(self.refine(self.upsample(f))))  # (B, 1, H, W)


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class CrowdCounter(nn.Module):
    """The crowd counter ŷ = C(E(x)).

    Inside the network densities are multiplied by `label_factor`: one head spreads over hundreds of pixels, and a
    target of a few thousandths makes gradients too small to learn from. Outside nobody sees the factor: the map that
    calling the model returns is in people per pixel, and its sum is the predicted count.

    Args:
        stride, width: see `FeatureExtractor`.
        kernels: see `DensityEstimator`.
        label_factor: 100 in the paper preset, 10 in mini.

    Attributes:
        architecture: name of the counter in `COUNTERS` and what it was made with.
        local_stride: stride of what `local` gives.
    """

    local_stride = 1

    def __init__(
        self, stride: int = 16, width: float = 1.0, kernels: str = "paper", label_factor: float = 100.0
    ) -> None:
        super().__init__()
        if not 0 < label_factor < float("inf"):
            raise ValueError(f"label_factor is a number above 0, not {label_factor}")
        self.architecture: dict[str, Any] = dict(counter=kernels, stride=stride, width=width, label_factor=label_factor)
        self.label_factor = label_factor
        self.E = FeatureExtractor(stride, width)
        self.C = DensityEstimator(self.E.channels, stride, kernels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] of any size -> (B, 1, H, W) people per pixel.

        Sides that are no multiples of the stride are padded by repeating the border, and the map is cropped back.
        """
        height, width = x.shape[-2:]
        density = self.together(self.local(pad_to_multiple(x, self.E.stride)))  # C(E(x)), in two parts for tiles
        return density[..., :height, :width].float() / self.label_factor

    def local(self, x: Tensor) -> Tensor:
        """The part that looks only so far around each pixel, which can be done tile by tile: here all of it."""
        density: Tensor = self.C(self.E(x))  # (B, 1, H, W)
        if density.shape[-2:] != x.shape[-2:]:
            raise ValueError(f"E and C lead from {(*x.shape,)} to {(*density.shape,)}, not to the size of the image")
        return density

    def together(self, local: Tensor) -> Tensor:
        """The part that needs the whole image, from what `local` gives: here nothing."""
        return local


# The counters by name; a rival registers its own (`rivals.sfcn`). Each takes stride, width and label_factor.
COUNTERS: dict[str, Callable[..., CrowdCounter]] = {
    "paper": CrowdCounter,
    "authors": lambda **architecture: CrowdCounter(kernels="authors", **architecture),
}


def make_counter(counter: str, **architecture: Any) -> CrowdCounter:
    """The counter of that name in `COUNTERS`, such as `make_counter("paper", stride=16, width=1, label_factor=100)`.

    Raises:
        ValueError: there is no such counter, or not with these numbers.
    """
    if counter not in COUNTERS:
        raise ValueError(f"there is no counter {counter!r} among {', '.join(COUNTERS)}; SFCN comes with `rivals`")
    made = COUNTERS[counter](**architecture)
    made.architecture["counter"] = counter  # by which a checkpoint finds it again
    return made
