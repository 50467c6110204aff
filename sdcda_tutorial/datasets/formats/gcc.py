"""GCC, the synthetic source domain: scenes of a game engine with head positions and crowd masks.

Wang, Gao, Lin, Yuan, "Learning from Synthetic Data for Crowd Counting in the Wild", CVPR 2019. Layout:

    <root>/scene_XX_Y/{jpgs|pngs}/<id>.{jpg|png}   the picture; some releases have pngs and no jpgs
                      mats/<id>.mat                image_info (location, number), weather_info, time_info
                      segs/<id>.raw                crowd mask, H×W bytes, row after row, no header
    <root>/train.txt, test.txt                     lines `level hour weather folder id count`
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdcda_tutorial.datasets.crowd_dataset import (
    AbsentPart,
    CrowdDataset,
    Finding,
    Labels,
    Record,
    existing_folder,
    known_split,
    listing,
    missing,
    not_read,
    without_image,
)
from sdcda_tutorial.datasets.formats.gcc_index import read_index
from sdcda_tutorial.datasets.formats.matfiles import image_info, load_mat, numbers_of, points_of
from sdcda_tutorial.datasets.scene_regularization import SceneRecord, estimated_level, find_rule, select_scenes
from sdcda_tutorial.datasets.transforms import Size
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import read_json

LISTS = ("train", "test")
TRANSLATED = "translation.json"  # beside the scenes, where `training.translated_source` has written the images
LOADING_SCREEN = "1532170935"  # of scene_49_1: black, not a scene
_LAYOUT = "GCC: folders scene_XX_Y with jpgs (or pngs), mats and segs, and the lists train.txt and test.txt"
_PICTURES = (("jpgs", ".jpg"), ("pngs", ".png"))  # in order of preference: the jpgs are a tenth of the size


@dataclass(frozen=True)
class _Files:
    mat: Path
    mask: Path | None
    listed: SceneRecord | None  # what a list says of the image; only the lists know the level


class GCC(CrowdDataset):
    """Images, heads and masks of GCC; a sample is named "scene_01_0/1234567890".

    `location` holds (row, column) integers, indices of pixels. A head is put on the centre of its pixel,
    x = column + 0.5 and y = row + 0.5, because (0, 0) is a corner of the picture here (see `Sample`).

    Attributes of a sample, where the files tell: hour, minute, weather, level, stated_count. The number of points is
    the truth; stated_count is what the file says beside them.

    Args:
        root: folder that holds the scenes.
        split: "train" or "test" reads the list of that name; None takes every scene there is. Where there is neither
            list, "train" is every scene too: the whole of GCC is the source.
        rule: "shb", "sha" or "qnrf": only the images that Scene Regularization admits for this target.
        options: size, max_side, cache, strict, as in `CrowdDataset`.
    Raises:
        InputError: when made, for a missing folder, list, image, annotation or mask, and for a rule that admits no
            image; when read, for a damaged one.
    """

    def __init__(
        self, root: str | os.PathLike[str], split: str | None = None, *, rule: str | None = None, **options: Any
    ) -> None:
        self.root = existing_folder(root, _LAYOUT)
        self.rule = rule
        if rule is not None:
            find_rule(rule)
        lists = {name: self.root / f"{name}.txt" for name in LISTS}
        there = [path for path in lists.values() if path.is_file()]
        faults: list[Finding] = []
        if split is None or (split == "train" and not there):
            listed = {record.name: record for path in there for record in _read_list(path, faults)}
            names = [name for scene in _scenes(self.root) for name in _pictures(scene)]
            entries: list[tuple[str, SceneRecord | None]] = [(name, listed.get(name)) for name in names]
        else:
            path = lists[known_split(split, LISTS, "GCC")]
            entries = [(record.name, record) for record in _read_list(path, faults)]
        entries = [entry for entry in entries if not entry[0].endswith(LOADING_SCREEN)]
        records, absent = _find(self.root, entries)
        leftovers = _leftovers(self.root) if split is None else []
        super().__init__(f"gcc:{self.root}", records, faults=faults + absent, leftovers=leftovers, **options)
        self._listed = self._records
        if rule is not None:
            admitted = {record.name for record in select_scenes(self.scene_records(), rule)}
            self._records = [record for record in self._records if record.name in admitted]
            if not admitted:
                raise InputError(
                    f"{self.name}: none of {len(self._listed)} images passes the rule {rule!r} ({find_rule(rule)}); "
                    "choose another rule"
                )

    def scene_records(self) -> list[SceneRecord]:
        """Level, hour, weather, count and name of every image, in order: what `select_scenes` selects from.

        They come from the lists for images that these name. For others they come from the .mat files, which takes a
        while the first time (`scene_index`), and the level is estimated (`estimated_level`) from the counts of all
        images of the camera that were listed.

        Raises:
            InputError: a .mat file is damaged.
        """
        unlisted = {record.name: record.annotation.mat for record in self._listed if not record.annotation.listed}
        found = read_index(self.root, unlisted)
        counts: dict[str, list[int]] = {}
        for record in self._listed:
            listed = record.annotation.listed
            count = listed.count if listed else found[record.name].heads
            counts.setdefault(_camera(record.name), []).append(count)
        levels = {camera: estimated_level(one) for camera, one in counts.items()}
        return [
            record.annotation.listed
            or SceneRecord(levels[_camera(name)], found[name].hour, found[name].weather, found[name].heads, name)
            for name, record in zip(self.names, self._records, strict=True)
        ]

    def files(self, index: int) -> list[Path]:
        """Picture, .mat file and, where there are masks, the mask of image `index`."""
        files: _Files = self._records[index].annotation
        return [*super().files(index), files.mat, *([] if files.mask is None else [files.mask])]

    def describe(self) -> dict[str, Any]:
        """As in `CrowdDataset`, with the rule of Scene Regularization and the weights that translated the images."""
        about = super().describe() | ({} if self.rule is None else {"rule": self.rule})
        origin = read_json(self.root / TRANSLATED) if (self.root / TRANSLATED).is_file() else {}
        return about | ({"translated_by": origin["weights_sha256"]} if "weights_sha256" in origin else {})

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
            (("level",), [] if files.listed is None else [files.listed.level]),
        ]:
            attributes.update(zip(keys, values, strict=False))  # what a file leaves out is left out here
        mask = None if files.mask is None else _read_mask(files.mask, size)
        return Labels(points=row_column[:, ::-1] + 0.5, mask=mask, attributes=attributes)


def _read_list(path: Path, faults: list[Finding]) -> Iterator[SceneRecord]:
    """The records of a list; lines that are none go to `faults`.

    Raises:
        InputError: the list is not there or cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise AbsentPart(f"{path} does not exist; add the list, or use split=None for all scenes") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); add the list, or use split=None for all scenes") from None
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if len(fields) == 6 and all(fields[column].isdecimal() for column in (0, 1, 2, 5)):
            level, hour, weather, folder, id_, count = fields
            scene = folder.rstrip("/").rpartition("/")[2]  # NLT's lists have the authors' own folder in front
            yield SceneRecord(int(level), int(hour), int(weather), int(count), f"{scene}/{id_}")
        elif fields:
            place = f"{path}, line {number}"
            found = f"expected `level hour weather folder id count`, found {line!r}"
            faults.append(Finding(place, f"{place}: {found}"))


