"""The mini world image by image: who looks at thirty of its 1,250 images waits for thirty.

    .NAME.drawn-ID/manifest.json       which version, seed and settings, as in the world itself; ID is their digest
                   target-test-15/     a folder for each image that was asked for: `target`, if it held no other

These lie beside the world's own folder, which is whole or not there at all. So nothing that lists, counts, checks or
copies a world, of this version or another, can meet a part of one. They may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sdcda_tutorial.datasets import GCC, CrowdDataset, CrowdHuman, ShanghaiTech, open_dataset
from sdcda_tutorial.datasets.crowd_dataset import Entry
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import expanded, write_json
from sdcda_tutorial.mini_world.native_formats import picture_of
from sdcda_tutorial.mini_world.scene import Domain, Split
from sdcda_tutorial.mini_world.world import (
    LISTS,
    MiniWorldSettings,
    identity,
    is_whole,
    make_image,
    make_once,
    manifest_of,
    number_of,
    refuse_foreign,
)
from sdcda_tutorial.places import MANIFEST

_Part = tuple[Domain, Split]
_FORMATS: dict[Domain, tuple[str, type[CrowdDataset]]] = {
    "source": ("gcc", GCC),
    "target": ("shanghaitech-b", ShanghaiTech),
    "third": ("crowdhuman", CrowdHuman),
}


def open_mini_world(
    root: str | os.PathLike[str], *, seed: int = 0, settings: MiniWorldSettings | None = None
) -> dict[_Part, CrowdDataset]:
    """The parts of the mini world: of the whole one at `root`, or, where there is none, drawn as they are read.

    Images, labels, names and order are the same either way, bit for bit. An image that was drawn is kept beside `root`.
    Safe to use from several processes.

    Raises:
        InputError: `root` is something else, or nothing can be written beside it. So may reading a sample, later.
    """
    root, settings = expanded(root).absolute(), settings or MiniWorldSettings()
    if is_whole(root, seed, settings):
        return {(domain, split): open_dataset(f"mini-{domain}:{root}", split) for domain, split in LISTS}
    try:
        refuse_foreign(root)
    except OSError as error:
        raise InputError(f"{root} cannot be read: {error.strerror or error}; move it away") from None
    digest = hashlib.sha256(json.dumps(identity(seed, settings)).encode()).hexdigest()[:8]
    drawn = root.with_name(f".{root.name}.drawn-{digest}")
    parts = {part: _Drawing(drawn, part, seed, settings) for part in LISTS}
    parts["source", "train"].begin()  # a folder that cannot be written to is to be known now
    return {part: _on_demand(root, drawing) for part, drawing in parts.items()}


@dataclass(frozen=True)
class _Drawing:
    """Finds the files of an image of one part, and draws them where they are not there."""

    drawn: Path
    part: _Part
    seed: int
    settings: MiniWorldSettings
    found: dict[int, Entry] = field(default_factory=dict, compare=False, repr=False)  # by index

    def folder(self, index: int) -> Path:
        return self.drawn / f"{'-'.join(self.part)}-{index}"

    def __call__(self, promised: Entry) -> Entry:
        """The entry as the loader of its format lists it; its annotation was its index."""
        index: int = promised.annotation
        folder = self.folder(index)
        if not folder.is_dir():
            self.draw(index)
        elif index in self.found:
            return self.found[index]
        domain, split = self.part
        try:
            self.found[index] = open_dataset(f"{_FORMATS[domain][0]}:{folder}", split).entry(0)
        except InputError as error:
            raise InputError(f"{folder} is damaged: delete it, and it is drawn again ({error})") from None
        return self.found[index]

    def begin(self) -> None:
        """Make the folder of all images that are drawn, where it is not there (any more)."""
        wanted = identity(self.seed, self.settings)
        try:
            make_once(
                self.drawn, lambda: manifest_of(self.drawn) == wanted, lambda new: write_json(new / MANIFEST, wanted)
            )
        except InputError as error:
            if not self.drawn.exists():
                raise
            raise InputError(f"{self.drawn} is damaged: delete it, and it is drawn again ({error})") from None

    def draw(self, index: int) -> None:
        """All files of an image, with a list of one line; they appear together."""
        (domain, _), folder = self.part, self.folder(index)
        self.begin()
        try:
            with TemporaryDirectory(prefix=".making-", dir=self.drawn, ignore_cleanup_errors=True) as hidden:
                line, _, _ = make_image(Path(hidden), self.seed, self.settings, (*self.part, index))
                if (name := LISTS[self.part]) is not None:
                    Path(hidden, domain, name).write_text(f"{line}\n", encoding="utf-8")
                os.replace(Path(hidden, domain), folder)
        except OSError as error:
            if not folder.is_dir():  # else another process has drawn it meanwhile: the same files
                raise InputError(
                    f"cannot draw {folder}: {error.strerror or error}; draw the whole world with `ensure_mini_world`"
                ) from error


def _on_demand(root: Path, drawing: _Drawing) -> CrowdDataset:
    """A part under the name that it has when the whole world is there."""
    domain, split = drawing.part
    names = {
        "source": f"gcc:{root / domain}",
        "target": f"shanghaitech:{root / domain / 'part_B' / f'{split}_data'}",
        "third": f"crowdhuman:{root / domain}/{split}",
    }
    entries = []
    for index in range(getattr(drawing.settings, f"{domain}_{split}")):
        name, picture = picture_of(domain, split, number_of((*drawing.part, index), drawing.settings))
        entries.append(Entry(name, drawing.folder(index) / picture, index))
    return _FORMATS[domain][1].on_demand(names[domain], entries, drawing)
