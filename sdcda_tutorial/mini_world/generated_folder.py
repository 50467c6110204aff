"""A folder of generated files that is always whole: made beside its place, moved there when complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock; there, two first calls at once both do the work and one result stays
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(parent: Path) -> Iterator[None]:
    """Let one process at a time make folders in `parent`; the lock is on `parent` itself, so no lock file remains."""
    if fcntl is None:
        yield
        return
    handle = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def put_in_place_when_complete(root: Path) -> Iterator[Path]:
    """Give a new folder to fill; it becomes `root` when the block succeeds and vanishes when the block fails.

    Call it under `locked(root.parent)`. What is at `root` stays there until the new folder is complete; a move that
    fails puts it back. A temporary folder that a killed run left behind is cleared first.
    """
    prefix = f".{root.name}.making-"
    if fcntl is not None:  # we hold the lock, so whatever is left here belongs to nobody
        for stale in root.parent.glob(f"{prefix}*"):
            shutil.rmtree(stale, ignore_errors=True)
    making = Path(tempfile.mkdtemp(prefix=prefix, dir=root.parent))
    new, old = making / "new", making / "old"
    try:
        new.mkdir()  # inside a private folder, but itself with the permissions that any new folder of this user gets
        yield new
        if root.exists():
            os.replace(root, old)
        try:
            os.replace(new, root)
        except OSError:
            if old.exists() and not root.exists():
                os.replace(old, root)
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
