"""The losses of CycleGAN and of SE CycleGAN, the rivals of Table 1. Those of the paper itself are in `losses.py`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sdcda_tutorial.numbers import check_numbers


def fooling_loss(logits: Tensor) -> Tensor:
    """Adversarial loss of a generator: (D(translated) - 1)², the least squares of LSGAN.

    Args:
        logits: (B, 1, h, w) of the discriminator on translated images.
    Returns:
        Scalar, mean over patches.
    """
    return (logits - 1).square().mean()


def patch_loss(real_logits: Tensor, made_logits: Tensor) -> Tensor:
    """Loss of a discriminator: half of (D(real) - 1)² plus half of D(translated)².

    Args:
        real_logits, made_logits: (B, 1, h, w) of D on images of its domain, and on *detached* translated ones.
    Returns:
        Scalar; 1/4 when D says 1/2 everywhere, that is, cannot decide.
    """
    return 0.5 * ((real_logits - 1).square().mean() + made_logits.square().mean())


def reconstruction_loss(made: Tensor, x: Tensor) -> Tensor:
    """Mean absolute difference of two images: a cycle or an identity, and its beginning.

    Args:
        made, x: (B, 3, H, W) in [0, 1].
    Returns:
        Scalar in units of half the range, since CycleGAN's weight of 10 is for images in [-1, 1].
    Raises:
        ValueError: shapes differ.
    """
    _same_shape(made, x)
    return 2 * (made - x).abs().mean()


def structure_loss(cycle: Tensor, x: Tensor) -> Tensor:
    """1 - SSIM(x, cycle), the term that SE CycleGAN adds in both directions.

    Wang, Gao, Lin, Yuan, "Learning from Synthetic Data for Crowd Counting in the Wild", CVPR 2019. SSIM compares means,
    variances and covariance under a Gaussian window of 11×11 pixels: it keeps edges that L1 lets fade.

    Args:
        cycle, x: (B, 3, H, W) in [0, 1], sides of 11 pixels or more.
    Returns:
        Scalar, mean over pixels and channels; 0 for equal images.
    Raises:
        ValueError: shapes differ.
    """
    _same_shape(cycle, x)
    from torchmetrics.functional.image import structural_similarity_index_measure  # slow to import

    similarity = structural_similarity_index_measure(cycle.float(), x.float(), data_range=1.0)
    assert isinstance(similarity, Tensor)  # a tuple only where one asks for the full image
    return 1 - similarity


@dataclass(frozen=True)
class TranslationWeights:
    """Weights of the terms relative to the fooling loss.

    Attributes:
        cycle: 10 in CycleGAN.
        identity: relative to `cycle`, as in CycleGAN's code: at 0.5 the term weighs 5.
        structure: μ of SE CycleGAN; 0 is CycleGAN.
    """

    cycle: float = 10.0
    identity: float = 0.5
    structure: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self)


def generator_loss(terms: dict[str, Tensor], weights: TranslationWeights) -> Tensor:
    """The generators' loss: fooling + λ (cycle + ι identity) + μ structure; a term that is not there is zero."""
    λ = weights.cycle
    factors = {"fooling": 1.0, "cycle": λ, "identity": λ * weights.identity, "structure": weights.structure}
    return torch.stack([factors[name] * term for name, term in terms.items()]).sum()


def _same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
