"""Copies of the notebooks for a reader to work in: `work/`, which git ignores and nothing here overwrites.

    python tools/reader_copies.py

Answers that are typed into a copy outlive every `git pull`. When a notebook was updated, its new version takes the
place of a copy that nobody has changed, and else stands beside it, as NAME.new.ipynb.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, WORK = ROOT / "notebooks", ROOT / "work"
RECORD = ".copied.json"  # notebook -> digest of the version that was copied last


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refresh(originals: Path, work: Path) -> list[str]:
    """Copy each notebook once, and each new version of it; what a reader should know, a line each."""
    record, said = work / RECORD, list[str]()
    try:
        known = dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # the first time, or damaged: then every copy counts as the reader's own
        known = {}
    for original in sorted([*originals.glob("[!.]*.ipynb"), *originals.glob("solutions/[!.]*.ipynb")]):
        name = original.relative_to(originals).as_posix()
        version, copy = digest(original), work / name
        if known.get(name) == version and copy.exists():
            continue
        for number in itertools.count(1):  # the first place where nothing of the reader's is
            place = copy if number == 1 else copy.with_suffix(f".new{number - 1 if number > 2 else ''}.ipynb")
            if not place.exists() or digest(place) in (known.get(name), version):
                break
        if place != copy:
            said.append(f"{name} has a new version: it is in {place.name}, beside yours")
        put(original, place)
        known[name] = version
        write(json.dumps(known, indent=1), record)
    return said


def put(original: Path, copy: Path) -> None:
    """Copy in one step, so that an interruption leaves no half notebook."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial = copy.with_suffix(".tmp")
    shutil.copy(original, partial)
    os.replace(partial, copy)


def write(text: str, path: Path) -> None:
    partial = path.with_suffix(".tmp")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


if __name__ == "__main__":
    for line in refresh(NOTEBOOKS, WORK):
        print(line)
