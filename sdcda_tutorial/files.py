"""Writing files and folders so that a kill or a full disk never leaves half of one, and none is taken for another."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import os
import stat
import tempfile
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError

_DEEPEST = 100  # brackets within brackets: what we write has a few


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, new: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block succeeds, delete it when it fails.

    The move is a rename within one folder, which the file system does in one step: a reader sees the old file or the
    new one, never a part. An `OSError` inside the block (disk full, no permission) becomes an `InputError` that
    names the file.

    Args:
        new: nothing may be there yet, not even what another process has just written.
    Raises:
        FileExistsError: something is there that was to be `new`.
    """
    path = Path(path)
    # As short for every name: the longest name that a disk allows can be written. `locks` knows it by this form.
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex[:16]}{path.suffix[:16]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_long_names(path)  # before the work of the block, as is an impossible place by the next line
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode
        yield temporary
        os.chmod(temporary, mode)  # safetensors makes private files; this is what any new file of this user gets
        with open(temporary, "rb") as file:  # on disk before it gets its name: a power cut must not leave an empty file
            os.fsync(file.fileno())
        if new:
            _link(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as error:
        if new and isinstance(error, FileExistsError) and path.parent.is_dir():
            raise
        reason = error.strerror or error
        raise InputError(f"cannot write {path}: {reason}; free some space or choose another folder") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _link(temporary: Path, path: Path) -> None:
    """As a rename, but of two processes that make the same new file the second one gets a FileExistsError."""
    try:
        os.link(temporary, path)
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(temporary, path)  # a file system without links (FAT)


def refuse_long_names(path: str | os.PathLike[str]) -> None:
    """Raise an InputError for a path, perhaps still to be made, with a name that is longer than its disk allows."""
    there = _nearest(path)
    for name in Path(path).absolute().relative_to(there).parts:
        try:
            os.lstat(there / name)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise InputError(
                    f"cannot write {path}: a name of {len(os.fsencode(name))} bytes is longer than this disk allows "
                    "(most allow 255); choose a shorter one"
                ) from None


def require_writable(folder: str | os.PathLike[str]) -> None:
    """Raise an InputError where no file can be written below `folder`; it may be still to be made, and is not made.

    For the beginning of long work, whose results go there at the end.
    """
    there = _nearest(folder)
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        reason = error.strerror if there.is_dir() else f"{there} is not a folder"
        raise InputError(f"cannot write in {folder}: {reason}; choose another folder") from None
    refuse_long_names(folder)


def refuse_other_file(
    path: str | os.PathLike[str], beginning: str, is_ours: Callable[[str], bool] = lambda text: True
) -> None:
    """Raise an InputError where a file cannot be written, or would replace one that does not begin so.

    Args:
        is_ours: whether a text that begins so is one of ours altogether; an empty file is always free.
    """
    path = Path(path)
    require_writable(path.parent)
    refuse_long_names(path)
    if os.path.lexists(path):
        if not path.is_file():
            raise InputError(f"{path} is not a file that can be replaced; name a new one")
        refuse_read_only(path)
        found = path.read_bytes().replace(b"\r\n", b"\n")  # as Windows writes a new line
        start = beginning.encode()
        known = found.startswith(start) and is_ours(found.decode("utf-8", "replace"))
        if not (known or start.startswith(found)):
            raise InputError(f"{path} holds something else, which would be lost; move it away or name another place")


def refuse_read_only(path: str | os.PathLike[str]) -> None:
    """Raise an InputError for a file that may not be changed: an atomic write would replace it all the same."""
    if not os.access(path, os.W_OK):
        raise InputError(f"{path} is read-only; make it writable or name another place")


def _nearest(path: str | os.PathLike[str]) -> Path:
    """The path, or the nearest above it that exists."""
    absolute = Path(path).absolute()
    return next(place for place in (absolute, *absolute.parents) if os.path.lexists(place))


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
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half a character, which JSON can hold and a file's name cannot
        raise InputError(f"{name!a} is no name of a file in {folder}; rename it where it is listed") from None
    if path.anchor or ".." in path.parts or "\0" in name or not path.name:
        raise InputError(f"{name!r} is no name of a file in {folder}; rename it where it is listed")
    return Path(folder) / path


def read_object(path: str | os.PathLike[str], fix: str = "restore or delete it") -> dict[str, Any]:
    """As `read_json`, of a JSON object; anything else is an `InputError` too."""
    value = read_json(path, fix)
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object; {fix}")
    return value


def in_one_line(path: str | os.PathLike[str]) -> str:
    """The path for a message: in quotes and escaped where it holds what ends a line or commands a terminal."""
    name = os.fsdecode(path)
    if name.isprintable():  # as nearly all are; letter by letter takes as long as to open the file
        return name
    return repr(name) if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name) else name


def regular_file(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """`path`, to be opened: a pipe would wait for its writer for ever.

    Raises:
        InputError: it is a pipe, a socket or a device.
        OSError: it is a folder, or not there.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise InputError(f"{in_one_line(path)} is a pipe, a socket or a device; name a file")
    return path


def parse_json(text: str | bytes) -> Any:
    """As `json.loads`, for a text that somebody else may have written.

    Raises:
        ValueError: whatever is wrong with it, also nesting without end, and a key that is there twice, of which
            `json.loads` would silently drop the first.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("brackets within brackets without end") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:80]!r} is there twice")
    return found


