"""Writing files and folders so that a kill or a full disk never leaves half of one, and none is taken for another."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcda_tutorial.errors import InputError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block succeeds, delete it when it fails.

    The move is a rename within one folder, which the file system does in one step: a reader sees the old file or the
    new one, never a part. An `OSError` inside the block (disk full, no permission) becomes an `InputError` that
    names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex[:16]}{path.suffix}")  # `locks` knows it by this name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)  # an impossible place is refused before the work of the block
        mode = temporary.stat().st_mode
        yield temporary
        os.chmod(temporary, mode)  # safetensors makes private files; this is what any new file of this user gets
        with open(temporary, "rb") as file:  # on disk before it gets its name: a power cut must not leave an empty file
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write {path}: {reason}; free some space or choose another folder") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def in_utf8(text: str) -> str:
    r"""The text with what UTF-8 cannot hold written as "\udce9", from which JSON reads the same text again.

    A file's name that is not UTF-8 on its disk holds such halves of characters.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(in_utf8(text), encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def path_inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The file called `name` in `folder`; a name may hold slashes, as GCC's do.

    Raises:
        InputError: the name would lead out of the folder ("../a", "/a"), or no file can be called so.
    """
    path = Path(name)
    if path.anchor or ".." in path.parts or "\0" in name:
        raise InputError(f"{name!r} is no name of a file in {folder}; rename it where it is listed")
    return Path(folder) / path


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON, with a one-line `InputError` when the file is missing or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); restore or delete it") from None


def is_from(folder: Path, origin: Mapping[str, Any], provenance: str, *, what: str, foreign: str = "*") -> bool:
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
    # Names that begin with a dot are what a killed writer left behind.
    if folder.is_file() or any(not path.name.startswith(".") for path in folder.rglob(foreign)):
        raise InputError(
            f"{folder} holds something else than {what}, or ones without a {provenance}; choose a new folder"
        )
    return False


def claim(
    folder: Path,
    origin: Mapping[str, Any],
    provenance: str,
    *,
    what: str,
    foreign: str = "*",
    fabric: Fabric | None = None,
) -> None:
    """Reserve `folder` for what is made from `origin`: write that and the date to its file `provenance`, once.

    Nothing is ever there without the file that says what it was made from, and work that was interrupted goes on.

    Args:
        what, foreign: as in `is_from`.
        fabric: where several processes fill the folder together, all of them call this.
    Raises:
        InputError: as in `is_from`.
    """
    begun = is_from(folder, origin, provenance, what=what, foreign=foreign)
    if fabric is not None:
        fabric.barrier()  # every process has looked before the first one writes
    if not begun and (fabric is None or fabric.is_global_zero):
        write_json(folder / provenance, {**origin, "date": datetime.date.today().isoformat()})
    if fabric is not None:
        fabric.barrier()  # no process makes anything before the file is there


def put_in_place(made: Path, root: Path, *, replace: bool = False) -> None:
    """Move the finished folder `made` to `root`, in the same file system, so that `root` is never half of one.

    Args:
        replace: whether `root` may hold something: that is moved beside `made`, to NAME.old, and back if this fails.
    Raises:
        OSError: `root` holds something that must stay, or cannot be written.
    """
    old = made.with_name(f"{made.name}.old")
    if replace and root.exists():
        os.replace(root, old)
    elif root.exists():
        root.rmdir()  # refuses a folder that is not empty
    try:
        os.replace(made, root)
    except OSError:
        if old.exists() and not root.exists():
            os.replace(old, root)
        raise


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
        digest.update(os.fsencode(path.relative_to(folder)) + path.read_bytes())
    return digest.hexdigest()[:16]
