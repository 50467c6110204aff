"""Finding files that belong together by their names: an image, its annotation, its mask."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sdcda_tutorial.datasets.crowd_dataset import AbsentPart, Entry, Finding
from sdcda_tutorial.errors import InputError


def existing_folder(root: str | os.PathLike[str], layout: str) -> Path:
    """`root` with ~ expanded; when it is no folder, an InputError that says what should be in it."""
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; expected {layout}")
    return folder


def known_split(split: str, known: Sequence[str], name: str) -> str:
    """`split`, or an InputError that lists those there are."""
    if split not in known:
        raise InputError(f"{name} has no split {split!r}; choose one of {', '.join(known)}")
    return split


def read_lines(path: Path, fix: str) -> list[tuple[str, str]]:
    """("file, line n", text) of every line that is not blank.

    Raises:
        InputError: the file is not there (an `AbsentPart`) or cannot be read; `fix` says what to do then.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise AbsentPart(f"{path} does not exist; {fix}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); {fix}") from None
    return [(f"{path}, line {number}", line) for number, line in enumerate(lines, start=1) if line.strip()]


def listing(folder: Path) -> list[str]:
    """Names in a folder, sorted; empty when there is no such folder. One system call instead of one per file."""
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def is_file_name(name: str) -> bool:
    """Whether a name that an annotation gives is that of one file or folder and, on any system, no path elsewhere."""
    return name not in ("", ".", "..") and not re.search(r"[/\\:\0]", name)


def find(folder: Path, pattern: str) -> list[tuple[str, Path]]:
    """(name of the image, path) of every file whose whole name fits; group 1 of the pattern is the image's name."""
    return [(match[1], folder / file) for file in listing(folder) if (match := re.fullmatch(pattern, file))]


def findings(paths: Iterable[Path], message: str, fault: bool = True) -> list[Finding]:
    """The same message about each file."""
    return [Finding(str(path), f"{path} {message}", fault) for path in paths]


def missing(paths: Sequence[Path], of: int, what: str) -> list[Finding]:
    """A fault for each of `paths`, which are those of the `of` expected files that are not there."""
    return findings(paths, f"is missing ({len(paths)} of {of} {what} are); complete or re-extract the set")


def without_image(annotations: Mapping[str, Path], images: Mapping[str, Path]) -> list[Finding]:
    """A fault for each annotation whose image is not there."""
    orphans = [path for name, path in annotations.items() if name not in images]
    return findings(orphans, "has no image; fetch the image again, or remove the file")


def strays(folder: Path, pattern: str, spelling: str) -> list[Finding]:
    """A note for each file among the images whose name does not fit."""
    paths = [folder / file for file in listing(folder) if not re.fullmatch(pattern, file)]
    return findings(paths, f"is not read: images are called {spelling}", fault=False)


def pairs(
    images: list[tuple[str, Path]], annotations: Mapping[str, Path], place: Callable[[str], Path]
) -> tuple[list[Entry], list[Finding], list[Finding]]:
    """Entries, faults and leftovers of images and annotations that share names; an annotation belongs at `place`."""
    absent = [place(name) for name, _ in images if name not in annotations]
    entries = [Entry(name, path, annotations[name]) for name, path in images if name in annotations]
    return entries, missing(absent, len(images), "annotations"), without_image(annotations, dict(images))
