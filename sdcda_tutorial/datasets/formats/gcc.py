"""GCC, the synthetic source domain: scenes of a game engine with head positions and crowd masks.

Wang, Gao, Lin, Yuan, "Learning from Synthetic Data for Crowd Counting in the Wild", CVPR 2019. Layout:

    <root>/scene_XX_Y/{jpgs|pngs}/<id>.{jpg|png}   the picture; some releases have pngs and no jpgs
                      mats/<id>.mat                image_info (location, number), weather_info, time_info
                      segs/<id>.raw                crowd mask, H×W bytes, row after row, no header
    <root>/train.txt, test.txt                     lines `level hour weather folder id count`
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset, Entry, Finding, Labels
from sdcda_tutorial.datasets.formats.folder_listing import (
    by_name,
    existing_folder,
    find,
    findings,
    is_file_name,
    known_split,
    listing,
    missing,
    nothing_fits,
    read_lines,
    shorten,
    strays,
    without_image,
)
from sdcda_tutorial.datasets.formats.gcc_index import read_index
from sdcda_tutorial.datasets.formats.matfiles import load_image_info, numbers_of, points_of
from sdcda_tutorial.datasets.scene_regularization import SceneDescription, estimated_level, find_rule, select_scenes
from sdcda_tutorial.datasets.transforms import Size
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import read_object
from sdcda_tutorial.guards.provenance import WORLD

if TYPE_CHECKING:
    from typing_extensions import Self

LISTS = ("train", "test")
TRANSLATED = "translation.json"  # beside the scenes, where `rivals.translated_source` has written the images
LOADING_SCREEN = "1532170935"  # of scene_49_1: black, not a scene
_LAYOUT = "GCC: folders scene_XX_Y with jpgs (or pngs), mats and segs, and the lists train.txt and test.txt"


class _Files(NamedTuple):
    mat: Path
    mask: Path | None
    listed: SceneDescription | None  # what a list says of the image; only the lists know the level


class GCC(CrowdDataset):
    """Images, heads and masks of GCC; a sample is named "scene_01_0/1234567890".

    `location` holds (row, column) integers, indices of pixels. A head is put on the centre of its pixel,
    x = column + 0.5 and y = row + 0.5, because (0, 0) is a corner of the picture here (see `Sample`).

    Attributes of a sample, where the files have them: hour, minute, weather and stated_count, from its .mat file;
    level, listed_count, listed_hour and listed_weather, from a list. The number of points is the truth.

    Args:
        root: folder that holds the scenes.
        split: "train" or "test" reads the list of that name; None takes every scene there is. Where there is neither
            list, "train" is every scene too: the whole of GCC is the source.
        rule: "shb", "sha" or "qnrf": only the images that Scene Regularization admits for this target.
        options: size, max_side, cache, strict, as in `CrowdDataset`.
    Raises:
        InputError: when made, for a missing folder, list, image, annotation or mask, and for a rule that admits no
            image; when read, for a damaged one.
    """

    def __init__(
        self, root: str | os.PathLike[str], split: str | None = None, *, rule: str | None = None, **options: Any
    ) -> None:
        self.root = existing_folder(root, _LAYOUT)
        self.rule = rule
        bounds = None if rule is None else find_rule(rule)
        lists = lists_of(self.root)
        there = [path for path in lists.values() if path.is_file()]
        path = None if split is None or (split == "train" and not there) else lists[known_split(split, LISTS, "GCC")]
        faults: list[Finding] = []
        images: list[tuple[str, SceneDescription | None]]
        if path is not None:
            images = [(scene.name, scene) for scene in _read_list(path, faults)]
        else:
            in_lists = {scene.name: scene for one in there for scene in _read_list(one, faults)}
            images = [(name, in_lists.get(name)) for name in _pictures(_scenes(self.root))]
        images = [image for image in images if image[0].rpartition("/")[2] != LOADING_SCREEN]
        if not images and not faults:
            raise InputError(f"{path} lists no images; fetch it again") if path else _without_pictures(self.root)
        entries = _find(self.root, images, faults)
        notes = _leftovers(self.root) if split is None else []
        if entries and entries[0].annotation.mask is None:
            message = f"{self.root} has no segs: rectangles around the heads take the place of its masks"
            notes.append(Finding(str(self.root), message, fault=False))
        super().__init__(f"gcc:{self.root}", entries, faults, notes, **options)
        self._listed = self._entries
        if bounds is not None:
            admitted = {scene.name for scene in select_scenes(self.scene_records(), bounds)}
            self._entries = [entry for entry in self._entries if entry.name in admitted]
            if not admitted:
                none = f"none of {len(self._listed)} images passes the rule {rule!r} ({bounds})"
                raise InputError(f"{self.name}: {none}; choose another rule")

    @classmethod
    def on_demand(cls, name: str, entries: Sequence[Entry], find: Callable[[Entry], Entry]) -> Self:
        """As in `CrowdDataset`."""
        dataset = super().on_demand(name, entries, find)
        dataset.root, dataset.rule, dataset._listed = Path(name.partition(":")[2]), None, dataset._entries
        return dataset

    def scene_records(self) -> list[SceneDescription]:
        """Level, hour, weather, count and name of every image, in order: what `select_scenes` selects from.

        They come from the lists for images that these name. For others they come from the .mat files, which takes a
        while the first time (`gcc_index`), and the level is estimated (`estimated_level`) from the counts of all
        images of the camera that were listed.

        Raises:
            InputError: a .mat file is damaged.
        """
        everything = [self._find(entry) for entry in self._listed]
        unlisted = {entry.name: entry.annotation.mat for entry in everything if not entry.annotation.listed}
        found = read_index(self.root, unlisted)
        counts: dict[str, list[int]] = {}
        for entry in everything:
            listed = entry.annotation.listed
            counts.setdefault(_camera(entry.name), []).append(listed.count if listed else found[entry.name].heads)
        levels = {camera: estimated_level(one) for camera, one in counts.items()}
        return [
            self.entry(index).annotation.listed
            or SceneDescription(levels[_camera(name)], found[name].hour, found[name].weather, found[name].heads, name)
            for index, name in enumerate(self.names)
        ]

    def files(self, index: int) -> list[Path]:
        """Picture, .mat file and, where there are masks, the mask of image `index`."""
        files: _Files = self.entry(index).annotation
        return [*super().files(index), files.mat, *([] if files.mask is None else [files.mask])]

    def describe(self, *, labelled: bool = True) -> dict[str, Any]:
        """As in `CrowdDataset`, with the rule of Scene Regularization and the weights that translated the images."""
        about = super().describe(labelled=labelled) | ({} if self.rule is None else {"rule": self.rule})
        origin = read_object(self.root / TRANSLATED) if (self.root / TRANSLATED).is_file() else {}
        about |= {"translated_by": origin["weights_sha256"]} if "weights_sha256" in origin else {}
        source = origin.get("source")
        return about | ({WORLD: source[WORLD]} if isinstance(source, dict) and WORLD in source else {})

    def _labels(self, entry: Entry, size: Size) -> Labels:
        files: _Files = entry.annotation
        mat, info = load_image_info(files.mat)
        row_column = points_of(files.mat, info["location"])
        attributes: dict[str, Any] = {}  # what a file leaves out is left out here
        attributes.update(zip(["stated_count"], numbers_of(files.mat, info, "number"), strict=False))
        attributes.update(zip(["hour", "minute"], numbers_of(files.mat, mat, "time_info"), strict=False))
        attributes.update(zip(["weather"], numbers_of(files.mat, mat, "weather_info"), strict=False))
        if files.listed is not None:
            listed = files.listed
            attributes.update(level=listed.level, listed_count=listed.count)
            attributes.update(listed_hour=listed.hour, listed_weather=listed.weather)
        return Labels(points=row_column[:, ::-1] + 0.5, attributes=attributes)

    def _mask(self, entry: Entry, size: Size) -> np.ndarray | None:
        path: Path | None = entry.annotation.mask
        return None if path is None else _read_mask(path, size)


def lists_of(root: Path) -> dict[str, Path]:
    """The list of each part, in whatever case it is called, and where it would be if there is none."""
    known = {name.casefold(): root / name for name in listing(root)}
    return {name: known.get(f"{name}.txt", root / f"{name}.txt") for name in LISTS}


def _read_list(path: Path, faults: list[Finding]) -> Iterator[SceneDescription]:
    """The scenes of a list; lines in another form go to `faults`.

    Raises:
        InputError: the list is not there or cannot be read.
    """
    others = [f"; {one.name} beside it is another part" for one in lists_of(path.parent).values() if one.is_file()]
    for place, line in read_lines(path, "add the list" + "".join(others)):
        fields = line.split()
        level, hour, weather, folder, id_, count = fields if len(fields) == 6 else [""] * 6
        scene = folder.rstrip("/").rpartition("/")[2]  # NLT's lists have the authors' own folder in front
        numbers = all(re.fullmatch("[0-9]{1,9}", number) for number in (level, hour, weather, count))
        if numbers and is_file_name(scene) and is_file_name(id_):
            yield SceneDescription(int(level), int(hour), int(weather), int(count), f"{scene}/{id_}")
        else:
            found = f"expected `level hour weather folder id count`, found {shorten(repr(line))}; fix the line"
            faults.append(Finding(place, f"{place}: {found}"))


def _scenes(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and entry.name.casefold().startswith("scene_"))


def _camera(name: str) -> str:
    """Folder of a sample: each camera of each location has its own."""
    return name.rpartition("/")[0]


def _files(scenes: Iterable[Path], folder: str, ending: str, faults: list[Finding] | None = None) -> dict[str, Path]:
    """Files of one kind by the name of their image; second files of an image go to `faults`."""
    named = ((scene.name, one) for scene in scenes for one in find(scene / folder, rf"(?is:([^.].*)\.{ending})"))
    return by_name(((f"{scene}/{id_}", path) for scene, (id_, path) in named), [] if faults is None else faults)


def _pictures(scenes: list[Path], faults: list[Finding] | None = None) -> dict[str, Path]:
    """Picture of every image by its name, sorted; a jpg where there is one, which takes a tenth of a png's space."""
    pictures = _files(scenes, "pngs", "png", faults) | _files(scenes, "jpgs", "jpe?g", faults)
    return dict(sorted(pictures.items()))


