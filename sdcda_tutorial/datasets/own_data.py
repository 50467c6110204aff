"""A data set of one's own images and head points, in ShanghaiTech's layout but without MATLAB.

    made = make_dataset("points.csv", "photographs", "~/data/market")
    dataset = open_dataset("shanghaitech:~/data/market")

The points come as CSV, a line `image,x,y` for each head and `image,,` for an image without people, or as JSON,
`{"image.jpg": [[x, y], ...]}`. They are in pixels, (0, 0) is the top left corner of the image, and x goes to the right.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from sdcda_tutorial.datasets.formats.folder_listing import existing_folder, is_number, known_split, listing, shorten
from sdcda_tutorial.datasets.formats.image_folder import ENDINGS
from sdcda_tutorial.datasets.formats.matfiles import save_image_info
from sdcda_tutorial.datasets.images import pictures_in, read_image, stored_size
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import (
    expanded,
    file_digest,
    in_one_line,
    path_inside,
    put_in_place,
    read_json,
    refuse_long_names,
    regular_file,
)
from sdcda_tutorial.guards.locks import one_writer

_JPEG_SIDE = 65_500  # pixels: no JPEG has a longer one


class Made(NamedTuple):
    """What `make_dataset` has made, and what its user should know."""

    folder: Path  # train_data or test_data
    images: int
    points: int
    outside: dict[str, int]  # image: points outside it, which will not be counted
    unlabelled: list[str]  # images in the folder that the labels do not name
    in_both: list[str]  # images that the other part holds too: what is learnt from one cannot be measured there


class _Listed(NamedTuple):
    place: str  # where the labels name the image first
    image: str
    points: list[tuple[float, float]]


def make_dataset(
    labels: str | os.PathLike[str],
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    split: str = "train",
    *,
    progress: bool = True,
) -> Made:
    """Write the images that `labels` names, and their points, to a data set that "shanghaitech:OUT" opens.

    `photo.jpg` becomes `IMG_photo.jpg`. A JPEG is copied as it is; other images are stored as JPEG of high quality.

    Args:
        labels: a .csv or a .json file.
        images: the folder that the names in it begin from.
        out: a new or empty folder, or one that holds only the other part.
        split: "train" or "test", the part that this becomes.
        progress: show a bar.
    Raises:
        InputError: a line that is no point, an image that is missing, damaged or to be turned (points are in stored
            pixels, and EXIF would show others), or a folder `out` that holds something. Nothing is left of it then.
    """
    labels, root, out = expanded(labels), existing_folder(images, "the images"), expanded(out)
    part = f"{known_split(split, ('train', 'test'), 'a set of your own')}_data"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; choose a new folder")
    listed = _read_labels(labels)
    targets = _targets(listed)
    outside = {}
    try:
        with one_writer(out), TemporaryDirectory(prefix=".making-", dir=out) as hidden:
            allowed = {"train_data", "test_data"} - {part}
            if foreign := [name for name in listing(out) if name[0] != "." and name not in allowed]:
                raise InputError(f"{out} already holds {', '.join(foreign[:3])}; choose a new folder")
            made = Path(hidden, part)
            for stale in out.glob(".making-*"):  # of a command that was killed
                if stale != made.parent:
                    shutil.rmtree(stale, ignore_errors=True)
            for folder in ("images", "ground_truth"):
                (made / folder).mkdir(parents=True)
            for one in tqdm(listed, unit="image", disable=not progress):
                points = np.array(one.points, dtype=np.float64).reshape(-1, 2)
                width, height = _write_image(one, root, made / "images" / f"{targets[one.image]}.jpg")
                save_image_info(made / "ground_truth" / f"GT_{targets[one.image]}.mat", points)
                if beyond := int(((points < 0) | (points >= (width, height))).any(axis=1).sum()):
                    outside[one.image] = beyond
            other = out / allowed.pop() / "images"
            theirs = {file_digest(path) for path in other.glob("*.jpg")}
            ours = {one.image: file_digest(made / "images" / f"{targets[one.image]}.jpg") for one in listed if theirs}
            put_in_place(made, out / part)
    except OSError as error:
        raise InputError(f"cannot write {out / part}: {error.strerror or error}; choose another folder") from error
    files = {os.path.normpath(one.image) for one in listed}
    places = {os.path.dirname(file) for file in files} | {""}
    beside = {os.path.join(place, name) for place in places for name in listing(root / place)}
    others = sorted(name for name in beside - files if name.lower().endswith(ENDINGS))
    twice = [image for image, digest in ours.items() if digest in theirs]
    return Made(out / part, len(listed), sum(len(one.points) for one in listed), outside, others, twice)


def _write_image(one: _Listed, root: Path, target: Path) -> tuple[int, int]:
    """Copy or convert an image; its width and height."""
    try:
        path = path_inside(root, one.image)
        picture = read_image(path)  # all of it: damage shows here, not in a training
        upright, turned = read_image(path, upright=True), stored_size(path)[1] > 1
    except InputError as error:
        raise InputError(f"{one.place}: {error}") from None
    if (pictures := pictures_in(path)) > 1:
        raise InputError(f"{one.place}: {path} holds {pictures} pictures, and points are of one; save that one")
    if turned or not np.array_equal(picture, upright):  # the second: a PNG may say so behind its pixels
        raise InputError(
            f"{one.place}: {path} is to be turned (by its EXIF orientation), but points are in stored pixels; "
            "save it upright, without this tag, and mark its heads there"
        )
    if max(picture.shape) > _JPEG_SIDE:
        raise InputError(f"{one.place}: {path} has more than {_JPEG_SIDE:,} pixels on a side; cut or shrink it")
    refuse_long_names(target.with_name(f"GT_{target.stem}.mat"))  # the longer of the two
    if path.suffix.lower() in (".jpg", ".jpeg"):
        shutil.copyfile(path, target)
    else:
        Image.fromarray(picture).save(target, quality=95, subsampling=0)
    return picture.shape[1], picture.shape[0]


def _targets(listed: list[_Listed]) -> dict[str, str]:
    """The new name of every image, without its ending."""
    targets: dict[str, str] = {}
    taken: dict[str, str] = {}
    for place, image, _ in listed:
        stem = Path(image).stem
        targets[image] = stem if re.match(r"(?i:IMG_).", stem) else f"IMG_{stem}"
        first = taken.setdefault(targets[image].casefold(), image)  # some systems do not tell a from A
        if first != image:
            both = f"{in_one_line(image)} and {in_one_line(first)}"
            if os.path.normcase(os.path.normpath(image)) == os.path.normcase(os.path.normpath(first)):
                raise InputError(f"{place}: {both} are one image; call it the same in every line")
            raise InputError(f"{place}: {both} would both become {in_one_line(targets[image])}; rename one of them")
    return targets


# --- the labels -------------------------------------------------------------------------------------------------------
def _read_labels(path: Path) -> list[_Listed]:
    readers = {".csv": _from_csv, ".json": _from_json}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} should be a .csv file with lines image,x,y or a .json file; convert it")
    listed = list(readers[path.suffix.lower()](path))
    if not listed:
        raise InputError(f"{path} lists no images; write a line image,x,y for each head")
    return listed


def _from_csv(path: Path) -> Iterator[_Listed]:
    listed: dict[str, _Listed] = {}
    without: dict[str, str] = {}  # image without people: where that is said
    try:
        with open(regular_file(path), encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            for row in rows:
                place = f"{path}, line {rows.line_num}"
                fields = [field.strip() for field in row]
                if not any(fields) or (not listed and [field.lower() for field in fields] == ["image", "x", "y"]):
                    continue
                point = _point(place, fields)
                one = listed.setdefault(fields[0], _Listed(place, fields[0], []))
                if point is None:
                    without[fields[0]] = place
                else:
                    one.points.append(point)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: {error}; fix the line") from None
    for image, place in without.items():
        if listed[image].points:
            named = in_one_line(image)
            raise InputError(f"{place}: {named} is said to be without people, and has points in other lines; fix it")
    yield from listed.values()


def _point(place: str, fields: list[str]) -> tuple[float, float] | None:
    """(x, y) of a line `image,x,y`; None for `image,,`."""
    if len(fields) == 3 and fields[1:] == ["", ""]:
        return None
    try:
        _, x, y = fields
        point = float(x.replace("_", "?")), float(y.replace("_", "?"))  # to Python 1_0 is ten
        if all(is_number(value) for value in point):
            return point
    except ValueError:
        pass
    found = ",".join(fields)
    fix = "separate the three with commas" if re.search("[;\t]", found) else "fix the line"
    raise InputError(f"{place}: expected image,x,y, found {in_one_line(shorten(found))}; {fix}")


def _from_json(path: Path) -> Iterator[_Listed]:
    stored = read_json(path, fix="fix the file")
    if not isinstance(stored, dict):
        raise InputError(f'{path} should hold {{"image.jpg": [[x, y], ...], ...}}; fix the file')
    for image, points in stored.items():
        place = f"{path}, {shorten(repr(image))}"
        if not isinstance(points, list):
            raise InputError(f"{place}: expected a list of points [x, y], found {shorten(repr(points))}; fix it")
        for number, point in enumerate(points, start=1):
            if not isinstance(point, list) or len(point) != 2 or not all(is_number(value) for value in point):
                raise InputError(f"{place}: point {number} should be [x, y], found {shorten(repr(point))}; fix it")
        yield _Listed(place, image, [(float(x), float(y)) for x, y in points])
