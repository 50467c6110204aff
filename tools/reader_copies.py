"""Copies of the notebooks for a reader to work in: `work/`, which git ignores and nothing here overwrites.

    python tools/reader_copies.py

Answers that are typed into a copy outlive every `git pull`. When a notebook was updated, its new version takes the
place of a copy that nobody has changed, and else stands beside it, as NAME.new.ipynb.
"""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path, file_digest, read_object, write_json

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, WORK = ROOT / "notebooks", ROOT / "work"
RECORD = ".copied.json"  # notebook -> digest of the version that was copied last


def refresh(originals: Path, work: Path) -> list[str]:
    """Copy each notebook once, and each new version of it; what a reader should know, a line each."""
    record, said = work / RECORD, list[str]()
    try:
        known = read_object(record)
    except InputError:  # the first time, or damaged: then every copy counts as the reader's own
        known = {}
    for original in sorted([*originals.glob("[!.]*.ipynb"), *originals.glob("solutions/[!.]*.ipynb")]):
        name = original.relative_to(originals).as_posix()
        version, copy = file_digest(original), work / name
        if known.get(name) == version and copy.exists():
            continue
        for number in itertools.count(1):  # the first place where nothing of the reader's is
            place = copy if number == 1 else copy.with_suffix(f".new{number - 1 if number > 2 else ''}.ipynb")
            if not place.exists() or file_digest(place) in (known.get(name), version):
                break
        if place != copy:
            said.append(f"{name} has a new version: it is in {place.name}, beside yours")
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(place) as partial:
            shutil.copy(original, partial)
        known[name] = version
        write_json(record, known)
    return said


if __name__ == "__main__":
    for line in refresh(NOTEBOOKS, WORK):
        print(line)
