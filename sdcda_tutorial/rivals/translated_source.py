"""The translated source: the same scenes and labels, with images in the style of the target.

It is written in GCC's own layout, so counters train on it as on any GCC (`gcc:FOLDER`). Labels and lists are copied
byte for byte.
"""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.formats.gcc import GCC, LISTS, TRANSLATED
from sdcda_tutorial.datasets.images import image_size, read_image
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path, expanded, in_utf8, path_inside, put_in_place, read_object, write_json
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.guards.provenance import claim, forgetting_contents, is_from
from sdcda_tutorial.networks import batch_for
from sdcda_tutorial.pixels import as_rgb
from sdcda_tutorial.rivals.cyclegan import REDUCTION, Generator
from sdcda_tutorial.rivals.translation import load_generators
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.processes import shared_out

JPEG_QUALITY = 95
WRITTEN = "written_sha256"  # in the file about a translated source: image -> digest of what was written for it


def translate(
    checkpoint: str | Path, source: CrowdDataset, out: str | Path, *, hardware: Hardware | None = None
) -> Path:
    """Translate the images of `source` into the target domain, write them with their labels to `out` and return that.

    `out` appears when it is complete. Until then the files are in a hidden folder beside it, and an interrupted
    translation continues where it was. While another process writes it, this one waits.

    Args:
        checkpoint: model.safetensors of a translation's run.
        source: a GCC, or some images of one. Images that it shrinks are translated small, as in the generators'
            training, and enlarged to the size of their file, which is that of the labels.
        out: a new folder; a complete one of the same origin is left as it is.
        hardware: where to translate; the precision is float32 in any case.
    Raises:
        InputError: no translation in the checkpoint, the source is no GCC, or `out` or its hidden companion holds
            something else or images of another origin.
    """
    refuse_other_layouts(source)
    assert isinstance(source, GCC)
    out = expanded(out)
    making = out.with_name(f".{out.name}.translating")
    fabric = (hardware or Hardware()).launch()
    generators, card = load_generators(checkpoint)
    generator = generators.to_target.to(fabric.device)
    origin = {
        "weights_sha256": checkpoints.weights_digest(checkpoint),
        "source": source.describe(),
        "weights": card["config"]["weights"],
    }
    with one_writer(out, wait=math.inf, fabric=fabric, also=making.glob("**"), beside=True):
        if is_from(out, origin, TRANSLATED, what="translated images"):
            return out
        claim(making, origin, TRANSLATED, what="translated images", fabric=fabric)
        write = partial(_write_image, generator, source, making, Path(checkpoint).with_name("config.json"))
        shared_out(write, range(len(source)), fabric, bar="translate")
        fabric.barrier()
        if fabric.is_global_zero:
            for name in LISTS:
                _copy_list(source.root / f"{name}.txt", making / f"{name}.txt", set(source.names))
            write_json(making / TRANSLATED, read_object(making / TRANSLATED) | {WRITTEN: _contents(GCC(making))})
            try:
                put_in_place(making, out)
            except OSError as error:
                raise InputError(f"cannot move {making} to {out}: {error.strerror or error}; move it by hand") from None
        fabric.barrier()
    return out


def read_translated(folder: Path, source: CrowdDataset) -> CrowdDataset:
    """What `translate` has written, in the order and size of `source`.

    Raises:
        InputError: an image is missing, or is not what was written.
    """
    try:
        written = GCC(folder, size=source.size, max_side=source.max_side)
        place = {name: index for index, name in enumerate(written.names)}
        if lost := [name for name in source.names if name not in place]:
            raise InputError(f"{len(lost)} images are missing, first {lost[0]}")
        then, now = read_object(folder / TRANSLATED).get(WRITTEN), _contents(written)
        if isinstance(then, dict) and (other := [name for name in then if now.get(name) != then[name]]):
            raise InputError(f"{len(other)} images or their labels were changed, first {other[0]}")
    except InputError as error:
        raise InputError(f"{folder} is damaged ({error}); remove it, and it is translated again") from None
    return written.subset(place[name] for name in source.names)


def _contents(dataset: GCC) -> dict[str, str]:
    """Name of each image -> digest of its picture and labels."""
    return dict(zip(map(in_utf8, dataset.names), dataset.digests(), strict=True))


def _write_image(generator: Generator, source: GCC, making: Path, asked: Path, index: int) -> None:
    """Translate image `index`, unless that is done and whole, and copy its labels.

    If it is broken, what knows the contents of the source forgets them, `asked` of the generators' training too.
    """
    picture, *labels = source.files(index)
    path = path_inside(making, str(picture.relative_to(source.root)))
    with suppress(InputError):
        if path.exists() and read_image(path).shape[:2] == image_size(picture):
            return
    for file in labels:  # before the picture, which says that all is there
        with atomic_path(path_inside(making, str(file.relative_to(source.root)))) as temporary:
            shutil.copyfile(file, temporary)
    with forgetting_contents(making / TRANSLATED), forgetting_contents(asked, data="source_data"):
        image = source.read_image(index)
    translated = translated_image(generator, image)
    with atomic_path(path) as temporary:
        stored = Image.fromarray(resize_image(translated, image_size(picture)))
        # Colour is the point of the translation, so a JPEG keeps all of it. A PNG loses nothing and ignores both.
        stored.save(temporary, quality=JPEG_QUALITY, subsampling=0)


def refuse_other_layouts(source: CrowdDataset) -> None:
    """Raise an InputError for a source that cannot be written anew."""
    if not isinstance(source, GCC):
        raise InputError(
            f"{source.name} is not in GCC's layout, in which translated images are written; give a gcc:ROOT"
        )
    if not source.root.is_dir():
        raise InputError(f"{source.name} is drawn image by image; draw all of it first: `ensure_mini_world`")


@torch.inference_mode()
def translated_image(generator: Generator, image: object) -> np.ndarray:
    """(H, W, 3) uint8 RGB of any size, or what `pixels.as_rgb` takes -> (H, W, 3) uint8.

    In one pass, however large: instance norm looks at the whole image, so tiles would differ in colour.

    Raises:
        InputError: a side is so short that nothing is left of it to be reflected at the border.
    """
    pixels = as_rgb(image)
    if min(pixels.shape[:2]) <= REDUCTION:
        raise InputError(f"an image of {pixels.shape[1]}x{pixels.shape[0]} is too small to translate; enlarge it")
    made = generator(batch_for(generator, pixels))[0]
    return (made * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def _copy_list(path: Path, to: Path, names: set[str]) -> None:
    """Copy the lines of a list whose images were translated; where there is none, write no list."""
    kept = []
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
        fields = line.decode(errors="replace").split()  # level hour weather folder id count
        if len(fields) == 6 and f"{fields[3].rstrip('/').rpartition('/')[2]}/{fields[4]}" in names:
            kept.append(line)
    if kept:
        with atomic_path(to) as temporary:
            temporary.write_bytes(b"".join(kept))
