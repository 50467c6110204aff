"""What all data sets share: a sequence of samples, read on demand, resized on request.

A loader (gcc.py, shanghaitech.py, ucf_qnrf.py, crowdhuman.py, image_folder.py) does two things. When it is made it
lists its images, so that a wrong path or a missing annotation shows at once and not in the third hour of training. And
for one image it reads the labels, in the coordinates of the file. Everything else is here, once.
"""

from __future__ import annotations

import copy
import hashlib
import operator
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sdcda_tutorial.datasets.images import image_size, read_image, read_image_at_least
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.datasets.transforms import Size, clip_boxes, keep_inside, resize_image, resize_labels
from sdcda_tutorial.errors import InputError


@dataclass(frozen=True)
class Record:
    """One entry of a data set's list: enough to find and read a sample later.

    Attributes:
        name: unique within the data set.
        image: path of the picture.
        annotation: whatever the loader needs to read the labels: a path, or labels already parsed.
    """

    name: str
    image: Path
    annotation: Any = None


@dataclass(frozen=True)
class Labels:
    """The labels of one image as its file tells them, in stored pixels; points and boxes may lie outside.

    Attributes:
        points: (N, 2) as (x, y).
        boxes: (M, 4) as (x0, y0, x1, y1).
        mask: (H, W) uint8 0/1, or None.
        attributes: as in `Sample`.
    """

    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    mask: np.ndarray | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something about the files of a data set that its user should know.

    Attributes:
        path: the file, or "file, line n".
        message: one line that begins with the path.
        fault: whether it is broken or missing; otherwise it is only worth a note.
    """

    path: str
    message: str
    fault: bool = True


class CrowdDataset(Sequence[Sample]):
    """A list of images with labels.

    Attributes:
        faults: what was missing or broken when the images were listed; empty unless `strict` is off.
        leftovers: what lies in the folders and is not read: strays, and annotations without an image.

    Args:
        name: what to call the data set in tables and messages.
        records: one per image.
        faults: entries that cannot be used, and why.
        leftovers: as above.
        strict: refuse a set with faults, as one that is to be used should be; `datasets.check` goes on without them.
        size: resize every sample to this (height, width).
        max_side: or: shrink samples whose longer side exceeds this, keeping the aspect; smaller ones stay.
        cache: keep decoded samples in memory. For small sets: a 768×1024 sample takes 2.4 MB (a mask 0.8 MB more), and
            each worker process of a data loader keeps its own.
    Raises:
        InputError: no records, a fault, two records of one name, or an impossible size.
    """

    upright = False  # points are in stored pixels, so EXIF is not applied; ImageFolder, without points, differs

    def __init__(
        self,
        name: str,
        records: Iterable[Record],
        *,
        faults: Iterable[Finding] = (),
        leftovers: Iterable[Finding] = (),
        strict: bool = True,
        size: Size | None = None,
        max_side: int | None = None,
        cache: bool = False,
    ) -> None:
        self.name = name
        listed = list(records)
        self.faults, self.leftovers = list(faults), list(leftovers)
        if strict and self.faults:
            raise InputError(self.faults[0].message)
        if not listed and not self.faults:
            raise InputError(f"{name}: no images found; check the folder")
        twice = [record for record, number in Counter(record.name for record in listed).items() if number > 1]
        if strict and twice:
            raise InputError(f"{name}: {len(twice)} names occur twice, first {twice[0]}; remove the duplicates")
        self.faults += [Finding(one, f"{one} occurs more than once in {name}; remove the duplicates") for one in twice]
        self._records = list({record.name: record for record in listed}.values())
        if size is not None and max_side is not None:
            raise InputError(f"{name}: give size or max_side, not both")
        if (size is not None and min(size) < 1) or (max_side is not None and max_side < 1):
            raise InputError(f"{name}: size and max_side are in pixels, at least 1")
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.max_side = max_side
        self._cache: dict[str, Sample] | None = {} if cache else None

    @property
    def image_paths(self) -> list[Path]:
        """Path of every image, in order."""
        return [record.image for record in self._records]

    @property
    def names(self) -> list[str]:
        """Name of every sample, in order; unique."""
        return [record.name for record in self._records]

    @property
    def cached(self) -> bool:
        """Whether decoded samples are kept in memory."""
        return self._cache is not None

    def cache_if_small(self, limit: int = 2**30) -> CrowdDataset:
        """Keep decoded samples in memory if all of them, taken to be as large as the first, fit into `limit` bytes."""
        height, width = self._target(image_size(self._records[0].image, upright=self.upright))
        if self._cache is None and len(self) * height * width * 4 <= limit:  # three bytes of image, one of mask
            self._cache = {}
        return self

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # no slices: `subset` says it better
        record = self._records[operator.index(index)]
        if self._cache is None:
            return self._load(record)
        if record.name not in self._cache:
            self._cache[record.name] = self._load(record)
        return self._cache[record.name]

    def read_image(self, index: int) -> np.ndarray:
        """Image `index` as its sample has it, (H, W, 3) uint8, without looking at any label."""
        return self._decode(self._records[operator.index(index)])[0]

    def read_labels(self, index: int) -> Labels:
        """Labels of image `index` as its files tell them: in stored pixels, whatever lies outside still there."""
        record = self._records[operator.index(index)]
        return self._labels(record, image_size(record.image, upright=self.upright))

    def files(self, index: int) -> list[Path]:
        """Files that belong to image `index` alone: the picture first, then its annotation."""
        record = self._records[operator.index(index)]
        return [record.image] + ([record.annotation] if isinstance(record.annotation, Path) else [])

    def subset(self, indices: Iterable[int]) -> CrowdDataset:
        """The same data set with only these images, in this order (a held-out part, a quick trial)."""
        chosen = copy.copy(self)  # shares the cache: it goes by name
        chosen._records = [self._records[operator.index(index)] for index in indices]
        return chosen

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says about its data: format, number, names (as a digest), size; no path of a machine."""
        digest = hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]
        size = None if self.size is None else list(self.size)
        return {
            "format": type(self).__name__,
            "images": len(self),
            "names_sha256": digest,
            "size": size,
            "max_side": self.max_side,
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self)} images>"

    @abstractmethod
    def _labels(self, record: Record, size: Size) -> Labels:
        """Labels of one image, whose file holds `size` (height, width) pixels."""

    def _load(self, record: Record) -> Sample:
        image, stored = self._decode(record)
        labels = self._labels(record, stored)
        inside = ((labels.points >= 0) & (labels.points < stored[::-1])).all(axis=1)
        sample = Sample(
            image=image,
            points=keep_inside(labels.points[inside], stored),
            boxes=clip_boxes(labels.boxes, stored),
            mask=labels.mask,
            name=record.name,
            dropped=int((~inside).sum()),
            attributes=labels.attributes,
        )
        return sample if sample.size == stored else replace(sample, **resize_labels(sample, stored, sample.size))

    def _decode(self, record: Record) -> tuple[np.ndarray, Size]:
        """The picture at the wanted size, and the size its file has."""
        if self.size is None and self.max_side is None:  # without a look into the header first
            image = read_image(record.image, upright=self.upright)
            return image, image.shape[:2]
        target = self._target(image_size(record.image, upright=self.upright))
        image, stored = read_image_at_least(record.image, target, upright=self.upright)
        return resize_image(image, target), stored

    def _target(self, stored: Size) -> Size:
        if self.size is not None:
            return self.size
        if self.max_side is None:
            return stored
        scale = min(1.0, self.max_side / max(stored))
        return max(1, round(stored[0] * scale)), max(1, round(stored[1] * scale))


