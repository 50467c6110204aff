"""The losses, Eq. 6 to 10 in the paper's order and symbols, then their weights and their sum, Eq. 5.

The paper sums over pixels and divides by the number of images; here every loss is a mean over all pixels of the batch,
so that its size does not depend on the size of the crop. The ratio between Eq. 6, 7 and 9 stays the paper's (at equal
label scale). That of Eq. 10 does not, because its sum runs over the few pixels of D's output: so λd cannot be compared
with a value chosen for the paper's sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from sdcda_tutorial.numbers import check_numbers


def density_loss(pred: Tensor, truth: Tensor) -> Tensor:
    """Half the squared distance between the density maps ŷ and F(y), Eq. 6.

    Args:
        pred, truth: (B, 1, H, W), both scaled by the same label factor.
    Returns:
        Scalar, mean over pixels.
    Raises:
        ValueError: shapes differ.
    """
    _same_shape(pred, truth)
    return 0.5 * (pred - truth).square().mean()


def source_segmentation_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of the crowd mask on the source domain, Eq. 7: -(z log ẑ + (1 - z) log(1 - ẑ)).

    Args:
        logits: (B, 1, H, W) output of S before the sigmoid.
        mask: (B, 1, H, W) zs, 1 = crowd, 0 = background.
    Returns:
        Scalar, mean over pixels.
    Raises:
        ValueError: shapes differ, or the mask holds anything but 0 and 1.
    """
    _check_mask(logits, mask)
    return F.binary_cross_entropy_with_logits(logits, mask.to(logits.dtype))


def masked_prediction(prob: Tensor, mask: Tensor) -> Tensor:
    """H(ẑ, z) = ẑ (1 - z) + z, Eq. 8: the prediction where z says background, 1 where it says crowd.

    Args:
        prob: (B, 1, H, W) ẑ in [0, 1].
        mask: (B, 1, H, W) z, 1 = crowd, 0 = background.
    Returns:
        (B, 1, H, W).
    Raises:
        ValueError: shapes differ, or the mask holds anything but 0 and 1.
    """
    _check_mask(prob, mask)
    return prob * (1 - mask) + mask


def target_segmentation_loss(logits: Tensor, pseudo_mask: Tensor) -> Tensor:
    """Background-only cross-entropy on the target domain, Eq. 8-9.

    Where the pseudo-mask says crowd (z = 1) Eq. 8 turns the prediction into 1, so the loss -log(1) and its gradient
    are exactly zero; where it says background (z = 0) the loss is -log(1 - ẑ). Written in logits, -log(1 - ẑ) is
    softplus(logits), which neither overflows nor needs a small constant inside the logarithm.

    Args:
        logits: (B, 1, H, W) output of S before the sigmoid.
        pseudo_mask: (B, 1, H, W) zt, 1 = crowd, 0 = background.
    Returns:
        Scalar, mean over all pixels (crowd pixels count as zeros).
    Raises:
        ValueError: shapes differ, or the mask holds anything but 0 and 1.
    """
    _check_mask(logits, pseudo_mask)
    return ((1 - pseudo_mask) * F.softplus(logits)).mean()


def target_entropy_loss(logits: Tensor, pseudo_mask: Tensor) -> Tensor:
    """The other reading of Eq. 9, kept for comparison: H(ẑ, z) serves as prediction and as its own label.

    "let zt = H(ẑt, zt)" re-uses the letter z. Taken literally, Eq. 9 is the entropy of ẑ on the background: it is
    small for ẑ near 1 as well as near 0, so it rewards a confident "crowd" on the background.

    Arguments, shapes and errors as in `target_segmentation_loss`.
    """
    _check_mask(logits, pseudo_mask)
    prob = logits.sigmoid()
    entropy = prob * F.softplus(-logits) + (1 - prob) * F.softplus(logits)
    return ((1 - pseudo_mask) * entropy).mean()


def adversarial_loss(target_logits: Tensor) -> Tensor:
    """-log pt, Eq. 10: E is rewarded when D takes target features for source features (label 1).

    Args:
        target_logits: (B, 1, h, w) of D on target features, with the gradient on its way to E.
    Returns:
        Scalar, mean over D's output pixels (the paper sums them).
    """
    return F.softplus(-target_logits).mean()


def discriminator_loss(source_logits: Tensor, target_logits: Tensor) -> Tensor:
    """The supervised domain loss that D minimises: source is 1, target is 0 (text before Eq. 10).

    Args:
        source_logits, target_logits: (B, 1, h, w) of D on *detached* features.
    Returns:
        Scalar: half of -log ps plus half of -log(1 - pt), means over pixels; log 2 = 0.693 when D knows nothing.
    """
    return 0.5 * (F.softplus(-source_logits).mean() + F.softplus(target_logits).mean())


@dataclass(frozen=True)
class LossWeights:
    """λs, λt and λd of Eq. 5; `LossWeights()` is no adaptation.

    A weight of zero switches its part off, and what only that part needs is neither built nor read. Which λ needs what
    is decided here.
    """

    seg_source: float = 0.0
    seg_target: float = 0.0
    adversarial: float = 0.0

    def __post_init__(self) -> None:
        check_numbers(self)

    @property
    def needs_S(self) -> bool:
        return self.seg_source > 0 or self.seg_target > 0

    @property
    def needs_D(self) -> bool:
        return self.adversarial > 0

    @property
    def needs_source_masks(self) -> bool:
        return self.seg_source > 0

    @property
    def needs_pseudo_masks(self) -> bool:
        return self.seg_target > 0

    @property
    def needs_target(self) -> bool:
        return self.seg_target > 0 or self.adversarial > 0


def total_loss(
    density: Tensor,
    weights: LossWeights,
    *,
    seg_source: Tensor | float = 0.0,
    seg_target: Tensor | float = 0.0,
    adversarial: Tensor | float = 0.0,
) -> Tensor:
    """L = Lden + λs Lseg_s + λt Lseg_t + λd Ladv, Eq. 5, of scalar terms."""
    return (
        density + weights.seg_source * seg_source + weights.seg_target * seg_target + weights.adversarial * adversarial
    )


def _same_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:  # broadcasting would turn a forgotten dimension into a wrong loss without a word
        raise ValueError(f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")


def _check_mask(prediction: Tensor, mask: Tensor) -> None:
    _same_shape(prediction, mask)
    if bool((mask * (1 - mask)).any()):
        raise ValueError("a mask holds 0 (background) and 1 (crowd) only; was it read as 0 and 255?")
