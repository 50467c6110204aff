"""Less memory for more time: activations of E that are computed again when their gradient is due."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import MethodType

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sdcda_tutorial.networks import FeatureExtractor


def recompute_activations(E: FeatureExtractor) -> None:
    """While training, E keeps only what passes between VGG's blocks and computes the inside of a block again.

    The same numbers from about two thirds of the memory, more slowly. Weights and their names stay as they are.
    """
    E.features.forward = MethodType(_recomputed, E.features)


def _recomputed(features: nn.Sequential, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return nn.Sequential.forward(features, x)
    poolings = [i + 1 for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    for first, end in zip([0, *poolings], [*poolings, len(features)], strict=True):
        block = features[first:end]
        passes = partial(_both_passes, block)
        x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=passes)
    return x


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
