"""GCC, the synthetic source domain: scenes of a game engine with head positions and crowd masks.

Wang, Gao, Lin, Yuan, "Learning from Synthetic Data for Crowd Counting in the Wild", CVPR 2019. Layout:

    <root>/scene_XX_Y/{jpgs|pngs}/<id>.{jpg|png}   the picture; some releases have pngs and no jpgs
                      mats/<id>.mat                image_info (location, number), weather_info, time_info
                      segs/<id>.raw                crowd mask, H×W bytes, row after row, no header
    <root>/train.txt, test.txt                     lines `level hour weather folder id count`
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdcda_tutorial.datasets.base import (
    CrowdDataset,
    Labels,
    Record,
    existing_folder,
    known_split,
    listing,
    refuse_missing,
)
from sdcda_tutorial.datasets.matfiles import image_info, load_mat, numbers_of, points_of
from sdcda_tutorial.datasets.transforms import Size
from sdcda_tutorial.errors import InputError

_LAYOUT = "GCC: folders scene_XX_Y with jpgs (or pngs), mats and segs, and the lists train.txt and test.txt"
_BLACK = "1532170935"  # of scene_49_1: a black loading screen, not a scene
_FOLDERS = (("jpgs", ".jpg"), ("pngs", ".png"))  # in order of preference: the jpgs are a tenth of the size


@dataclass(frozen=True)
class _Files:
    mat: Path
    mask: Path | None
    level: int | None  # crowd level 0 to 8, only the lists know it


class GCC(CrowdDataset):
    """Images, heads and masks of GCC; a sample is named "scene_01_0/1234567890".

    `location` holds (row, column) integers, indices of pixels. A head is put on the centre of its pixel,
    x = column + 0.5 and y = row + 0.5, because (0, 0) is a corner of the picture here (see `Sample`).

    Attributes of a sample, where the files tell: hour, minute, weather, level, stated_count. The number of points is
    the truth; stated_count is what the file says beside them.

    Args:
        root: folder that holds the scenes.
        split: "train" or "test" reads the list of that name; None takes every scene there is.
        options: size, max_side, cache, as in `CrowdDataset`.
    Raises:
        InputError: when made, for a missing folder, list, image, annotation or mask; when read, for a damaged one.
    """

    def __init__(self, root: str | os.PathLike[str], split: str | None = None, **options: Any) -> None:
        folder = existing_folder(root, _LAYOUT)
        if split is None:
            lists = [path for path in (folder / "train.txt", folder / "test.txt") if path.is_file()]
            levels = {(scene, id_): level for path in lists for scene, id_, level in _read_list(path)}
            scenes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name.startswith("scene_"))
            wanted = [(scene.name, id_, levels.get((scene.name, id_))) for scene in scenes for id_ in _images(scene)]
        else:
            wanted = list(_read_list(folder / f"{known_split(split, ('train', 'test'), 'GCC')}.txt"))
        wanted = [entry for entry in wanted if entry[1] != _BLACK]
        super().__init__(f"gcc:{folder}", _records(folder, wanted), **options)

    def _labels(self, record: Record, size: Size) -> Labels:
        files: _Files = record.annotation
        mat = load_mat(files.mat, "image_info")
        info = image_info(files.mat, mat["image_info"])
        row_column = points_of(files.mat, info["location"])
        attributes: dict[str, Any] = {}
        for keys, values in [
            (("stated_count",), numbers_of(info.get("number"))),
            (("hour", "minute"), numbers_of(mat.get("time_info"))),
            (("weather",), numbers_of(mat.get("weather_info"))),
            (("level",), [] if files.level is None else [files.level]),
        ]:
            attributes.update(zip(keys, values, strict=False))  # what a file leaves out is left out here
        mask = None if files.mask is None else _read_mask(files.mask, size)
        return Labels(points=row_column[:, ::-1] + 0.5, mask=mask, attributes=attributes)


def _read_list(path: Path) -> Iterator[tuple[str, str, int]]:
    """(scene, id, level) of every line of a list."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); add the list, or use split=None for all scenes") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 6 or not fields[0].isdigit():
            raise InputError(f"{path}, line {number}: expected `level hour weather folder id count`, found {line!r}")
        yield fields[3].strip("/"), fields[4], int(fields[0])


def _images(scene: Path) -> dict[str, Path]:
    """Picture of every id in a scene, sorted by id."""
    found: dict[str, Path] = {}
    for folder, ending in reversed(_FOLDERS):  # so that the preferred one is written last
        names = (name for name in listing(scene / folder) if name.endswith(ending) and not name.startswith("."))
        found.update({name.removesuffix(ending): scene / folder / name for name in names})
    return dict(sorted(found.items()))


def _records(root: Path, wanted: Sequence[tuple[str, str, int | None]]) -> list[Record]:
    """Find the files of every wanted image; complain once, about all that are missing."""
    scenes = {scene: root / scene for scene, _, _ in wanted}
    images = {scene: _images(path) for scene, path in scenes.items()}
    mats = {scene: listing(path / "mats") for scene, path in scenes.items()}
    masks = {scene: listing(path / "segs") for scene, path in scenes.items()}
    with_masks = any((path / "segs").is_dir() for path in scenes.values())  # a copy without any segs has no masks

    without_image = [root / s / "jpgs" / f"{i}.jpg" for s, i, _ in wanted if i not in images[s]]
    without_mat = [root / s / "mats" / f"{i}.mat" for s, i, _ in wanted if f"{i}.mat" not in mats[s]]
    without_mask = [root / s / "segs" / f"{i}.raw" for s, i, _ in wanted if f"{i}.raw" not in masks[s]]
    refuse_missing(without_image, len(wanted), "images (as jpg or png)")
    refuse_missing(without_mat, len(wanted), "annotations")
    refuse_missing(without_mask if with_masks else [], len(wanted), "masks")
    return [
        Record(
            name=f"{scene}/{id_}",
            image=images[scene][id_],
            annotation=_Files(
                mat=root / scene / "mats" / f"{id_}.mat",
                mask=root / scene / "segs" / f"{id_}.raw" if with_masks else None,
                level=level,
            ),
        )
        for scene, id_, level in wanted
    ]


def _read_mask(path: Path, size: Size) -> np.ndarray:
    """A raw mask as (H, W) uint8 0/1; anything that is not zero is crowd (some tools write 255)."""
    try:
        stored = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); fetch it again") from None
    if stored.size != size[0] * size[1]:
        raise InputError(
            f"{path} is a mask of another size: {stored.size} bytes for an image of {size[0]}×{size[1]} pixels; "
            "take image and mask from the same release"
        )
    mask: np.ndarray = (stored != 0).astype(np.uint8)
    return mask.reshape(size)
