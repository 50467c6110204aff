"""The mini world on disk: a synthetic source, a target and a third domain, made from a seed in about 15 seconds.

    root/source   GCC           root/target   ShanghaiTech part B           root/third   CrowdHuman
    root/manifest.json          what was made, by which version, from which seed; without it a folder is not ours

A world is made in a temporary folder beside `root` and moved there when complete, so a kill never leaves half of one.
"""

from __future__ import annotations

import glob
import hashlib
import math
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm.auto import tqdm

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import expanded, put_in_place, read_json, require_writable, write_json
from sdcda_tutorial.guards.endings import end_with_parent, left_to_the_parent
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.mini_world.drawing import DEFAULT_STRENGTH, render
from sdcda_tutorial.mini_world.native_formats import write_crowdhuman, write_gcc, write_shanghaitech
from sdcda_tutorial.mini_world.sampling import sample_scene, scene_generator
from sdcda_tutorial.mini_world.scene import DOMAINS, Domain, Split, geometry_digest
from sdcda_tutorial.numbers import check_numbers
from sdcda_tutorial.places import GENERATOR, MANIFEST

VERSION = 3  # raise it whenever the pictures or the geometry change: worlds of another version are made again
_FEW = 40  # images that are made here before other processes would have started
_Image = tuple[Domain, Split, int]  # and its index within the split
_Made = tuple[str | None, int, str]  # its line in a list, its people, the digest of its geometry
LISTS: dict[tuple[Domain, Split], str | None] = {  # of each part, where its format has one
    ("source", "train"): "train.txt",
    ("source", "test"): "test.txt",
    ("target", "train"): None,
    ("target", "test"): None,
    ("third", "train"): "annotation_train.odgt",
}
_CLUTTER = ("Thumbs.db", "desktop.ini")  # what systems leave in folders
_PARENT = "SDCDA_MINI_WORLD_PARENT"


@dataclass(frozen=True)
class MiniWorldSettings:
    """Size and make-up of a world; `strength` is k, the distance of the target from the source (`drawing.render`)."""

    height: int = 192
    width: int = 256
    strength: float = DEFAULT_STRENGTH
    source_train: int = 400
    source_test: int = 100
    target_train: int = 200
    target_test: int = 150
    third_train: int = 400

    def __post_init__(self) -> None:
        check_numbers(self, above_zero=("height", "width"))


def ensure_mini_world(
    root: str | os.PathLike[str],
    *,
    seed: int = 0,
    settings: MiniWorldSettings | None = None,
    workers: int = 4,
    progress: bool = True,
) -> Path:
    """Make the mini world at `root`, or use the one that is there when it fits; safe to call from several processes.

    Args:
        root: folder of the world. One that holds something else is left alone.
        seed: the same seed and settings give the same points, boxes and counts on every machine.
        workers: processes that render images, at most one per core.
        progress: show a bar while images are made.
    Returns:
        `root` as a path, holding `source`, `target`, `third` and `manifest.json`.
    Raises:
        InputError: the folder exists and is not one of ours, or it cannot be written.
    """
    root, settings = expanded(root), settings or MiniWorldSettings()
    if os.environ.get(_PARENT) == str(os.getppid()):
        # A worker imports the caller's script anew; one without a main guard gets here again and would wait for ever.
        raise RuntimeError("put the code that runs your script under if __name__ == '__main__':")
    fits = partial(is_whole, root, seed, settings)
    make_once(root, fits, lambda world: _write_world(world, seed, settings, workers, progress))
    return root


def make_once(root: Path, fits: Callable[[], bool], write: Callable[[Path], None]) -> None:
    """Write a folder of ours to `root`, in one piece, unless what is there `fits`; safe to call from several processes.

    Raises:
        InputError: the folder exists and is not one of ours, or it cannot be written.
    """
    if fits():
        return
    if root.is_symlink() and root.exists():  # the link stays, and the world is where it leads
        root = root.resolve()
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with one_writer(root, wait=math.inf, beside=True) as alone:
            if not fits():  # another process may have made it while this one waited
                refuse_foreign(root)
                require_writable(root)
                prefix = f".{root.name}.making-"
                for stale in root.parent.glob(f"{glob.escape(prefix)}*") if alone else ():  # of a run that was killed
                    shutil.rmtree(stale, ignore_errors=True)
                with TemporaryDirectory(prefix=prefix, dir=root.parent, ignore_cleanup_errors=True) as hidden:
                    world = Path(hidden, "world")
                    world.mkdir()  # unlike `hidden`, with the permissions of any new folder of this user
                    write(world)
                    put_in_place(world, root, replace=True)
    except OSError as error:
        if fits():  # without a lock another process may have been faster, which is as good
            return
        reason = error.strerror or error
        raise InputError(f"cannot make the mini world in {root}: {reason}; choose another folder") from error


def is_whole(root: Path, seed: int, settings: MiniWorldSettings) -> bool:
    """Whether the world at `root` is whole and is the one asked for."""
    manifest, wanted = manifest_of(root), identity(seed, settings)
    return {key: manifest.get(key) for key in wanted} == wanted and manifest.get("files") == _count_files(root)


def manifest_of(root: Path) -> dict[str, Any]:
    """What the manifest says; empty where there is none that can be read."""
    try:
        manifest = read_json(root / MANIFEST)
    except InputError:
        return {}
    return manifest if isinstance(manifest, dict) else {}


