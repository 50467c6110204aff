"""E, the feature extractor: f = E(x; θe), Eq. 1. VGG16 with batch norm, without its classifier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import vgg

from sdcda_tutorial.errors import InputError

# VGG16 ("configuration D" of its paper): channels of each 3×3 convolution, M = 2×2 max pooling.
_BLOCKS: list[int | str] = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
_LAST_LAYER = {16: len(_BLOCKS), 8: _BLOCKS.index("M", 10)}  # conv5_3 or conv4_3

# What torchvision's weights were trained with; kept for random weights too, so that there is one normalisation.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def image_batch(images: np.ndarray) -> Tensor:
    """(B, H, W, 3) uint8 -> x, (B, 3, H, W) float32 in [0, 1]."""
    # Permuting without copying leaves the memory order channels-last, the one that convolutions are fast in.
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)


class FeatureExtractor(nn.Module):
    """VGG16-BN up to conv5_3 (stride 16) or conv4_3 (stride 8), ReLU included.

    The normalisation is part of the network, and so of the checkpoint: whoever loads it cannot normalise wrongly.

    Args:
        stride: 16 as in the paper, or 8 for small images whose heads are a few pixels wide.
        width: multiplies every channel count; 1 is VGG16, 1/4 the mini preset.

    Shapes:
        x: (B, 3, H, W) RGB in [0, 1], H and W multiples of `stride`.
        f: (B, `channels`, H / stride, W / stride), never negative.

    Attributes:
        checkpoint_activations: while training keep only what passes between VGG's blocks and compute the inside of a
            block again when its gradient is due: the same numbers from about two thirds of the memory, more slowly.
    """

    checkpoint_activations = False
    mean: Tensor
    std: Tensor

    def __init__(self, stride: int = 16, width: float = 1.0) -> None:
        super().__init__()
        if stride not in _LAST_LAYER:
            raise ValueError(f"stride is 16 or 8, not {stride}")
        blocks = [c if c == "M" else max(1, round(int(c) * width)) for c in _BLOCKS[: _LAST_LAYER[stride]]]
        self.stride, self.width, self.channels = stride, width, int(blocks[-1])
        self.features = vgg.make_layers(blocks, batch_norm=True)
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        return self._recomputed(x) if self.checkpoint_activations and torch.is_grad_enabled() else self.features(x)

    def _recomputed(self, x: Tensor) -> Tensor:
        """The same as `features`, which keeps less for the gradient: inside of a block all is computed twice."""
        for block in self._blocks():
            passes = partial(_both_passes, block)
            x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=passes)
        return x

    def _blocks(self) -> list[nn.Sequential]:
        """`features`, cut after each pooling."""
        poolings = [i + 1 for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        return [self.features[i:j] for i, j in zip([0, *poolings], [*poolings, len(self.features)], strict=True)]

    def load_imagenet(self, weights_file: str | Path | None = None) -> None:
        """Fill in torchvision's ImageNet weights of VGG16-BN, downloaded or read from a file given by hand.

        Args:
            weights_file: a state dict of `torchvision.models.vgg16_bn`, for machines without a network.

        Raises:
            InputError: the width is not 1, or the weights can be neither downloaded nor read.
        """
        if self.width != 1:
            raise InputError(f"ImageNet weights fit width 1 only, not {self.width}; drop the pretrained option")
        weights = vgg.VGG16_BN_Weights.IMAGENET1K_V1
        mend = (
            f"get {weights.url} where there is a network and pass it as --weights FILE, or begin without it by "
            "--random-weights"
        )
        try:
            if weights_file is None:
                state = weights.get_state_dict(progress=True, check_hash=True)
            else:
                state = torch.load(weights_file, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            if weights_file is not None and not isinstance(error, OSError):  # torch's advice is to load it unsafely
                reason = "it holds something else than weights, or a part of them"
            raise InputError(
                f"cannot read the VGG16-BN weights from {weights_file or weights.url} ({reason}); {mend}"
            ) from None
        # Files older than PyTorch 0.4.1 lack batch norm's counter of batches, which plays no part here.
        ours = {key: value for key, value in self.features.state_dict().items() if "num_batches_tracked" not in key}
        state = state if isinstance(state, dict) else {}
        for key, value in ours.items():
            if getattr(state.get(f"features.{key}"), "shape", None) != value.shape:
                raise InputError(
                    f"{weights_file or weights.url} is no state dict of torchvision's vgg16_bn: "
                    f"features.{key} is missing or of another shape; {mend}"
                )
        self.features.load_state_dict({key: state[f"features.{key}"] for key in ours})


def _both_passes(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first computation of a block, and around the second."""
    return nullcontext(), _statistics_stay(block)


@contextmanager
def _statistics_stay(block: nn.Module) -> Iterator[None]:
    """Batch norm moves copies of its running statistics: the first computation has moved the statistics themselves."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    own = [dict(norm.named_buffers()) for norm in norms]
    for norm, statistics in zip(norms, own, strict=True):
        norm._buffers.update({name: statistic.clone() for name, statistic in statistics.items()})
    try:
        yield
    finally:
        for norm, statistics in zip(norms, own, strict=True):
            norm._buffers.update(statistics)