def read_json(path: str | os.PathLike[str], fix: str = "restore or delete it") -> Any:
    """Read JSON, with a one-line `InputError` when the file is missing or broken, which says how to `fix` that."""
    path = Path(path)
    try:
        value = parse_json(Path(regular_file(path)).read_text(encoding="utf-8-sig"))
        level, depth = [value], 0
        while level := [inner for one in level for inner in _inside(one)]:
            if (depth := depth + 1) > _DEEPEST:
                raise ValueError("brackets within brackets without end")
        return value
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable JSON ({error}); {fix}") from None


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


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


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with ~ as the home of its user.

    Raises:
        InputError: nobody's home is known by that name: "~data/GCC" where "~/data/GCC" is meant.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = in_one_line(path)
        raise InputError(f"{name}: no home is known for {Path(name).parts[0]}; write ~/ or the whole path") from None


def user_cache() -> Path:
    """The user's folder for what can be made again: below $XDG_CACHE_HOME, or else where this system keeps caches."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("XDG_CACHE_HOME")  # on every system, so that there is one way to move it
    if chosen:
        return expanded(Path(chosen, "sdcda_tutorial"))
    try:
        return user_cache_path("sdcda_tutorial", appauthor=False)
    except RuntimeError:
        raise InputError("this user has no home folder for a cache; set XDG_CACHE_HOME to a folder") from None


def cache_file(kind: str, of: str | os.PathLike[str]) -> Path:
    """Where something of this kind about the file or folder `of` is kept."""
    return user_cache() / f"{kind}_{hashlib.sha256(os.fsencode(Path(of).resolve())).hexdigest()[:16]}.json"


def file_digest(path: str | Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file: enough to see that two are not the same."""
    digest = hashlib.sha256()
    try:
        with open(regular_file(path), "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return digest.hexdigest()[:16]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def json_digest(value: Any) -> str:
    """As `file_digest`, of a value that JSON can hold: the same before it is written and after it is read."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def files_below(folder: Path, pattern: str) -> Iterator[Path]:
    """What is called as the pattern says, in any folder below this one; what links lead to is below it, too."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # links may lead in a circle
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(place, name) for name in (*folders, *names) if fnmatch.fnmatchcase(name, pattern))


def folder_digest(folder: Path) -> str:
    """As `file_digest`, of all PNGs below a folder and their names; folders may be links."""
    digest = hashlib.sha256()
    for path in sorted(files_below(folder, "[!.]*.png")):  # a dot begins what a killed writer left behind
        digest.update(os.fsencode(path.relative_to(folder)) + Path(regular_file(path)).read_bytes())
    return digest.hexdigest()[:16]