def _without_pictures(root: Path) -> InputError:
    """The error for a GCC without an image: what lies in the first folder where images could be."""
    folders = [scene / kind for scene in _scenes(root) for kind in ("jpgs", "pngs")]
    folder = next((folder for folder in folders if folder.is_dir()), root)
    return nothing_fits(folder, "scene_XX_Y/jpgs/<id>.jpg or scene_XX_Y/pngs/<id>.png")


def _find(root: Path, images: list[tuple[str, SceneDescription | None]], faults: list[Finding]) -> list[Entry]:
    """The entries of all images whose files are there; each file that is not there is added to `faults`."""
    scenes = [root / camera for camera in dict.fromkeys(_camera(name) for name, _ in images)]
    pictures, mats = _pictures(scenes, faults), _files(scenes, "mats", "mat", faults)
    masks = _files(scenes, "segs", "raw", faults)
    kinds = [("images (as jpg or png)", pictures, "jpgs", ".jpg"), ("annotations", mats, "mats", ".mat")]
    if any((scene / "segs").is_dir() for scene in scenes):  # a copy without any segs has no masks
        kinds.append(("masks", masks, "segs", ".raw"))
    for what, found, folder, ending in kinds:
        absent = [name.rpartition("/") for name, _ in images if name not in found]
        paths = [root / scene / folder / f"{id_}{ending}" for scene, _, id_ in absent]
        faults += missing(paths, len(images), what)
    there = [(name, scene) for name, scene in images if all(name in found for _, found, _, _ in kinds)]
    return [Entry(name, pictures[name], _Files(mats[name], masks.get(name), scene)) for name, scene in there]


