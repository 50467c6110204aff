"""UCF-QNRF, the hardest target domain: large photographs from the internet with up to 12,865 people.

Idrees, Tayyab, Athrey, Zhang, Al-Maadeed, Rajpoot, Shah, "Composition Loss for Counting, Density Map Estimation and
Localization in Dense Crowds", ECCV 2018. Layout:

    <root>/{Train,Test}/img_0001.jpg
                        img_0001_ann.mat     annPoints, (x, y)
"""

from __future__ import annotations

import os
from typing import Any

from sdcda_tutorial.datasets.crowd_dataset import AbsentPart, CrowdDataset, Entry, Labels
from sdcda_tutorial.datasets.formats.folder_listing import (
    existing_folder,
    find,
    known_split,
    nothing_fits,
    pairs,
    strays,
)
from sdcda_tutorial.datasets.formats.matfiles import load_mat, points_of
from sdcda_tutorial.datasets.transforms import Size
from sdcda_tutorial.errors import InputError

MAX_SIDE = 1024  # pixels; the photographs have 2013×2902 on average
_MULTIPLE = 16  # the stride of E
_LAYOUT = "UCF-QNRF: the folders Train and Test, with img_0001.jpg and img_0001_ann.mat side by side"
_IMAGE, _MAT = r"(?is:(img_.+)\.jpe?g)", r"(?is:(img_.+)_ann\.mat)"


class UCFQNRF(CrowdDataset):
    """Images and heads of UCF-QNRF; a sample is named "img_0001".

    Images are shrunk to 1024 pixels on the longer side by default, as is usual with this set, and *both*
    sides are then rounded to multiples of 16, small images' too: a side changes by 8 pixels at most, and none becomes
    longer than the limit. The points move with the image; none is lost. What that means for each option:

    - nothing given: `max_side=1024`;
    - `max_side=N`: the same with N pixels, at least 16;
    - `max_side=None`: off, images as stored, of any size (up to 20 megapixels and more);
    - `size=(H, W)`: exactly that, neither limit nor rounding.

    Args:
        root: the folder that holds Train and Test.
        split: "train" or "test".
        options: size, max_side, cache, strict, as in `CrowdDataset`, but for what is said above.
    Raises:
        InputError: when made, for a missing folder or annotation; when read, for a damaged file.
    """

    def __init__(self, root: str | os.PathLike[str], split: str = "train", **options: Any) -> None:
        folder = existing_folder(root, _LAYOUT)
        data = folder / known_split(split, ("train", "test"), "UCF-QNRF").capitalize()
        if not data.is_dir():
            raise AbsentPart(f"{data} is not a folder; expected {_LAYOUT}")
        if options.get("size") is None:
            options.setdefault("max_side", MAX_SIDE)
        if options.get("max_side") is not None and options["max_side"] < _MULTIPLE:
            raise InputError(f"UCF-QNRF: `max_side` is at least {_MULTIPLE} pixels, or `None` for images as stored")
        if not (images := find(data, _IMAGE)):
            raise nothing_fits(data, "img_0001.jpg, with img_0001_ann.mat beside it")
        entries, faults, orphans = pairs(images, find(data, _MAT), lambda name: data / f"{name}_ann.mat")
        leftovers = orphans + strays(data, f"{_IMAGE}|{_MAT}", "img_0001.jpg")
        super().__init__(f"ucf-qnrf:{data}", entries, faults, leftovers, **options)

    def _labels(self, entry: Entry, size: Size) -> Labels:
        return Labels(points=points_of(entry.annotation, load_mat(entry.annotation, "annPoints")["annPoints"]))

    def _target(self, stored: Size) -> Size:
        if self.max_side is None:
            return super()._target(stored)
        scale = min(1.0, self.max_side / max(stored))
        longest = self.max_side // _MULTIPLE
        height, width = (min(max(round(side * scale / _MULTIPLE), 1), longest) * _MULTIPLE for side in stored)
        return height, width
