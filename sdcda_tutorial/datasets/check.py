"""Is a copy of a data set complete and sound? Checked before hours of training, not during them.

    report = check("shanghaitech-b", "~/data/ShanghaiTech", full=True)
    print(report.table())
    report.ok  # False where something is broken

A copy with fewer images than were published is *incomplete*, which is no fault: what is there can be used. A *fault* is
an image or an annotation that is wrong or cannot be used. A *note* is worth knowing and needs no fix. The loaders stop
at the first missing file; the check goes on.
"""

from __future__ import annotations

import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from sdcda_tutorial.datasets import locate, open_dataset
from sdcda_tutorial.datasets.crowd_dataset import AbsentPart, CrowdDataset, Finding
from sdcda_tutorial.datasets.formats.gcc import LOADING_SCREEN, lists_of
from sdcda_tutorial.datasets.images import pictures_in
from sdcda_tutorial.datasets.survey import Facts, facts_of, outside, places_of, strange
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import file_digest, in_one_line

ALIKE = 100  # findings of one kind that a table lists; a report holds all
SAMPLE = 50  # images of a part that are opened, evenly spread, unless all are
PUBLISHED: dict[str, dict[str | None, int | None]] = {  # images of each part; None where nothing was published
    "gcc": {None: 15_212},
    "shanghaitech-a": {"train": 300, "test": 182},
    "shanghaitech-b": {"train": 400, "test": 316},
    "shanghaitech": {"train": None, "test": None},  # any set in this layout
    "ucf-qnrf": {"train": 1201, "test": 334},
    "crowdhuman": {"train": 15_000, "val": 4370},
    "images": {None: None},
    "mini-source": {None: None},
    "mini-target": {"train": None, "test": None},
    "mini-third": {"train": None},
}
GCC_PEOPLE, GCC_FOLDERS = 7_625_843, 400
_MEASURED = "what was learnt from one cannot be measured on the other"
_BLACK = 16  # of 255: a picture is black when 99 % of its values are below


@dataclass(frozen=True)
class Tally:
    """A number that was found, and the one that was published, if any."""

    what: str
    found: int
    published: int | None = None

    @property
    def verdict(self) -> str:
        """complete, incomplete or more than published, in words; empty where nothing was published."""
        if self.published is None:
            return ""
        if self.found < self.published:
            return f"incomplete: {self.published - self.found:,} missing"
        return "complete" if self.found == self.published else f"{self.found - self.published:,} more than published"


@dataclass
class Report:
    """What a check found."""

    name: str  # of the data set, as "gcc:~/data/GCC"
    tallies: list[Tally] = field(default_factory=list)  # an image counts when its annotation is there too
    findings: list[Finding] = field(default_factory=list)
    opened: int = 0  # images that were opened

    @property
    def faults(self) -> list[Finding]:
        """What is broken or missing."""
        return [finding for finding in self.findings if finding.fault]

    @property
    def notes(self) -> list[Finding]:
        """What is worth knowing and needs no fix."""
        return [finding for finding in self.findings if not finding.fault]

    @property
    def ok(self) -> bool:
        """Whether nothing is broken; a copy may be sound and incomplete."""
        return not self.faults

    @property
    def complete(self) -> bool:
        """Whether there is as much as was published, where that is known."""
        return all(tally.published is None or tally.found >= tally.published for tally in self.tallies)

    def table(self) -> str:
        """Everything as text: the numbers, each fault and note with its file, and the verdict."""
        from rich.console import Console
        from rich.table import Column, Table

        numbers = Table("", Column("found", justify="right"), Column("published", justify="right"), "", box=None)
        for tally in self.tallies:
            published = "" if tally.published is None else f"{tally.published:,}"
            numbers.add_row(tally.what, f"{tally.found:,}", published, tally.verdict)
        findings = Table("", "file", "", box=None)
        alike: Counter[str] = Counter()
        for finding in [*self.faults, *self.notes]:
            what = finding.message.removeprefix(finding.path).lstrip(" :")
            kind = re.sub(r"\d+", "n", what)
            alike[kind] += 1
            if alike[kind] <= ALIKE:
                findings.add_row("fault" if finding.fault else "note", in_one_line(finding.path), what)
        for kind, number in alike.items():
            if number > ALIKE:
                findings.add_row("", f"and {number - ALIKE:,} more files", kind)
        # As wide as it takes: a path that is cut or broken over lines can be neither read nor copied.
        text = io.StringIO()
        console = Console(file=text, width=10_000, markup=False, emoji=False, highlight=False, no_color=True)
        console.print(self.name, numbers, sep="\n")
        if findings.rows:
            console.print("", findings, sep="\n")
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join([*lines, "", self.verdict])

    @property
    def verdict(self) -> str:
        """One line: sound or not, complete or not."""
        if self.faults:
            return f"faults: {len(self.faults):,} ({self.opened:,} images opened); fix them before you train"
        known = [tally for tally in self.tallies if tally.published is not None]
        share = "" if not known else ", complete" if self.complete else ", but incomplete"
        return f"sound{share}: no fault in what was looked at ({self.opened:,} images opened)"


