"""What a user should know of a whole data set before hours are spent on it: `survey`, one line for each such thing.

Labels can be read without an error and mean something else than they seem: points outside their images, coordinates
from 0 to 1, every head twice, a picture that viewers turn. No loss and no metric shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from sdcda_tutorial import __version__
from sdcda_tutorial.datasets.contents import joined
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset, Finding, Labels
from sdcda_tutorial.datasets.formats.gcc import LOADING_SCREEN
from sdcda_tutorial.datasets.images import stored_size
from sdcda_tutorial.datasets.transforms import Size, clip_boxes
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import cache_file, in_utf8, read_object
from sdcda_tutorial.guards.locks import write_cache

Role = Literal["source", "boxes", "target", "test"]  # what a data set is used for

_CLEARLY = 0.02  # of a side: a point that far outside is no matter of rounding
_SWAPPED = 0.05  # of the points: as many are clearly outside in 95 % of 432 real images whose x and y one swaps
# Of 612 real images none has more than 5 % of its points at the place of another one, and in none do all points keep
# to this share of width and height at any corner.
_REPEATED, _CORNER = 0.1, 0.6
LARGE = 2000  # images: to survey so many takes seconds
_CLUTTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # what systems leave in folders


@dataclass(frozen=True)
class Facts:
    """What is known of one image without its pixels and its mask.

    Attributes:
        file: the annotation; the picture where it has none of its own.
        size, turned: (height, width) of the picture as stored, and its EXIF orientation; 1 is upright.
        points, outside, repeated: annotated points; those outside the image; those at the place of another.
        boxes, lost, ignored: annotated boxes; those without area in the image; regions that are not boxed one by one.
        reach: how far the points, or else the centres of the boxes, go to the right or down, in pixels.
        cornered: whether three or more of them all keep to the upper left, as those of a smaller copy would.
        misstated: whether the file states another number of points than it holds.
        why: why points lie outside, where that can be seen; see `why_outside`.
    """

    picture: Path
    file: Path
    size: Size
    turned: int
    points: int = 0
    outside: int = 0
    repeated: int = 0
    boxes: int = 0
    lost: int = 0
    ignored: int = 0
    reach: float = 0.0
    cornered: bool = False
    misstated: bool = False
    why: str = ""

    @property
    def labels(self) -> int:
        """Boxes, or points where there are none."""
        return self.boxes or self.points

    @property
    def headless(self) -> int:
        """People with a box and no point."""
        return max(0, self.boxes - self.points)


class Kind(NamedTuple):
    """Something that is so in some images of a set: which, what, what to do, and whether it is a fault."""

    images: Sequence[Facts]
    what: str
    fix: str
    fault: bool = False

    def of(self, data: CrowdDataset, number: int) -> Finding:
        """The line about it, of a set of which so many images were looked at."""
        where = f"in {len(self.images)} of {number} images, first {self.images[0].file}"
        return Finding(data.name, f"{data.name}: {self.what}, {where}; {self.fix}", self.fault)


def survey(data: CrowdDataset, role: Role = "test", *, progress: bool = True) -> list[str]:
    """Read all labels once, but no pixels and no masks, and say what a user should know; nothing if all is well.

    Args:
        role: "source" and "boxes" are to learn from, a "test" set to measure on. Of a "target" no label is read.
        progress: show a bar where it takes long.
    Returns:
        Lines that begin with the name of the data set.
    Raises:
        InputError: a picture or a label is broken, or there is nobody to learn from.
    """
    if data.upright:  # photographs without labels, seen as in a viewer
        return _left_out(data)
    facts = []
    for index in tqdm(range(len(data)), "labels", unit="image", delay=3, leave=False, disable=not progress):
        header = stored_size(data.files(index)[0])
        labels = None if role == "target" else data.read_labels(index, mask=False, size=header[0])
        facts.append(facts_of(data, index, labels, header))
    counted = sum(one.points - one.outside for one in facts)
    crowd = counted + sum(one.boxes - one.lost + one.ignored for one in facts) * (role == "boxes")
    if role in ("source", "boxes") and not crowd:
        points = _total(facts, "points")
        if points and points == _total(facts, "outside"):
            why = next((one.why for one in facts if one.why), "; are x and y right?")
            raise InputError(f"{data.name}: all {points} points lie outside their images, first {facts[0].file}{why}")
        found = ", ".join(f"{what}: {_total(facts, what)}" for what in ("points", "outside", "boxes"))
        raise InputError(
            f"{data.name}: nobody is labelled in its {len(facts)} images ({found}), first {facts[0].file}, so there is "
            "nothing to learn; name another data set, or label this one"
        )
    kinds = [*_uncounted(facts, role), *strange(facts, role)]
    return [*_left_out(data), *(one.of(data, len(facts)).message for one in kinds if one.images)]


def survey_once(data: CrowdDataset, role: Role, *, progress: bool = True) -> list[str]:
    """As `survey`; what was said of the same contents of a large set before is kept in the user's cache folder."""
    if len(data) < LARGE:
        return survey(data, role, progress=progress)
    leftovers = joined(in_utf8(one.message) for one in data.leftovers)
    of = data.describe(labelled=role != "target") | {"name": in_utf8(data.name), "role": role, "leftovers": leftovers}
    of["version"], cache = __version__, cache_file("survey", f"{data.name} {role}")
    with suppress(InputError, KeyError, TypeError):  # no such file, or not one of ours
        stored = read_object(cache)
        if stored["of"] == of:
            return [str(line) for line in stored["lines"]]
    lines = survey(data, role, progress=progress)
    with suppress(InputError):  # without a cache it takes longer the next time, and nothing is wrong
        write_cache(cache, {"of": of, "lines": lines})
    return lines


