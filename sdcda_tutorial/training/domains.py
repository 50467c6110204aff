"""The two domains as the adaptation sees them: the source with a part held out, the target without its labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sdcda_tutorial.datasets.batches import PseudoMasked
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.training.config import AdaptationConfig


def split_source(source: CrowdDataset, config: AdaptationConfig) -> tuple[CrowdDataset, CrowdDataset | None]:
    """(trained on, held out): a random part of the source, by the seed, that only chooses the model."""
    kept_back = round(config.holdout * len(source))
    if kept_back == 0:
        return source, None
    if kept_back >= len(source):
        raise InputError(f"holdout {config.holdout} leaves nothing of {len(source)} source images to train on")
    order = np.random.default_rng([config.seed, 2]).permutation(len(source)).tolist()
    return source.subset(sorted(order[kept_back:])), source.subset(sorted(order[:kept_back]))


def without_labels(
    target: CrowdDataset | None, pseudo_masks: str | Path | None, config: AdaptationConfig, *, stand_ins: bool = False
) -> PseudoMasked | None:
    """The target's images and pseudo-masks, or None where no λ needs them.

    Args:
        stand_ins: where masks are needed and there are none, everything is background (a dry run).
    Raises:
        InputError: images or masks are needed and missing.
    """
    if not config.needs_target:
        return None
    if target is None:
        raise InputError("this method learns from target images, but no target was given; name one with --target")
    if config.weights.seg_target == 0:
        return PseudoMasked(target, None)
    if pseudo_masks is None and not stand_ins:
        raise InputError(
            "λt > 0 needs pseudo-masks of the target; make them with `sdcda masks` and give --masks FOLDER"
        )
    return PseudoMasked(target, pseudo_masks)
