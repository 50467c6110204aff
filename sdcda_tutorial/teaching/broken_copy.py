"""A small copy of the mini world's target, damaged in the ways in which real downloads are: for notebook 11."""

from __future__ import annotations

import shutil
from pathlib import Path

from sdcda_tutorial.datasets import open_dataset
from sdcda_tutorial.places import mini_root


def broken_copy(folder: Path) -> Path:
    """Eight training and four test images of the mini world's target as a ShanghaiTech B, with four faults.

    IMG_3.jpg ends in the middle, the annotation of IMG_5 is missing, that of IMG_7 belongs to IMG_1, and a file of an
    operating system lies among the images. Replaces `folder` and returns it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for split, number in (("train", 8), ("test", 4)):
        dataset = open_dataset("mini-target", split)
        for file in (file for index in range(number) for file in dataset.files(index)):
            place = folder / file.relative_to(mini_root() / "target")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    images, annotations = (folder / "part_B/train_data" / name for name in ("images", "ground-truth"))
    cut = images / "IMG_3.jpg"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (annotations / "GT_IMG_5.mat").unlink()
    shutil.copy(annotations / "GT_IMG_1.mat", annotations / "GT_IMG_7.mat")
    (images / "Thumbs.db").write_bytes(b"")
    return folder
