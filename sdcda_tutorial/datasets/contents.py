"""Digests of files, so that data is known by what it holds: the frames of two videos may have the same names.

Reading 15,000 images takes a while, so the digests of large sets are kept in the user's cache folder. There, a file is
the one that was read as long as its size, its times of change and its place on the disk are the same.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tqdm.auto import tqdm

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import cache_file, file_digest, read_json
from sdcda_tutorial.guards.locks import write_cache

WORTH_KEEPING = 2**26  # bytes: less is read again within a tenth of a second
_TO_OPEN = 2**15  # bytes that are read in the time that it takes to open a file
_SETTLED = 2 * 10**9  # nanoseconds: a file changed so lately could change again without a sign of it in its times

Status = list[int]  # size, time of change, time of any change, inode
_KNOWN: dict[Path, tuple[Status, str]] = {}  # what this process has read or found in the cache


def file_digests(paths: Iterable[Path], of: str) -> dict[Path, str]:
    """Digest of each file (`files.file_digest`).

    Args:
        of: the data set they belong to; each has a cache file of its own.
    Raises:
        InputError: a file cannot be read.
    """
    found = {path: _status(path) for path in paths}
    cache = cache_file("contents", of)
    known: dict[str, tuple[Status, str]] = {}
    if _cost(status for path, status in found.items() if not _is_known(path, status)) >= WORTH_KEEPING:
        with suppress(InputError, AttributeError, TypeError, ValueError):  # no such file, or not one of ours
            known = {name: (status, str(digest)) for name, (status, digest) in read_json(cache).items()}
            _KNOWN.update({path: known[name] for path in found if (name := str(path.absolute())) in known})
    digests = {path: _KNOWN[path][1] for path, status in found.items() if _is_known(path, status)}
    stale = [path for path in found if path not in digests]
    long, now = _cost(found[path] for path in stale) >= WORTH_KEEPING, time.time_ns()
    with ThreadPoolExecutor() as threads:  # the digest leaves Python's lock to others
        read = threads.map(file_digest, stale)
        bar = tqdm(stale, desc="contents of the data", unit="file", disable=not long)
        digests |= dict(zip(bar, read, strict=True))
    for path in stale:
        if all(not now - _SETTLED < changed <= now for changed in found[path][1:3]):
            _KNOWN[path] = found[path], digests[path]
    if long:  # beside what is known of other parts of the set
        settled = {str(path.absolute()): _KNOWN[path] for path, status in found.items() if _is_known(path, status)}
        with suppress(InputError):  # without a cache it takes longer the next time, and nothing is wrong
            write_cache(cache, {**known, **settled})
    return digests


def _is_known(path: Path, status: Status) -> bool:
    return path in _KNOWN and _KNOWN[path][0] == status


def joined(digests: Iterable[str]) -> str:
    """One digest of several, in their order."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def _cost(files: Iterable[Status]) -> int:
    return sum(size + _TO_OPEN for size, *_ in files)


def _status(path: Path) -> Status:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