def check(
    name: str, root: str | os.PathLike[str] | None = None, *, full: bool = False, progress: bool = True
) -> Report:
    """Count what is there, open a sample of it or everything, and report all that is wrong.

    Args:
        name: one of `datasets.DATASET_NAMES`, or name:root.
        root: folder of the data set; not needed where `name` has it, nor for the mini world.
        full: open every image, annotation and mask; else up to 50 of each part.
        progress: show a bar.
    Raises:
        InputError: unknown name, no such folder, or no part of the data set in it.
    """
    spec = name if root is None else f"{name}:{os.fspath(root)}"
    loader, folder = locate(spec)
    name = spec.partition(":")[0]
    parts = dict(PUBLISHED[name])
    if loader == "gcc":  # a file that a list names and that is not there shows only through the list
        parts |= {split: None for split, path in lists_of(folder).items() if path.is_file()}
    report = Report(spec)
    failed: list[InputError] = []
    people = cameras = 0
    pictures: dict[str, list[Path]] = {}  # of each part
    listed: dict[str, list[str]] = {}  # by each list of GCC
    for split, published in parts.items():
        what = "images" if split is None else f"{split} images"
        try:
            part = open_dataset(spec, split, strict=False, max_side=None)
        except InputError as error:
            failed.append(error)
            if len(failed) == len(parts) or (loader == "gcc" and split is None):  # lists alone are no GCC
                raise failed[0] from None
            absent = isinstance(error, AbsentPart)
            message = f"{folder} has no part {split!r}" if absent else str(error)
            report.findings.append(Finding(str(folder), message, fault=not absent))
            report.tallies.append(Tally(what, 0, published))
            continue
        loading_screens = sum(Path(one.path).stem == LOADING_SCREEN for one in part.leftovers)
        report.tallies.append(Tally(what, len(part) + loading_screens, published))
        known = {one.path for one in report.findings}  # GCC's lists name its scenes' files once more
        report.findings += [one for one in [*part.faults, *part.leftovers] if one.path not in known]
        if loader == "gcc" and split is not None:  # opened with all the others already
            listed[split] = part.names
            continue
        pictures[str(split)] = part.image_paths
        cameras = len({path.parents[1] for path in part.image_paths})
        sample = range(len(part)) if full else _spread(len(part))
        people += _open(part, tqdm(sample, desc=split or name, unit="image", disable=not progress), report)
    report.findings += _in_two_parts(pictures) + _in_two_lists(folder, listed)
    if loader == "gcc":
        report.tallies.append(Tally("camera folders", cameras, GCC_FOLDERS if name == "gcc" else None))
    if loader != "images":
        everyone = GCC_PEOPLE if name == "gcc" and full else None
        report.tallies.append(Tally(f"heads in {report.opened:,} images opened", people, everyone))
    return report


def _open(part: CrowdDataset, sample: Collection[int], report: Report) -> int:
    """Open some images of a part and tell the report what is wrong with them; how many people they show."""
    known_of: list[Facts] = []
    for index in sample:
        findings, facts = _examine(part, index)
        report.findings += findings
        known_of += facts
    report.findings += [one.of(part, len(sample)) for one in strange(known_of) if one.images and part.labelled]
    report.opened += len(sample)
    return sum(one.points for one in known_of)


def _in_two_parts(pictures: Mapping[str, Sequence[Path]]) -> list[Finding]:
    """A note for each picture that an earlier part has too, whatever its name there."""
    alike: dict[int, list[tuple[str, Path]]] = defaultdict(list)  # by their size, so that few have to be read
    for part, paths in pictures.items():
        for path in paths:
            with suppress(OSError):  # what cannot be read is a fault already
                alike[path.stat().st_size].append((part, path))
    alike.pop(0, None)
    findings = []
    for candidates in (found for found in alike.values() if len({part for part, _ in found}) > 1):
        first: dict[str, tuple[str, Path]] = {}
        for part, path in candidates:
            try:
                where, same = first.setdefault(file_digest(path), (part, path))
            except InputError:
                continue
            if where != part:
                message = f"{path} is the picture {same} of part {where!r}: {_MEASURED}"
                findings.append(Finding(str(path), message, fault=False))
    return findings