def _leftovers(root: Path) -> list[Finding]:
    """Annotations and masks without an image, strays among the images, and the loading screen."""
    scenes = _scenes(root)
    pictures = _pictures(scenes)
    found = without_image(_files(scenes, "mats", "mat"), pictures)
    found += without_image(_files(scenes, "segs", "raw"), pictures)
    for scene in scenes:
        for kind, ending in (("jpgs", "jpe?g"), ("pngs", "png")):
            found += strays(scene / kind, rf"(?is:.*\.{ending})", "<id>.jpg or <id>.png")
    black = [path for name, path in pictures.items() if name.rpartition("/")[2] == LOADING_SCREEN]
    return found + findings(black, "is not read: the black loading screen of GCC", fault=False)


def _read_mask(path: Path, size: Size) -> np.ndarray:
    """A raw mask as (H, W) uint8 0/1; anything that is not zero is crowd (some tools write 255)."""
    try:
        length = path.stat().st_size  # looked at first: a file of any size is not worth reading
        stored = np.fromfile(path, dtype=np.uint8) if length == size[0] * size[1] else None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); fetch it again") from None
    if stored is None or stored.size != length:
        raise InputError(
            f"{path} is a mask of another size: {length} bytes for an image of {size[0]}×{size[1]} pixels; "
            "take image and mask from the same release"
        )
    mask: np.ndarray = (stored != 0).astype(np.uint8)
    return mask.reshape(size)
