"""Hour, weather and heads of every image of a GCC, read from its .mat files once and cached.

Fifteen thousand small files take a second or two from memory, and far longer from a cold disk or over a network. The
cache is in the user's cache folder, not beside the data, which may be read-only or shared. An entry holds as long as
its file has the same size and times of change, so after a copy was completed or fixed only what is new is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from sdcda_tutorial.datasets.formats.matfiles import load_image_info, numbers_of, points_of
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import cache_file, read_json
from sdcda_tutorial.guards.locks import write_cache


class MatEntry(NamedTuple):
    """What one .mat file held when it had this size (bytes) and these times (ns): of its content, of any change."""

    size: int
    changed: int
    touched: int
    hour: int
    weather: int
    heads: int


def read_index(root: Path, mats: Mapping[str, Path]) -> dict[str, MatEntry]:
    """Hour, weather and heads of every image in `mats`, by name.

    Args:
        root: the folder of the data set; every root has a cache file of its own.
        mats: name of the image -> its .mat file.
    Raises:
        InputError: a file that is damaged, or that lacks the hour or the weather.
    """
    cache = cache_file("gcc", root)
    known: dict[str, MatEntry] = {}
    with suppress(InputError, AttributeError, TypeError, ValueError, OverflowError):  # no such file, or not one of ours
        known = {name: MatEntry(*map(int, entry)) for name, entry in read_json(cache).items()}
    stale = {name: path for name, path in mats.items() if not _is_fresh(known.get(name), path)}
    try:
        for name, path in tqdm(stale.items(), desc="index of GCC", unit="file", disable=not stale):
            known[name] = _read_entry(path)
    finally:
        if stale:  # after an interruption or a damaged file too: what was read need not be read again
            with suppress(InputError):  # without a cache it takes longer the next time, and nothing is wrong
                write_cache(cache, known)
    return {name: known[name] for name in mats}


def _is_fresh(entry: MatEntry | None, path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False  # reading it will say what is wrong
    return entry is not None and entry[:3] == (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read_entry(path: Path) -> MatEntry:
    status = path.stat()  # before: what changes while it is read is read again
    mat, info = load_image_info(path)
    clock, weather = numbers_of(path, mat, "time_info"), numbers_of(path, mat, "weather_info")
    if not clock or not weather:
        raise InputError(f"{path} has no time_info or no weather_info, which the rules ask for; use the full release")
    heads = points_of(path, info["location"])
    return MatEntry(status.st_size, status.st_mtime_ns, status.st_ctime_ns, clock[0], weather[0], len(heads))
