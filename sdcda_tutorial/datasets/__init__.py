"""Crowd data sets in their native formats, all read as `Sample`: an image and the geometry that labels it.

    dataset = open_dataset("shanghaitech-b:~/data/ShanghaiTech", split="test")
    sample = dataset[0]  # sample.image (H, W, 3) uint8, sample.points (N, 2) as (x, y)

The mini world is written in the same formats, so it goes through the same loaders. None of this imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset as CrowdDataset
from sdcda_tutorial.datasets.formats.crowdhuman import CrowdHuman as CrowdHuman
from sdcda_tutorial.datasets.formats.gcc import GCC as GCC
from sdcda_tutorial.datasets.formats.image_folder import ImageFolder as ImageFolder
from sdcda_tutorial.datasets.formats.shanghaitech import ShanghaiTech as ShanghaiTech
from sdcda_tutorial.datasets.formats.ucf_qnrf import UCFQNRF as UCFQNRF
from sdcda_tutorial.datasets.sample import Sample as Sample
from sdcda_tutorial.datasets.scene_regularization import SceneDescription as SceneDescription
from sdcda_tutorial.datasets.scene_regularization import select_scenes as select_scenes
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import expanded
from sdcda_tutorial.places import mini_root

_LOADERS: dict[str, Callable[..., CrowdDataset]] = {
    "gcc": GCC,
    "shanghaitech-a": partial(ShanghaiTech, part="A"),
    "shanghaitech-b": partial(ShanghaiTech, part="B"),
    "shanghaitech": ShanghaiTech,
    "ucf-qnrf": UCFQNRF,
    "crowdhuman": CrowdHuman,
    "images": ImageFolder,
}
_MINI: dict[str, tuple[str, str]] = {  # name: (loader, folder within the mini world)
    "mini-source": ("gcc", "source"),
    "mini-target": ("shanghaitech-b", "target"),
    "mini-third": ("crowdhuman", "third"),
}
DATASET_NAMES = (*_LOADERS, *_MINI)


def open_dataset(spec: str, split: str | None = "train", **options: Any) -> CrowdDataset:
    """Open a data set named `name:root`, such as "gcc:~/data/GCC"; the mini world needs no root.

    Args:
        spec: one of `DATASET_NAMES`, a colon, and the folder (~ is expanded).
        split: "train" or "test" ("val" for CrowdHuman, where "test" means the same); None is all of GCC and the
            training part of the others.
        options: passed on, such as size, max_side, cache, or GCC's rule.
    Raises:
        InputError: unknown name, no root given, or whatever the loader finds wrong.
    """
    loader, root = locate(spec)
    if loader == "images":  # a folder of photographs is not split
        return ImageFolder(root, **options)
    split = published_split(spec, split)
    return _LOADERS[loader](root, split="train" if split is None and loader != "gcc" else split, **options)


def published_split(spec: str, split: str | None) -> str | None:
    """The part that `open_dataset` opens: "val" for CrowdHuman's "test", which has no labels; else `split`."""
    return "val" if split == "test" and locate(spec)[0] == "crowdhuman" else split


def locate(spec: str) -> tuple[str, Path]:
    """Name of the format (one of `DATASET_NAMES`, none of the mini world's) and folder of a data set `name:root`.

    Raises:
        InputError: unknown name, no root given, or no mini world there.
    """
    name, _, root = spec.partition(":")
    if name in _MINI:
        loader, folder = _MINI[name]
        world = expanded(root) if root else mini_root()
        if not (world / folder).is_dir():
            raise InputError(f"{world / folder} is not a folder; make the mini world with `ensure_mini_world`")
        return loader, world / folder
    if name not in _LOADERS:
        raise InputError(f"unknown data set {name!r} in {spec!r}; known are {', '.join(DATASET_NAMES)}")
    if not root:
        raise InputError(f"{spec!r} does not say where the data is; write {name}:FOLDER")
    return name, expanded(root)