def _in_two_lists(folder: Path, listed: Mapping[str, Sequence[str]]) -> list[Finding]:
    """A note where both lists of a GCC name an image."""
    if len(listed) < 2 or not (twice := sorted(set.intersection(*map(set, listed.values())))):
        return []
    first, second = (lists_of(folder)[split] for split in listed)
    message = f"{second} lists {len(twice)} images that {first.name} lists too, first {twice[0]}: {_MEASURED}"
    return [Finding(str(second), message, fault=False)]


def _spread(number: int) -> list[int]:
    """At most `SAMPLE` of the first `number` integers, evenly spread, the first and the last among them."""
    return sorted({round(place) for place in np.linspace(0, number - 1, min(SAMPLE, number))})


def _examine(data: CrowdDataset, index: int) -> tuple[list[Finding], list[Facts]]:
    """What is wrong with one image and its labels, and what `survey` asks of it; nothing where it cannot be read."""
    files = data.files(index)
    findings: dict[Finding, None] = {}  # in order, each once: a header that is broken breaks image and labels

    def tell(message: str, fault: bool = True) -> None:
        path = next((str(path) for path in files if message.startswith(str(path))), str(files[0]))
        findings[Finding(path, message, fault)] = None

    try:
        if (pictures := pictures_in(files[0])) > 1:
            tell(f"{files[0]} holds {pictures} pictures, of which the first is taken", fault=False)
        if np.percentile(data.read_image(index)[::4, ::4], 99) < _BLACK:
            tell(f"{files[0]} is black; fetch it again, or remove it with its annotation")
    except InputError as error:
        tell(str(error))
    try:
        labels = data.read_labels(index)
        facts = facts_of(data, index, labels)
    except InputError as error:
        tell(str(error))
        return list(findings), []
    points, size = labels.points, facts.size
    stated = labels.attributes.get("stated_count", len(points))
    if stated != len(points):
        tell(f"{facts.file} states {stated} people and holds {len(points)} points; fetch it again")
    if (listed := labels.attributes.get("listed_count", len(points))) != len(points):
        counts = f"{facts.file} holds {len(points)} points, and a list says {listed} people of its image"
        tell(f"{counts}; Scene Regularization goes by the list: fetch both again", fault=False)
    for name in ("hour", "weather"):
        listed = labels.attributes.get(f"listed_{name}", labels.attributes.get(name))
        if (stored := labels.attributes.get(name)) not in (None, listed):
            says = f"{facts.file} has {name} {stored}, and a list {listed}"
            tell(f"{says}; Scene Regularization goes by the list: fetch both again", fault=False)
    if facts.why and len(labels.boxes):
        lost = int(outside(places_of(labels), size).sum())
        tell(f"{facts.file} has {lost} of {facts.boxes} boxes outside its {size[0]}×{size[1]} image{facts.why}")
    elif facts.outside:
        what = facts.why or "; they are not counted"
        share = f"{facts.outside} of {facts.points} points outside its {size[0]}×{size[1]} image"
        tell(f"{facts.file} has {share}{what}", fault=bool(facts.why))
    if labels.mask is not None and (way := _mirrored(points[~outside(points, size)], labels.mask)):
        tell(f"{facts.file} has its heads off the crowd of the mask, and on it when they are {way}; fetch it again")
    return list(findings), [facts]


def _mirrored(points: np.ndarray, mask: np.ndarray) -> str:
    """How three or more points (x, y) must be turned to lie on the crowd of their mask; empty if it is not that."""
    if len(points) < 3:
        return ""
    x, y = points.astype(int).T
    right, low = mask.shape[1] - 1, mask.shape[0] - 1
    ways = {
        "": (y, x),
        "mirrored left to right": (y, right - x),
        "mirrored upside down": (low - y, x),
        "turned by 180°": (low - y, right - x),
    }
    if max(x) <= low and max(y) <= right:
        ways["swapped, x with y"] = (x, y)
    shares = {way: float(mask[place].mean()) for way, place in ways.items()}
    best = max(shares, key=lambda way: shares[way])
    return best if shares[""] < 0.5 and shares[best] > 0.9 else ""
