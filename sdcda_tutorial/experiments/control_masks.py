"""Masks of the target that are better or worse than the mask model's, to see how much hangs on them. Controls only."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from sdcda_tutorial import masks
from sdcda_tutorial.datasets.batches import crowd_mask
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import folder_digest
from sdcda_tutorial.guards.provenance import IMAGES
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.mask_model import images_of, origin_of_masks, write_masks

# name -> what the masks are
MASKS = {
    "perfect": "around the true heads: reads the target's labels, which no method may",
    "dilated": "the predicted ones, grown by 8 pixels to every side: less background is trusted, and more rightly",
    "shuffled": "each image has the predicted mask of another: as much crowd, in the wrong places",
    "none": "background everywhere: what if the rough mask is left out, and all of the target called background?",
}
GROWTH = 8  # pixels


def write_control_masks(kind: str, target: CrowdDataset, predicted: str | Path, folder: str | Path) -> Path:
    """Write a mask of this kind for every image, in one process; one that exists is kept. Returns the folder.

    Args:
        kind: a key of `MASKS`.
        target: the images; "perfect" reads their labels, the others do not.
        predicted: folder of the mask model's own.
    Raises:
        InputError: the folder holds something else, or there is one image only to shuffle.
    """
    folder, predicted = Path(folder), Path(predicted)
    if kind == "shuffled" and len(target) < 2:
        raise InputError("there is no other image whose mask could be given to the only one; name more target images")
    origin: dict[str, Any] = {"control": kind}
    origin |= {"predicted": folder_digest(predicted), "predicted_by": origin_of_masks(predicted)}
    origin |= {"growth": GROWTH, "target": target.describe(labelled=kind == "perfect")}
    origin |= {IMAGES: images_of(target)}
    write_masks(folder, target.names, partial(_mask, kind, target, predicted), origin, Hardware().launch())
    return folder


def _mask(kind: str, target: CrowdDataset, predicted: Path, index: int) -> np.ndarray:
    if kind == "perfect":
        return crowd_mask(target[index])
    own = masks.read_png(masks.path_of(predicted, target.names[index]))
    if kind == "dilated":
        return np.asarray(maximum_filter(own, size=2 * GROWTH + 1))
    if kind == "none":
        return np.zeros_like(own)
    # Half the set further on, so that neighbours in a sequence do not stand in for each other.
    other = target.names[(index + max(1, len(target) // 2)) % len(target)]
    found = masks.read_png(masks.path_of(predicted, other))
    rows, columns = (np.arange(side) * there // side for side, there in zip(own.shape, found.shape, strict=True))
    return found[rows][:, columns]