def facts_of(data: CrowdDataset, index: int, labels: Labels | None, header: tuple[Size, int] | None = None) -> Facts:
    """What is known of image `index`; without labels, what the picture alone says, whose `stored_size` is `header`."""
    picture, *annotation = data.files(index)
    size, turned = header or stored_size(picture)
    file = [*annotation, picture][0]
    if labels is None:
        return Facts(picture, file, size, turned)
    points, boxes, places = labels.points, labels.boxes, places_of(labels)
    beyond = outside(points, size)
    astray = outside(places, size) if len(boxes) else beyond
    return Facts(
        picture,
        file,
        size,
        turned,
        points=len(points),
        outside=int(beyond.sum()),
        repeated=len(points) - len(np.unique(points.round(1) @ [1, 1j])),
        boxes=len(boxes),
        lost=len(boxes) - len(clip_boxes(boxes, size)) if len(boxes) else 0,
        ignored=len(labels.attributes.get("ignored", ())),
        reach=float(np.abs(places).max(initial=0)),
        cornered=len(places) > 2 and bool((places <= _CORNER * np.array(size[::-1])).all()),
        misstated=labels.attributes.get("stated_count", len(points)) != len(points),
        why=why_outside(places, size, turned) if astray.any() else "",
    )


def places_of(labels: Labels) -> np.ndarray:
    """(N, 2) places (x, y) that are in the image if all is well: the points, or the centres of the boxes.

    Where there are boxes the points are their heads, and a body may be seen whose head is not.
    """
    return (labels.boxes[:, :2] + labels.boxes[:, 2:]) / 2 if len(labels.boxes) else labels.points


def outside(points: np.ndarray, size: Size) -> np.ndarray:
    """(N,) whether each of (N, 2) points (x, y) lies outside an image of `size` (height, width)."""
    return np.asarray(((points < 0) | (points >= size[::-1])).any(axis=1))


def why_outside(places: np.ndarray, size: Size, turned: int) -> str:
    """Why places lie outside an image, and what to do: the end of a sentence, empty where it cannot be seen."""
    sides = np.array(size[::-1])
    margin = _CLEARLY * sides
    clearly = int(np.any((places < -margin) | (places >= sides + margin), axis=1).sum())
    if turned > 4 and clearly and not outside(places, size[::-1]).any():
        return (
            f" and none when the picture is turned as its EXIF orientation {turned} says: they were made in a viewer "
            "that turns it; turn its pixels for good (`exiftran -ai FILE`)"
        )
    if clearly and clearly >= _SWAPPED * len(places) and not outside(places[:, ::-1], size).any():
        return " and none when x and y (column and row) are swapped: fix their order"
    return "; is it the annotation of another image, or of another size?" if clearly > len(places) / 2 else ""


