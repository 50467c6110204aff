"""Where things are, in a clone of the tutorial and without one: the mini world, and the models that commands use."""

from __future__ import annotations

from pathlib import Path

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import read_json, user_cache

CHECKPOINTS, MINI_ROOT = Path("data/checkpoints"), Path("data/mini")  # seen from a clone's folder
MODELS = ("se+fd", "noadapt", "segmenter")  # they come with every installation; a clone has more
_DOMAINS = "source", "target", "third"  # folders of a mini world
MINI_WORLD = "mini world"  # what cards call it
MANIFEST, GENERATOR = "manifest.json", "sdcda_tutorial.scenes"  # every mini world has this file, which names us
CLONE_HAS = Path("data/results/mini_world.json")
_PACKAGE = Path(__file__).resolve().parent


def clone(of: Path | None = None) -> Path | None:
    """The clone of the tutorial that a folder is in, by default the current one, or None."""
    here = of or Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / CLONE_HAS).is_file()), None)


def mini_root() -> Path:
    """Where the mini world of seed 0 is or will be: data/mini of the clone around, or else the user's cache folder."""
    root = clone()
    if root is None:
        return user_cache() / "mini"
    return MINI_ROOT if root == Path.cwd() else root / MINI_ROOT


def in_mini_world(path: Path) -> bool:
    """Whether a file of a data set belongs to a mini world: a manifest of ours is above the folder of its domain."""
    path = path.absolute()
    for folder in path.parents[2:5]:  # third/Images, source/scene_00_0/jpgs, target/part_B/train_data/images
        domain = path.relative_to(folder).parts[0].partition("-")[0]  # "target-test-15": drawn on demand
        if domain in _DOMAINS and (folder / MANIFEST).is_file():
            try:
                return bool(read_json(folder / MANIFEST)["generator"] == GENERATOR)
            except (InputError, KeyError, TypeError):
                return False
    return False


def model(name: str) -> Path:
    """The checkpoint of one of `MODELS`: a wheel has a copy in the package, a clone keeps it in data/checkpoints.

    Raises:
        InputError: neither is there.
    """
    places = (_PACKAGE / "models", _PACKAGE.parent / CHECKPOINTS)
    found = next((path for place in places if (path := place / f"{name}.safetensors").is_file()), None)
    if found is None:
        raise InputError(f"the model {name} is missing from {places[0]}; reinstall sdcda-tutorial")
    return found
