"""What all data sets share: a sequence of samples, read on demand, resized on request.

A loader (`formats/`) does two things. When it is made, it lists its images, so a wrong path or a missing annotation
shows at once and not in the third hour of training. And it reads the labels of one image, in the coordinates of the
file. Everything else is here, once.
"""

from __future__ import annotations

import copy
import itertools
import math
import operator
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from sdcda_tutorial.datasets.contents import file_digests, joined
from sdcda_tutorial.datasets.images import image_size, read_image, read_image_at
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.datasets.transforms import (
    MOST_PIXELS,
    Size,
    clip_boxes,
    keep_inside,
    resize_labels,
)
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import in_utf8
from sdcda_tutorial.guards.provenance import CONTENTS, WORLD
from sdcda_tutorial.places import MINI_WORLD, in_mini_world

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Entry:
    """One image of a data set: enough to find and read its sample later."""

    name: str  # unique within the data set
    image: Path
    annotation: Any = None  # whatever the loader needs to read the labels: a path, or labels already parsed


@dataclass(frozen=True)
class Labels:
    """The labels of a `Sample` as its file gives them: in stored pixels, and points and boxes may lie outside."""

    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    mask: np.ndarray | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """Digest of the numbers, for labels that are not in a file of their own."""
        arrays = [np.asarray(array) for array in (self.points, self.boxes, *self.attributes.values())]
        return joined(f"{array.shape}{array.tobytes().hex()}" for array in arrays)


@dataclass(frozen=True)
class Finding:
    """Something about the files of a data set that its user should know."""

    path: str  # or "path, line n"
    message: str  # one line that begins with the path
    fault: bool = True  # broken or missing; otherwise it is only worth a note


class AbsentPart(InputError):
    """A split that is not there at all, where another may be."""


def _as_listed(entry: Entry) -> Entry:
    return entry


