"""ShanghaiTech, a real target domain: part A from the internet, crowded; part B from the streets of Shanghai.

Zhang, Zhou, Chen, Gao, Ma, "Single-Image Crowd Counting via Multi-Column Convolutional Neural Network", CVPR 2016.
Layout, in the spellings that are about:

    <root>/part_{A,B}[_final]/{train,test}_data/images/IMG_n.jpg
                                                {ground_truth|ground-truth}/GT_IMG_n.mat
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets.crowd_dataset import AbsentPart, CrowdDataset, Entry, Labels
from sdcda_tutorial.datasets.formats.folder_listing import (
    existing_folder,
    find,
    known_split,
    listing,
    nothing_fits,
    pairs,
    strays,
)
from sdcda_tutorial.datasets.formats.matfiles import load_image_info, numbers_of, points_of
from sdcda_tutorial.datasets.transforms import Size
from sdcda_tutorial.errors import InputError

_LAYOUT = (
    "ShanghaiTech: part_A[_final] or part_B[_final], train_data or test_data in it, images and ground_truth in that; "
    "`make_dataset` writes one from a list of points"
)
_IMAGE = r"(?is:(IMG_.+)\.jpe?g)"  # mirrors hold stray PNGs and Thumbs.db among the images
_MAT = r"(?is:GT_(IMG_.+)\.mat)"


class ShanghaiTech(CrowdDataset):
    """Images and heads of ShanghaiTech, or of any set in its layout; a sample is named "IMG_12", in order of number.

    Points are (x, y) already, of any number type. `attributes["stated_count"]` is the number the file gives beside
    them; where the two disagree the points are the truth.

    Args:
        root: the folder that holds the parts, or a part's own folder.
        part: "A", "B", or None for train_data directly under `root`.
        split: "train" or "test".
        options: size, max_side, cache, strict, as in `CrowdDataset`.
    Raises:
        InputError: when made, for a missing folder or annotation; when read, for a damaged file.
    """

    def __init__(
        self, root: str | os.PathLike[str], part: str | None = None, split: str = "train", **options: Any
    ) -> None:
        folder = existing_folder(root, _LAYOUT)
        data = _split_folder(folder, part, known_split(split, ("train", "test"), "ShanghaiTech"))
        truths = [path for path in (data / "ground_truth", data / "ground-truth") if path.is_dir()]
        if not (data / "images").is_dir() or not truths:
            raise InputError(f"{data} has no folder images or no ground_truth; expected {_LAYOUT}")

        images = sorted(find(data / "images", _IMAGE), key=lambda image: _by_number(image[0]))
        if not images:
            raise nothing_fits(data / "images", f"IMG_n.jpg, with GT_IMG_n.mat in {truths[0].name}")
        mats = [mat for truth in truths for mat in find(truth, _MAT)]
        entries, faults, orphans = pairs(images, mats, lambda name: truths[0] / f"GT_{name}.mat")
        leftovers = orphans + strays(data / "images", _IMAGE, "IMG_n.jpg")
        super().__init__(f"shanghaitech:{data}", entries, faults, leftovers, **options)

    def _labels(self, entry: Entry, size: Size) -> Labels:
        path: Path = entry.annotation
        _, info = load_image_info(path)
        number = numbers_of(path, info, "number")
        return Labels(
            points=points_of(path, info["location"]), attributes={"stated_count": number[0]} if number else {}
        )


def _split_folder(root: Path, part: str | None, split: str) -> Path:
    """The train_data or test_data meant, in whichever spelling the part is there; both parts lie in one folder."""
    if part is None:
        folders = [root]
    elif part in ("A", "B"):
        folders = [root / f"part_{part}{ending}" for ending in ("", "_final")]
        other = "AB".replace(part, "")  # whose own folder is not this part
        if not re.fullmatch(rf"(?is:(?:part|shanghaitech)[_ -]?{other}(?:[_ -].*)?)", root.resolve().name):
            folders.append(root)
    else:
        raise InputError(f"ShanghaiTech has no part {part!r}; choose A or B, or None for a folder without parts")
    there = [folder for folder in folders if any((folder / f"{one}_data").is_dir() for one in ("train", "test"))]
    data = (there or folders)[0] / f"{split}_data"
    if data.is_dir():
        return data
    parts = [name for name in listing(root) if re.fullmatch("part_([AB])(_final)?", name)]
    if part is None and parts:
        raise InputError(f"{root} holds {', '.join(parts)}; call it shanghaitech-a or shanghaitech-b")
    if there:
        other = "train" if split == "test" else "test"
        made = f"add one with `make_dataset` and its `split` {split}"
        raise AbsentPart(f"{data} is not a folder, only {other}_data is there; take `split` {other}, or {made}")
    raise AbsentPart(f"{data} is not a folder; expected {_LAYOUT}")


def _by_number(name: str) -> tuple[bool, int, str]:
    """IMG_2 before IMG_10; names without a number last, by letter."""
    number = name[len("IMG_") :]
    return (False, int(number), name) if number.isdecimal() else (True, 0, name)
