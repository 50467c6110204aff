"""The source once more, translated: the same scenes and the same labels under images in the style of the target.

It is written in GCC's own layout, so counters train on it as on any GCC (`gcc:FOLDER`). Labels and lists are copied as
they are, byte for byte: where a head is and where the crowd is, a translation must not change.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.formats.gcc import GCC, LISTS, TRANSLATED
from sdcda_tutorial.datasets.images import image_size
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path, claim, is_from, put_in_place
from sdcda_tutorial.networks import image_batch
from sdcda_tutorial.rivals.cyclegan import Generator
from sdcda_tutorial.rivals.translation import load_generators
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.processes import shared_out

PROVENANCE = TRANSLATED
JPEG_QUALITY = 95


def translate(
    checkpoint: str | Path, source: CrowdDataset, out: str | Path, *, hardware: Hardware | None = None
) -> Path:
    """Write the images of `source` as the generator into the target domain repaints them, with their labels.

    `out` appears when it is complete. Until then the files are in a hidden folder beside it, and an interrupted
    translation goes on where it was.

    Args:
        checkpoint: model.safetensors of a translation's run.
        source: a GCC, or some images of one. Images that it shrinks are translated small, as the generators have
            learnt to see them, and enlarged to the size of their file, which is that of the labels.
        out: a new folder; a complete one of the same origin is left as it is.
        hardware: where to translate; the precision is float32 in any case.
    Returns:
        The folder.
    Raises:
        InputError: no translation in the checkpoint, the source is no GCC, the folder holds something else, or it
            holds, or its hidden companion does, images of another origin.
    """
    refuse_other_layouts(source)
    assert isinstance(source, GCC)
    out = Path(out).expanduser()
    making = out.with_name(f".{out.name}.translating")
    fabric = (hardware or Hardware()).launch()
    generators, card = load_generators(checkpoint)
    generator = generators.to_target.to(fabric.device)
    origin = {
        "weights_sha256": checkpoints.weights_digest(checkpoint),
        "source": source.describe(),
        "weights": card["config"]["weights"],
    }
    if is_from(out, origin, PROVENANCE, what="translated images"):
        return out
    claim(making, origin, PROVENANCE, what="translated images", fabric=fabric)
    shared_out(partial(_write_image, generator, source, making), len(source), fabric, bar="translate")
    fabric.barrier()
    if fabric.is_global_zero:
        for name in LISTS:
            _copy_list(source.root / f"{name}.txt", making / f"{name}.txt", set(source.names))
        try:
            put_in_place(making, out)
        except OSError as error:
            raise InputError(f"cannot move {making} to {out}: {error.strerror or error}; move it by hand") from None
    fabric.barrier()
    return out


def _write_image(generator: Generator, source: GCC, making: Path, index: int) -> None:
    """Translate image `index`, unless that is done, and copy its labels."""
    picture, *labels = source.files(index)
    path = making / picture.relative_to(source.root)
    if path.exists():
        return
    for file in labels:  # before the picture, which says that all is there
        with atomic_path(making / file.relative_to(source.root)) as temporary:
            shutil.copyfile(file, temporary)
    translated = translated_image(generator, source.read_image(index))
    with atomic_path(path) as temporary:
        stored = Image.fromarray(resize_image(translated, image_size(picture)))
        # What the translation is about is colour, so a JPEG keeps all of it. A PNG loses nothing, and ignores both.
        stored.save(temporary, quality=JPEG_QUALITY, subsampling=0)


def refuse_other_layouts(source: CrowdDataset) -> None:
    """Raise an InputError for a source that cannot be written anew as it is."""
    if not isinstance(source, GCC):
        raise InputError(
            f"{source.name} is not in GCC's layout, in which translated images are written; give a gcc:ROOT"
        )


@torch.inference_mode()
def translated_image(generator: Generator, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of any size -> (H, W, 3) uint8.

    In one pass, however large: instance norm looks at the whole image, so tiles would each get colours of their own.
    """
    device = next(generator.parameters()).device
    made = generator(image_batch(image[None]).to(device))[0]
    return (made * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()


def _copy_list(path: Path, to: Path, names: set[str]) -> None:
    """Copy the lines of a list whose images were translated, as they are; a list without such a line stays away."""
    if not path.is_file():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _named(line.decode(errors="replace")) in names]
    if kept:
        with atomic_path(to) as temporary:
            temporary.write_bytes(b"".join(kept))


def _named(line: str) -> str:
    """Name of the sample that a line `level hour weather folder id count` is about."""
    fields = line.split()
    return f"{fields[3].rstrip('/').rpartition('/')[2]}/{fields[4]}" if len(fields) == 6 else ""