class CrowdDataset(Sequence[Sample]):
    """A list of images with labels.

    Attributes:
        faults: what was missing or broken when the images were listed; empty unless `strict` is off.
        leftovers: files that are not read: strays, and annotations without an image.

    Args:
        name: what to call the data set in tables and messages.
        entries: the images that can be used.
        faults: what is missing or broken.
        strict: refuse a set with faults, as one that is to be used should be; `datasets.check` goes on without them.
        size: resize every sample to this (height, width).
        max_side: or: shrink samples whose longer side exceeds this, keeping the aspect; smaller ones stay.
        cache: keep decoded samples in memory. For small sets: a 768×1024 sample takes 2.4 MB (a mask 0.8 MB more), and
            each worker process of a data loader keeps its own.
    Raises:
        InputError: no images, a fault, two images of one name, or an impossible size.
    """

    labelled = True  # whether anybody has looked for heads
    upright = False  # points are in stored pixels, so EXIF is not applied; ImageFolder, without points, differs

    def __init__(
        self,
        name: str,
        entries: Sequence[Entry],
        faults: Sequence[Finding] = (),
        leftovers: Sequence[Finding] = (),
        *,
        strict: bool = True,
        size: Size | None = None,
        max_side: int | None = None,
        cache: bool = False,
    ) -> None:
        self.name, self.faults, self.leftovers = name, list(faults), list(leftovers)
        if strict and self.faults:
            raise InputError(self.faults[0].message)
        if not entries and not self.faults:
            raise InputError(f"{name}: no images found; check the folder")
        twice = [one for one, number in Counter(entry.name for entry in entries).items() if number > 1]
        if strict and twice:
            raise InputError(f"{name}: {len(twice)} names occur twice, first {twice[0]}; remove the duplicates")
        self.faults += [Finding(one, f"{one} occurs more than once in {name}; remove the duplicates") for one in twice]
        self._entries = list({entry.name: entry for entry in entries}.values())
        self._find: Callable[[Entry], Entry] = _as_listed
        if size is not None and max_side is not None:
            raise InputError(f"{name}: give size or max_side, not both")
        try:
            self.size = None if size is None else (operator.index(size[0]), operator.index(size[1]))
            self.max_side = None if max_side is None else operator.index(max_side)
        except (TypeError, IndexError):
            raise InputError(f"{name}: size is (height, width) and max_side a number, in whole pixels") from None
        if min([*(self.size or [1]), 1 if self.max_side is None else self.max_side]) < 1:
            raise InputError(f"{name}: size and max_side are in pixels, at least 1")
        if self.size is not None and math.prod(self.size) > MOST_PIXELS:
            height, width = self.size
            raise InputError(f"{name}: a size of {height}×{width} is over {MOST_PIXELS:,} pixels; make it smaller")
        self._cache: dict[str, Sample] | None = {} if cache else None
        # Of the samples in memory, labelled or not: name -> digest. Shared by subsets.
        self._digests: dict[bool, dict[str, str]] = {True: {}, False: {}}

    @classmethod
    def on_demand(cls, name: str, entries: Sequence[Entry], find: Callable[[Entry], Entry]) -> Self:
        """A data set in this format of files that are made when they are asked for (`mini_world.on_demand`).

        Args:
            name: what to call it.
            entries: name of every image, and where its picture will be.
            find: makes the files of one of them where they are not there yet; gives the entry as a loader lists it.
        """
        dataset = cls.__new__(cls)  # nothing is there that the loader could list
        CrowdDataset.__init__(dataset, name, entries)
        dataset._find = find
        return dataset

    def entry(self, index: int) -> Entry:
        """Where sample `index` is read from."""
        return self._find(self._entries[operator.index(index)])

    @property
    def image_paths(self) -> list[Path]:
        """Path of every image, in order."""
        return [self.entry(index).image for index in range(len(self))]

    @property
    def names(self) -> list[str]:
        """Name of every sample, in order; unique."""
        return [entry.name for entry in self._entries]

    @property
    def cached(self) -> bool:
        """Whether decoded samples are kept in memory."""
        return self._cache is not None

    def cache_if_small(self, limit: int = 2**30) -> CrowdDataset:
        """Keep decoded samples in memory if all of them fit into `limit` bytes."""
        if self._cache is None and self._fits(limit):
            self._cache, self._digests = {}, {True: {}, False: {}}  # its own: a set it is a part of may go on reading
        return self

    def _fits(self, limit: int) -> bool:
        """Whether all samples do, by the sizes that their files state; of images yet to be drawn all have the first's.

        The first alone says nothing in a folder of photographs; but one that is too large in itself, or all of one
        size, ends the search.
        """
        if self.size is not None or self._find is not _as_listed:
            return len(self) * self._bytes(0) <= limit
        held = itertools.accumulate(self._bytes(index) for index in range(len(self)))
        return all(bytes_ <= limit for bytes_ in held)

    def _bytes(self, index: int) -> int:
        """Three of image and one of mask for each pixel of a sample."""
        return 4 * math.prod(self.size or self.size_of(index))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # no slices: `subset` says it better
        entry = self._entries[operator.index(index)]
        if self._cache is None:
            return self._load(self._find(entry))
        if entry.name not in self._cache:
            self._cache[entry.name] = self._load(self._find(entry)).read_only()
            for labelled in (True, False):
                self._digests[labelled] |= {entry.name: self.subset([index])._digests_now(labelled)[0]}
        return self._cache[entry.name]

    def size_of(self, index: int) -> Size:
        """(height, width) of sample `index`, from the header of its file."""
        return self._target(image_size(self.entry(index).image, upright=self.upright))

    def read_image(self, index: int) -> np.ndarray:
        """Image `index` as its sample has it, (H, W, 3) uint8, without looking at any label."""
        return self._decode(self.entry(index))[0]

    def read_labels(self, index: int, *, mask: bool = True, size: Size | None = None) -> Labels:
        """Labels of image `index` as in its files: in stored pixels, with whatever lies outside.

        Args:
            mask: read the mask too, where there is one; it takes much longer than all the rest.
            size: (height, width) of the picture's file, where that is known already.
        """
        entry = self.entry(index)
        size = size or image_size(entry.image, upright=self.upright)
        labels = self._labels(entry, size)
        return replace(labels, mask=self._mask(entry, size)) if mask else labels

    def files(self, index: int) -> list[Path]:
        """Files that belong to image `index` alone: the picture first, then its annotation."""
        entry = self.entry(index)
        return [entry.image] + ([entry.annotation] if isinstance(entry.annotation, Path) else [])

    def subset(self, indices: Iterable[int]) -> CrowdDataset:
        """The same data set with only these images, in this order (a held-out part, a quick trial)."""
        chosen = copy.copy(self)  # shares the cache: it goes by name
        chosen._entries = [self._entries[operator.index(index)] for index in indices]
        return chosen

    def digests(self, *, labelled: bool = True) -> list[str]:
        """Digest of what every sample is read from: its picture and, unless `labelled` is off, its labels.

        Of a sample that is kept in memory it is what that was read from, whatever the files hold since.
        """
        known = self._digests[labelled]
        others = self.subset(index for index, name in enumerate(self.names) if name not in known)
        found = known | dict(zip(others.names, others._digests_now(labelled), strict=True))
        return [found[name] for name in self.names]

    def _digests_now(self, labelled: bool) -> list[str]:
        """As `digests`, of the files as they are."""
        order = tqdm(range(len(self)), "drawn", unit="image", delay=3, leave=False, disable=self._find is _as_listed)
        files = [self.files(index)[: None if labelled else 1] for index in order]
        of = file_digests(itertools.chain.from_iterable(files), self.name)
        digests = [[of[path] for path in own] for own in files]
        for index, own in enumerate(digests):
            annotation = self.entry(index).annotation
            own += [annotation.digest()] if labelled and isinstance(annotation, Labels) else []
        return [joined(own) for own in digests]

    def describe(self, *, labelled: bool = True) -> dict[str, Any]:
        """What a checkpoint says about its data: format, number, size, names and contents (as digests).

        Images of the mini world are called that: they have the format of a real set without being any of it. No path of
        a machine is in it. With `labelled` off, the contents are those of the pictures alone: for a use that reads no
        labels.
        """
        names, size = joined(map(in_utf8, self.names)), None if self.size is None else list(self.size)
        about = {"format": type(self).__name__, "images": len(self), "names_sha256": names}
        about |= {WORLD: MINI_WORLD} if self._entries and in_mini_world(self.entry(0).image) else {}
        return about | {CONTENTS: joined(self.digests(labelled=labelled)), "size": size, "max_side": self.max_side}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self)} images>"

    @abstractmethod
    def _labels(self, entry: Entry, size: Size) -> Labels:
        """Labels of one image, whose file holds `size` (height, width) pixels; without the mask."""

    def _mask(self, entry: Entry, size: Size) -> np.ndarray | None:
        """Its mask, (H, W) uint8, where the data set has masks."""
        return None

    def _load(self, entry: Entry) -> Sample:
        image, stored = self._decode(entry)
        labels = self._labels(entry, stored)
        inside = ((labels.points >= 0) & (labels.points < stored[::-1])).all(axis=1)
        mask = self._mask(entry, stored)
        if mask is not None and mask.shape != tuple(stored):  # a resize would stretch it, and nobody would be told
            raise InputError(f"{entry.name}: its mask {mask.shape} has not the size {tuple(stored)} of its image")
        sample = Sample(
            image=image,
            points=keep_inside(labels.points[inside], stored),
            boxes=clip_boxes(labels.boxes, stored),
            mask=mask,
            name=entry.name,
            dropped=int((~inside).sum()),
            labelled=self.labelled,
            attributes=labels.attributes,
        )
        return sample if sample.size == stored else replace(sample, **resize_labels(sample, stored, sample.size))

    def _decode(self, entry: Entry) -> tuple[np.ndarray, Size]:
        """The picture at the wanted size, and the size its file has."""
        if self.size is None and self.max_side is None:  # saves a look into the header
            image = read_image(entry.image, upright=self.upright)
            return image, image.shape[:2]
        target = self._target(image_size(entry.image, upright=self.upright))
        return read_image_at(entry.image, target, upright=self.upright)

    def _target(self, stored: Size) -> Size:
        if self.size is not None:
            return self.size
        if self.max_side is None:
            return stored
        scale = min(1.0, self.max_side / max(stored))
        return max(1, round(stored[0] * scale)), max(1, round(stored[1] * scale))