class AbsentPart(InputError):
    """A split that is not there at all, where another may be."""


def existing_folder(root: str | os.PathLike[str], layout: str) -> Path:
    """`root` with ~ expanded; when it is no folder, an InputError that says what should be in it."""
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected {layout}")
    return folder


def listing(folder: Path) -> set[str]:
    """Names in a folder, empty when there is no such folder: one system call instead of one per file."""
    return set(os.listdir(folder)) if folder.is_dir() else set()


def missing(paths: Sequence[Path], of: int, what: str) -> list[Finding]:
    """A fault for each of `paths`, which are those of the `of` expected files that are not there."""
    share = f"({len(paths)} of {of} {what} are)"
    return [Finding(str(path), f"{path} is missing {share}; complete or re-extract the set") for path in paths]


def without_image(paths: Iterable[Path]) -> list[Finding]:
    """A fault for each annotation whose image is not there."""
    return [Finding(str(path), f"{path} has no image; fetch the image again, or remove the file") for path in paths]


def not_read(paths: Iterable[Path], why: str) -> list[Finding]:
    """A note for each file that lies among the images and is not taken for one."""
    return [Finding(str(path), f"{path} is not read: {why}", fault=False) for path in paths]


def known_split(split: str, known: Sequence[str], name: str) -> str:
    """`split`, or an InputError that lists those there are."""
    if split not in known:
        raise InputError(f"{name} has no split {split!r}; choose one of {', '.join(known)}")
    return split
