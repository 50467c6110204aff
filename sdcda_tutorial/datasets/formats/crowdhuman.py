"""CrowdHuman: photographs of people with boxes, from which the mask model of the paper learns what a crowd looks like.

Shao et al., "CrowdHuman: A Benchmark for Detecting Human in a Crowd", 2018. Layout:

    <root>/annotation_{train,val}.odgt     one JSON object a line: ID, gtboxes
           Images/<ID>.jpg
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset, Entry, Finding, Labels
from sdcda_tutorial.datasets.formats.folder_listing import (
    by_name,
    existing_folder,
    find,
    is_file_name,
    is_number,
    known_split,
    missing,
    read_lines,
    shorten,
    strays,
)
from sdcda_tutorial.datasets.transforms import Size, clip_boxes
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import parse_json

_LAYOUT = "CrowdHuman: annotation_train.odgt, annotation_val.odgt and the folder Images"
_IMAGE = r"(?is:(.*)\.jpe?g)"


class CrowdHuman(CrowdDataset):
    """Images and boxes of CrowdHuman; a sample is named by its ID.

    Boxes are the visible parts of persons (vbox), cut at the image. Boxes to be ignored (tag "mask", or
    extra.ignore = 1: crowds too dense to box, posters, reflections) are not among them; they are kept in
    `attributes["ignored"]`, (K, 4), and move with the image under every transform. Points are the centres of the
    head boxes of those same persons, whether the head itself is seen or inferred.

    Args:
        root: folder that holds the .odgt files and Images.
        split: "train" or "val" (the test set has no labels).
        options: size, max_side, cache, strict, as in `CrowdDataset`.
    Raises:
        InputError: when made, for a missing folder or image or a bad line; when read, for a damaged image.
    """

    def __init__(self, root: str | os.PathLike[str], split: str = "train", **options: Any) -> None:
        folder = existing_folder(root, _LAYOUT)
        annotations = folder / f"annotation_{known_split(split, ('train', 'val'), 'CrowdHuman')}.odgt"
        pictures = folder / "Images"
        listed: list[tuple[str, Labels]] = []
        faults: list[Finding] = []
        for place, line in read_lines(annotations, f"expected {_LAYOUT}"):
            try:
                listed.append(_parse(place, line))
            except InputError as error:
                faults.append(Finding(place, str(error)))
        if not listed and not faults:
            raise InputError(f"{annotations} lists no images; fetch it again")
        images = by_name(find(pictures, _IMAGE), faults)
        faults += missing([pictures / f"{id_}.jpg" for id_, _ in listed if id_ not in images], len(listed), "images")
        there = [Entry(id_, images[id_], labels) for id_, labels in listed if id_ in images]
        leftovers = strays(pictures, _IMAGE, "<ID>.jpg")
        super().__init__(f"crowdhuman:{folder}/{split}", there, faults, leftovers, **options)

    def _labels(self, entry: Entry, size: Size) -> Labels:
        labels: Labels = entry.annotation
        return replace(labels, attributes={"ignored": clip_boxes(labels.attributes["ignored"], size)})


def _parse(place: str, line: str) -> tuple[str, Labels]:
    """ID and labels of one line, in stored pixels."""
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}); fetch the file again") from None
    id_, people = (entry.get("ID"), entry.get("gtboxes")) if isinstance(entry, dict) else (None, None)
    if not isinstance(id_, str) or not isinstance(people, list) or not all(isinstance(one, dict) for one in people):
        raise InputError(f"{place}: expected an object with ID and gtboxes; fetch the file again")
    if not is_file_name(id_):
        raise InputError(f"{place}: the ID {id_!r} is no name of a file in Images; fetch the file again")
    boxes, ignored, heads = [], [], []
    for person in people:
        corners = _corners(place, person, "vbox")
        tag, extra = person.get("tag"), person.get("extra")
        ignore = extra.get("ignore", 0) if isinstance(extra, dict) else 0
        if tag not in ("person", "mask") or ignore not in (0, 1):  # a mask is a person's picture or reflection
            raise InputError(
                f"{place}: tag {tag!r} with ignore {ignore!r}; known are person, mask, 0 and 1; fix the line"
            )
        if tag == "mask" or ignore == 1:
            ignored.append(corners)
            continue
        boxes.append(corners)
        if "hbox" in person:
            x0, y0, x1, y1 = _corners(place, person, "hbox")
            heads.append(((x0 + x1) / 2, (y0 + y1) / 2))
    return id_, Labels(
        points=np.array(heads, dtype=np.float64).reshape(-1, 2),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        attributes={"ignored": np.array(ignored, dtype=np.float64).reshape(-1, 4)},
    )


def _corners(place: str, person: dict[str, Any], key: str) -> tuple[float, float, float, float]:
    """A stored (x, y, width, height) as (x0, y0, x1, y1)."""
    box = person.get(key)
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(value) for value in box):
        raise InputError(f"{place}: {key} should be four numbers, found {shorten(repr(box))}; fix the line")
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height