def identity(seed: int, settings: MiniWorldSettings) -> dict[str, Any]:
    return {"generator": GENERATOR, "version": VERSION, "seed": int(seed), "settings": asdict(settings)}


def _count_files(root: Path) -> dict[str, int]:
    """Files of each folder below the domains, summed over GCC's scenes, such as {"source/jpgs": 500}."""
    counts: Counter[str] = Counter()
    for domain in DOMAINS:
        for folder, _, names in os.walk(root / domain):
            parts = Path(folder).relative_to(root).parts
            if ours := [name for name in names if not _is_clutter(name)]:
                counts["/".join(part for part in parts if not part.startswith("scene_"))] += len(ours)
    return dict(counts)


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name in _CLUTTER


def refuse_foreign(root: Path) -> None:
    """Raise unless `root` is absent, empty or a world of ours: nobody's own files are ever replaced."""
    empty = root.is_dir() and not any(root.iterdir())
    if (root.exists() or root.is_symlink()) and not empty and manifest_of(root).get("generator") != GENERATOR:
        raise InputError(
            f"{root} exists and is not a mini world ({MANIFEST} is missing or foreign); "
            "choose another folder or move it away"
        )
    if changed := _changed(root):
        raise InputError(
            f"{root} must be made anew, but {changed} is not the mini world's or was changed since; move it away"
        )


def _changed(root: Path) -> Path | None:
    """Something in a world that somebody else has put there or changed since."""
    for path in root.iterdir() if root.is_dir() else ():
        if path.name not in (MANIFEST, *DOMAINS) and not _is_clutter(path.name):
            return path
    own = manifest_of(root).get("files")
    if not isinstance(own, dict):
        return None
    if more := [folder for folder, number in _count_files(root).items() if number > own.get(folder, 0)]:
        return root / more[0]
    written = (root / MANIFEST).stat().st_mtime_ns  # after all others
    found = ((folder, name) for part in DOMAINS for folder, _, names in os.walk(root / part) for name in names)
    files = (Path(folder, name) for folder, name in found if not _is_clutter(name))
    return next((file for file in files if file.lstat().st_mtime_ns > written), None)


def _write_world(world: Path, seed: int, settings: MiniWorldSettings, workers: int, progress: bool) -> None:
    images = [(*part, index) for part in LISTS for index in range(getattr(settings, "_".join(part)))]
    make = partial(make_image, world, seed, settings)
    results = _run(make, images, min(workers, os.cpu_count() or 1), progress)
    parts: dict[str, list[_Made]] = {}
    for (domain, split), name in LISTS.items():
        (world / domain).mkdir(exist_ok=True)
        part = [made for image, made in zip(images, results, strict=True) if image[:2] == (domain, split)]
        if name is not None:
            (world / domain / name).write_text("".join(f"{line}\n" for line, _, _ in part), encoding="utf-8")
        parts[f"{domain}/{split}"] = part
    people = {part: sum(number for _, number, _ in made) for part, made in parts.items()}
    geometry = "".join(digest for _, _, digest in results)
    write_json(
        world / MANIFEST,
        {
            **identity(seed, settings),
            "images": {part: len(made) for part, made in parts.items()},
            "people": people,
            "total_people": sum(people.values()),
            "geometry": hashlib.sha256(geometry.encode()).hexdigest(),
            "files": _count_files(world),
        },
    )


def _run(make: Callable[[_Image], _Made], images: list[_Image], workers: int, progress: bool) -> list[_Made]:
    """Make all images, in worker processes where that pays; in this process where none can be started."""
    bar = partial(tqdm, total=len(images), desc="mini world", unit="image", disable=not progress)
    if workers > 1 and len(images) > _FEW:
        os.environ[_PARENT] = str(os.getpid())
        spawn = multiprocessing.get_context("spawn")
        with left_to_the_parent():
            pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent)
        try:
            with left_to_the_parent():  # they start with the first task
                made = [pool.submit(make, image) for image in images]  # not by `map`, which cancels what is left itself
            return [image.result() for image in bar(made)]
        except (BrokenProcessPool, PermissionError):
            pass
        finally:
            pool.shutdown(cancel_futures=True)  # by the pool's own thread: in step with what it does when a worker dies
            os.environ.pop(_PARENT, None)
    return list(bar(map(make, images)))


def number_of(image: _Image, settings: MiniWorldSettings) -> int:
    """The number of an image as the writer of its format counts."""
    domain, split, index = image
    if domain == "source":
        return index + (settings.source_train if split == "test" else 0)
    return index + 1 if domain == "target" else index


def make_image(world: Path, seed: int, settings: MiniWorldSettings, image: _Image) -> _Made:
    """Sample, render and write one image below `world`; the list of its part is left to the caller."""
    domain, split, index = image
    scene = sample_scene(scene_generator(seed, domain, split, index), domain, size=(settings.height, settings.width))
    rendering = render(scene, strength=settings.strength)
    folder, number, line = world / domain, number_of(image, settings), None
    if domain == "source":
        line = write_gcc(folder, number, scene, rendering)
    elif domain == "target":
        write_shanghaitech(folder, split, number, scene, rendering)
    else:
        line = write_crowdhuman(folder, number, scene, rendering)
    return line, len(scene.people), geometry_digest(scene)
