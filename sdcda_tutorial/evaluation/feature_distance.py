"""Distance of two domains in f: gaps between channel means, a linear probe, and MMD."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.folding import in_evaluation


@torch.no_grad()
def pooled_features(E: nn.Module, samples: Iterable[Sample], crop: tuple[int, int] = (128, 160)) -> Tensor:
    """f = E(x), averaged over the middle of each image: (images, channels).

    The middle has the size `crop` (height, width), multiples of E's stride. A smaller image is an InputError.
    """
    with in_evaluation(E):
        return torch.cat([E(x).mean(dim=(2, 3)) for x in _middle(samples, crop)])


@torch.no_grad()
def local_features(E: nn.Module, samples: Iterable[Sample], crop: tuple[int, int], most: int = 64) -> Tensor:
    """f at `most` places or fewer on a grid over the middle of each image: (images, places, channels)."""
    found = []
    with in_evaluation(E):
        for f in map(E, _middle(samples, crop)):
            step = math.ceil(math.sqrt(f.shape[2] * f.shape[3] / most))
            found.append(f[..., step // 2 :: step, step // 2 :: step].flatten(2).transpose(1, 2))
    return torch.cat(found)


def _middle(samples: Iterable[Sample], crop: tuple[int, int]) -> Iterator[Tensor]:
    """The middle of the images in batches (B, 3, height, width), RGB in [0, 1]."""
    crops = []
    for sample in samples:
        top, left = ((side - part) // 2 for side, part in zip(sample.size, crop, strict=True))
        if min(top, left) < 0:
            raise InputError(
                f"{sample.name or 'an image'} of {sample.size} is smaller than the crop {crop}; make that smaller"
            )
        crops.append(torch.tensor(sample.image[top : top + crop[0], left : left + crop[1]]))
    yield from (torch.stack(crops).permute(0, 3, 1, 2) / 255).split(8)


def channel_gaps(source: Tensor, target: Tensor) -> Tensor:
    """Distance between the domains' means of each channel, in standard deviations within a domain.

    Takes two (images, channels) from `pooled_features`; returns (channels,), 0 where the means agree.
    """
    within = ((source.var(dim=0) + target.var(dim=0)) / 2).sqrt()
    return (source.mean(dim=0) - target.mean(dim=0)).abs() / within.clamp(min=1e-6)


def linear_probe(source: Tensor, target: Tensor) -> float:
    """Accuracy of a linear classifier of the domain.

    Where the domains cannot be told apart it is about 0.5 for equal numbers, and else the share of the larger domain.
    It is NaN where a feature is not finite.

    Every other image fits the weights by ridge regression (source +1, target -1); the rest are classified.

    Args:
        source, target: (images, channels), or (images, places, channels) to classify each place by itself.
    """
    f = torch.cat([source, target]).double().reshape(len(source) + len(target), -1, source.shape[-1])
    label = torch.cat([torch.ones(len(source)), -torch.ones(len(target))]).double()[:, None].expand(f.shape[:2])
    fitted = torch.arange(len(f)) % 2 == 0
    mean, deviation = f[fitted].mean(dim=(0, 1)), f[fitted].std(dim=(0, 1)).clamp(min=1e-6)
    f = torch.cat([(f - mean) / deviation, torch.ones(*f.shape[:2], 1).double()], dim=2)  # the last column is the bias
    seen = f[fitted].flatten(0, 1)
    ridge = 10 * torch.eye(seen.shape[1]).double()  # keeps the weights small when there are more channels than images
    weights = torch.linalg.solve(seen.T @ seen + ridge, seen.T @ label[fitted].flatten())
    says = f[~fitted] @ weights
    if not bool(torch.isfinite(says).all()):
        return math.nan  # whose sign is 0
    right = says.sign() * label[~fitted]  # 1, -1, or 0 where it says nothing: half right
    return float((1 + right).mean() / 2)


def mmd(source: Tensor, target: Tensor) -> float:
    """Squared maximum mean discrepancy of two distributions, from at least two images each: (images, channels).

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, unbiased, with the kernel exp(-d² / m), m the median of d².
    Each channel is first divided by its standard deviation over both domains. The value is at most 2, and about 0
    (perhaps slightly negative) where the distributions are the same.
    """
    f = torch.cat([source, target]).double()
    f = f / f.std(dim=0).clamp(min=1e-6)
    squared = torch.cdist(f, f).square()
    n, m = len(source), len(target)
    width = squared[~torch.eye(n + m, dtype=torch.bool)].median()
    k = torch.exp(-squared / width.clamp(min=1e-12))
    within_source = (k[:n, :n].sum() - n) / (n * (n - 1))  # without the diagonal, where each image meets itself
    within_target = (k[n:, n:].sum() - m) / (m * (m - 1))
    return float(within_source + within_target - 2 * k[:n, n:].mean())


def alignment(E: nn.Module, source: Sequence[Sample], target: Sequence[Sample]) -> dict[str, float]:
    """`linear_probe` of images and of places (place_probe) and `mmd` of images, for 2 or more images per domain.

    At most 100 of each are used, in the largest window, up to 480 × 640, that fits into all of them.
    """
    samples = [[domain[i] for i in range(0, len(domain), math.ceil(len(domain) / 100))] for domain in (source, target)]
    height, width = np.min([sample.size for sample in samples[0] + samples[1]], axis=0) // 16 * 16
    crop = min(480, int(height)), min(640, int(width))
    images = [pooled_features(E, of_domain, crop) for of_domain in samples]
    places = [local_features(E, of_domain, crop) for of_domain in samples]
    return {
        "linear_probe": round(linear_probe(*images), 4),
        "place_probe": round(linear_probe(*places), 4),
        "mmd": round(mmd(*images), 5),
    }