def _scenes(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name.startswith("scene_"))


def _camera(name: str) -> str:
    """Folder of a sample: each camera of each location has its own."""
    return name.rpartition("/")[0]


def _pictures(scene: Path) -> dict[str, Path]:
    """Picture of every image of a scene by its name, sorted."""
    found: dict[str, Path] = {}
    for folder, ending in reversed(_PICTURES):  # so that the preferred one is written last
        names = [name for name in listing(scene / folder) if name.endswith(ending) and not name.startswith(".")]
        found.update({f"{scene.name}/{name.removesuffix(ending)}": scene / folder / name for name in names})
    return dict(sorted(found.items()))


def _find(root: Path, entries: Iterable[tuple[str, SceneRecord | None]]) -> tuple[list[Record], list[Finding]]:
    """The records of all images whose files are there, and a fault for each file that is not."""
    listed = list(entries)
    scenes = {_camera(name): root / _camera(name) for name, _ in listed}
    pictures = {name: path for scene in scenes.values() for name, path in _pictures(scene).items()}
    mats = {f"{scene}/{file}" for scene, path in scenes.items() for file in listing(path / "mats")}
    masks = {f"{scene}/{file}" for scene, path in scenes.items() for file in listing(path / "segs")}
    with_masks = any((path / "segs").is_dir() for path in scenes.values())  # a copy without any segs has no masks

    def place(name: str, folder: str, ending: str) -> Path:
        return root / _camera(name) / folder / (name.rpartition("/")[2] + ending)

    no_picture = [place(name, "jpgs", ".jpg") for name, _ in listed if name not in pictures]
    no_mat = [place(name, "mats", ".mat") for name, _ in listed if f"{name}.mat" not in mats]
    no_mask = [place(name, "segs", ".raw") for name, _ in listed if with_masks and f"{name}.raw" not in masks]
    faults = (
        missing(no_picture, len(listed), "images (as jpg or png)")
        + missing(no_mat, len(listed), "annotations")
        + missing(no_mask, len(listed), "masks")
    )
    records = [
        Record(
            name,
            pictures[name],
            _Files(place(name, "mats", ".mat"), place(name, "segs", ".raw") if with_masks else None, record),
        )
        for name, record in listed
        if name in pictures and f"{name}.mat" in mats and (not with_masks or f"{name}.raw" in masks)
    ]
    return records, faults


def _leftovers(root: Path) -> list[Finding]:
    """Annotations and masks without an image, strays among the images, and the loading screen."""
    orphans, strays, black = [], [], []
    for scene in _scenes(root):
        pictures = _pictures(scene)
        black += [path for name, path in pictures.items() if name.endswith(LOADING_SCREEN)]
        for folder, ending in (("mats", ".mat"), ("segs", ".raw")):
            names = sorted(name for name in listing(scene / folder) if name.endswith(ending))
            stems = {name: f"{scene.name}/{name.removesuffix(ending)}" for name in names if not name.startswith(".")}
            orphans += [scene / folder / name for name, stem in stems.items() if stem not in pictures]
        for folder, ending in _PICTURES:
            strays += [scene / folder / name for name in sorted(listing(scene / folder)) if not name.endswith(ending)]
    return (
        without_image(orphans)
        + not_read(strays, "images are called <id>.jpg or <id>.png")
        + not_read(black, "the black loading screen of GCC")
    )


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
