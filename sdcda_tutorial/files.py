"""Writing files so that a kill or a full disk never leaves half of one."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block succeeds, delete it when it fails.

    The move is a rename within one folder, which the file system does in one step: a reader sees the old file or the
    new one, never a part. An `OSError` inside the block (disk full, no permission) becomes an `InputError` that
    names the file.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    except OSError as error:
        raise _unwritable(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; give the result the permissions any new file of this user gets.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with open(temporary, "rb") as file:  # on disk before it gets its name: a power cut must not leave an empty file
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}; free some space or choose another folder")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON, with a one-line `InputError` when the file is missing or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); restore or delete it") from None


def is_from(origin: Mapping[str, Any], folder: Path, provenance: str, *, what: str, foreign: str = "*") -> bool:
    """Whether `folder` says in its file `provenance` that it was made from `origin`; False where there is nothing yet.

    Args:
        what: name of what is made there.
        foreign: pattern of files that must not be there without a provenance.
    Raises:
        InputError: it was made from something else, or holds something else.
    """
    if (folder / provenance).exists():
        known = read_json(folder / provenance)
        known = known if isinstance(known, dict) else {}
        for key, value in origin.items():
            if known.get(key) != value:
                short = isinstance(value, str | float | int | list)
                made = f"{key} = {known.get(key)}, not {value}" if short else f"other {key}"
                raise InputError(f"{folder} holds {what} made with {made}; remove it, or choose another folder")
        return True
    # A dot begins what a killed writer left behind.
    if folder.is_file() or any(not path.name.startswith(".") for path in folder.rglob(foreign)):
        raise InputError(
            f"{folder} holds something else than {what}, or ones without a {provenance}; choose a new folder"
        )
    return False


def file_digest(path: str | Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file: enough to see that two are not the same."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def folder_digest(folder: Path) -> str:
    """As `file_digest`, of all PNGs below a folder and their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("[!.]*.png")):  # a dot begins what a killed writer left behind
        digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