def strange(facts: Sequence[Facts], role: Role = "test") -> list[Kind]:
    """What labels may seem to be and are not, in a set or a sample of it; each in no image if all is well."""
    turned = [replace(one, file=one.picture) for one in facts if one.turned > 1]
    tags = ", ".join(sorted({str(one.turned) for one in turned}))
    tiny = [one for one in facts if 0 < one.reach <= 1.5]
    tiny = tiny if _total(tiny, "labels") > 1 else []
    cornered = [one for one in facts if one.cornered and one.reach > 1.5]
    if len(cornered) <= 0.1 * sum(one.labels > 2 for one in facts) or _total(cornered, "labels") < 10:
        cornered = []  # a few people at one side of a few images
    counts = role in ("source", "test")  # else boxes make the crowd, where there are any
    apart = [one for one in facts if one.reach > 1.5 and (counts or not one.boxes)]
    repeated = [one for one in apart if one.repeated > max(1, _REPEATED * one.points)]
    lost = [one for one in facts if one.lost]
    headless = [one for one in facts if counts and one.headless]
    nobody = facts if role == "test" and not _total(facts, "points") else []
    return [
        Kind(
            turned,
            f"pictures are stored turned or mirrored (EXIF orientation {tags}) and used as they are stored",
            "viewers turn them upright, and so does `predict_density` with a photograph: if labels were made in one, "
            "turn the pixels for good (`exiftran -ai FILE`), else remove the tag (`exiftool -Orientation= FILE`)",
        ),
        Kind(
            tiny,
            "all labels lie within a pixel of the upper left corner",
            "are they coordinates from 0 to 1? multiply x by the width and y by the height of the image",
            fault=True,
        ),
        Kind(
            cornered,
            f"all labels lie in the upper left {_CORNER:.0%} of width and height",
            "are they of a smaller copy of the image, or in percent? draw them over it, and scale them",
        ),
        Kind(
            repeated,
            f"{_total(repeated, 'repeated')} of {_total(repeated, 'points')} points repeat another and count once more",
            "keep one of each",
            fault=True,
        ),
        Kind(
            lost,
            f"{_total(lost, 'lost')} of {_total(lost, 'boxes')} boxes have no area in their images and are left out",
            "are they of other images, or of another size?",
        ),
        Kind(
            headless,
            f"{_total(headless, 'headless')} of {_total(facts, 'boxes')} people have a box and no head: not counted",
            "give them an hbox",
        ),
        Kind(nobody, "nobody is labelled", "where people are seen in them, these are no labels to measure against"),
    ]


def _uncounted(facts: Sequence[Facts], role: Role) -> list[Kind]:
    """What `check` says of each file."""
    boxed = any(one.boxes for one in facts)
    beyond = [one for one in facts if one.outside and (not one.boxes or one.outside > one.points / 2)]
    beyond = [] if role == "boxes" and boxed else beyond
    why = next((one.why for one in beyond if one.why), "`check` says more")
    return [
        Kind(
            beyond,
            f"{_total(beyond, 'outside')} of {_total(facts, 'points')} points lie outside their images and are not "
            "counted",
            why.lstrip("; ").removeprefix("and "),
        ),
        Kind(
            [one for one in facts if one.misstated],
            "another number of people is stated than there are points",
            "the points count; fetch the annotations again",
        ),
    ]


def _left_out(data: CrowdDataset) -> list[str]:
    """One line about all files that are not used, with the first of each kind."""
    alike: dict[str, list[str]] = {}
    for one in data.leftovers:
        name = Path(one.path).name
        if name not in _CLUTTER and Path(name).stem != LOADING_SCREEN:
            reason = one.message.removeprefix(one.path).strip().partition(";")[0]
            alike.setdefault(reason, []).append(name)
    if not alike:
        return []
    said = [f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)} ({why})" for why, names in alike.items()]
    number = f"files left out: {sum(map(len, alike.values()))}"
    return [f"{data.name}: {len(data)} images are used; {number}: {', '.join(said)}; `check` lists them"]


def _total(facts: Sequence[Facts], what: str) -> int:
    return sum(getattr(one, what) for one in facts)
