"""What a translation does to images that it has not learnt from: does a cycle come back, does structure stay?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.networks import image_batch
from sdcda_tutorial.rivals import cyclegan_losses as losses
from sdcda_tutorial.rivals.cyclegan import Generators

MOST = 50  # images of each domain


@torch.no_grad()
def translation_quality(
    generators: Generators, source: Sequence[Sample], target: Sequence[Sample]
) -> dict[str, dict[str, float]]:
    """Means over at most 50 images of each domain, seen whole.

    Args:
        generators: as `translation.load_generators` gives them.
        source, target: held-out images; labels are not read.
    Returns:
        For "source" and "target": cycle_ssim and cycle_l1 (in units of half the range) of image and cycle, what the
        losses of SE CycleGAN and CycleGAN are about; translated_ssim of image and translation in gray, which no loss
        sees: how much of the image's structure is still there once it looks like the other domain.
    """
    found = {}
    to_target, to_source = generators.to_target, generators.to_source
    for name, images, forth, back in (
        ("source", source, to_target, to_source),
        ("target", target, to_source, to_target),
    ):
        rows = []
        for index in range(0, len(images), math.ceil(len(images) / MOST)):
            x = image_batch(images[index].image[None])
            made = forth(x)
            cycle = back(made)
            structure, kept = losses.structure_loss(cycle, x), losses.structure_loss(_gray(made), _gray(x))
            rows.append((1 - float(structure), float(losses.reconstruction_loss(cycle, x)), 1 - float(kept)))
        means = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
        found[name] = dict(
            zip(("cycle_ssim", "cycle_l1", "translated_ssim"), (round(mean, 4) for mean in means), strict=True)
        )
    return found


def _gray(x: Tensor) -> Tensor:
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
