"""What something was made of, written beside it, so that it is never taken for something else of the same name."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import files_below, read_object, write_json

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # slow to import

CONTENTS = "contents_sha256"  # in the description of a data set
IMAGES = "images_sha256"  # image -> digest, in the provenance of what was made from them
WORLD = "world"  # in the description of a data set that was synthesised here: the name of that world, for readers
RECORDED_LATER = (CONTENTS, IMAGES, WORLD, "imagenet_weights")  # earlier versions knew the names of data only


def difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first thing in which two descriptions differ, as "seed = 1, not 2"; None where they agree.

    A description from before contents were recorded agrees with one that has them.
    """
    for key in sorted(now.keys() | then.keys(), key=lambda key: (key in RECORDED_LATER, key)):
        old, new = then.get(key), now.get(key)
        if old == new or key == WORLD or (key in RECORDED_LATER and key not in then):  # a copy has the same contents
            continue
        if (
            key == IMAGES and isinstance(old, dict) and isinstance(new, dict)
        ):  # of which one that was broken may be unknown
            new = {name: digest for name, digest in new.items() if name in old}
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := difference(old, new):
                return f"{key}: {inner}"
            continue
        if key == CONTENTS:
            return f"other contents (images or labels changed under the same names; digest {old}, not {new})"
        short = all(value is None or isinstance(value, str | float | int | list) for value in (old, new))
        return f"{key} = {old}, not {new}" if short else f"another {key}"
    return None


def contents_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Digest of the contents of each data set that a configuration describes, where it is known."""
    return {key: of[CONTENTS] for key, of in config.items() if isinstance(of, dict) and CONTENTS in of}


def without_contents(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description as a version had written it that knew the names of data only."""
    kept = {key: value for key, value in description.items() if key not in RECORDED_LATER}
    return {key: without_contents(value) if isinstance(value, dict) else value for key, value in kept.items()}


@contextmanager
def forgetting_contents(path: Path, image: str | None = None, *, data: str | None = None) -> Iterator[None]:
    """Read data in this block. If it is broken, `path` forgets its contents: the fixed data may go on from there.

    Where it knows the images one by one, it forgets only the broken `image`; where it knows several sets, only the one
    that it calls `data`.
    """
    try:
        yield
    except InputError:
        with suppress(InputError):
            known = read_object(path)
            images = {name: digest for name, digest in known.get(IMAGES, {}).items() if name != image}
            kept = known if data in known else {IMAGES: images} if image and images else {}
            write_json(path, without_contents(known) | {key: of for key, of in kept.items() if key != data})
        raise


def is_from(folder: Path, origin: Mapping[str, Any], provenance: str, *, what: str, foreign: str = "*") -> bool:
    """Whether `folder` says in its file `provenance` that it was made from `origin`; False where there is nothing yet.

    Args:
        what: name of what is made there.
        foreign: pattern of files that must not be there without a provenance.
    Raises:
        InputError: it was made from something else, or holds something else.
    """
    if (folder / provenance).exists():
        known = read_object(folder / provenance, fix=f"restore it, or remove {folder}")
        if other := difference({key: known[key] for key in origin if key in known}, origin):
            raise InputError(f"{folder} holds {what} made with {other}; remove it, or choose another folder")
        return True
    # Names that begin with a dot are what a killed writer left behind.
    if folder.is_file() or any(not path.name.startswith(".") for path in files_below(folder, foreign)):
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
    known = read_object(folder / provenance) if begun else {"date": datetime.date.today().isoformat()}
    if fabric is not None:
        fabric.barrier()  # every process has looked before the first one writes
    if {**known, **origin} != known and (fabric is None or fabric.is_global_zero):
        write_json(folder / provenance, {**origin, **known, **origin})
    if fabric is not None:
        fabric.barrier()  # no process makes anything before the file is there
