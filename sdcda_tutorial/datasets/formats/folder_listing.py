"""Finding files that belong together by their names: an image, its annotation, its mask."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets.crowd_dataset import AbsentPart, Entry, Finding
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import expanded, regular_file


def existing_folder(root: str | os.PathLike[str], layout: str) -> Path:
    """`root` with ~ expanded; when it is no folder, an InputError that says what should be in it."""
    folder = expanded(root)
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
        text = Path(regular_file(path)).read_text(encoding="utf-8-sig")  # an editor may have put a mark in front
    except FileNotFoundError:
        raise AbsentPart(f"{path} does not exist; {fix}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); {fix}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error.reason}); save it as UTF-8, or fetch it again") from None
    lines = enumerate(text.split("\n"), start=1)  # `splitlines` would also split at signs that may be within a line
    return [(f"{path}, line {number}", line) for number, line in lines if line.strip()]


def listing(folder: Path) -> list[str]:
    """Names in a folder, sorted; empty when there is no such folder. One system call instead of one per file."""
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def nothing_fits(folder: Path, spelling: str) -> InputError:
    """The error for a folder without an image that is called as the format wants it: what lies there, the way out."""
    return InputError(
        f"{folder}: no images found, which should be called {spelling}; {holds(folder)}; rename them, "
        "or let `make_dataset` make a set from a list of points"
    )


def holds(folder: Path) -> str:
    """What a folder holds, in a few words."""
    names = [shorten(name, 40) for name in listing(folder) if not name.startswith(".")]
    few = ", ".join(names[:3]) + (", ..." if names[3:] else "")
    return f"{folder.name} holds {len(names)} others ({few})" if names else f"{folder.name} is empty"


def shorten(value: object, limit: int = 80) -> str:
    """What a file holds where something else should be, as a message shows it."""
    text = str(value)
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def is_number(value: Any) -> bool:
    """Whether a value out of a JSON file is a number that can be a place in an image: none is a billion pixels wide."""
    return type(value) in (int, float) and bool(abs(value) < 1e9)  # NaN is not smaller, and True is no number


def is_file_name(name: str) -> bool:
    """Whether a name that an annotation gives is that of one file or folder and, on any system, no path elsewhere."""
    return name not in ("", ".", "..") and not re.search(r"[/\\:\0]", name)


def find(folder: Path, pattern: str) -> list[tuple[str, Path]]:
    """(name of the image, path) of every file whose whole name fits; group 1 of the pattern is the image's name."""
    return [(match[1], folder / file) for file in listing(folder) if (match := re.fullmatch(pattern, file))]


def findings(paths: Iterable[Path], message: str, fault: bool = True) -> list[Finding]:
    """The same message about each file."""
    return [Finding(str(path), f"{path} {message}", fault) for path in paths]


def by_name(files: Iterable[tuple[str, Path]], faults: list[Finding]) -> dict[str, Path]:
    """Files by the name of their image; a second one of that name (.jpg beside .JPG) goes to `faults`."""
    first: dict[str, Path] = {}
    for name, path in files:
        if first.setdefault(name, path) != path:
            faults += findings([path], f"is a second file for the image of {first[name]}; remove one of them")
    return first


def missing(paths: Sequence[Path], of: int, what: str) -> list[Finding]:
    """A fault for each of `paths`, which are those of the `of` expected files that are not there."""
    instead = f"; {holds(paths[0].parent)}" if len(paths) == of > 0 else ""
    return findings(paths, f"is missing ({len(paths)} of {of} {what} are{instead}); complete or re-extract the set")


def without_image(annotations: Mapping[str, Path], images: Mapping[str, Path]) -> list[Finding]:
    """A fault for each annotation whose image is not there."""
    orphans = [path for name, path in annotations.items() if name not in images]
    return findings(orphans, "has no image; fetch the image again, or remove the file")


def strays(folder: Path, pattern: str, spelling: str) -> list[Finding]:
    """A note for each file among the images whose name does not fit."""
    paths = [folder / file for file in listing(folder) if not re.fullmatch(pattern, file)]
    return findings(paths, f"is not read: images are called {spelling}", fault=False)


def pairs(
    images: Iterable[tuple[str, Path]], annotations: Iterable[tuple[str, Path]], place: Callable[[str], Path]
) -> tuple[list[Entry], list[Finding], list[Finding]]:
    """Entries, faults and leftovers of images and annotations that share names; an annotation belongs at `place`."""
    faults: list[Finding] = []
    pictures, mats = by_name(images, faults), by_name(annotations, faults)
    faults += missing([place(name) for name in pictures if name not in mats], len(pictures), "annotations")
    entries = [Entry(name, path, mats[name]) for name, path in pictures.items() if name in mats]
    return entries, faults, without_image(mats, pictures)
