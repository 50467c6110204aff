"""Any folder of photographs, without labels: a reader's own target domain.

Adaptation needs no more: the target's labels are never used in training.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset, Entry, Finding, Labels
from sdcda_tutorial.datasets.formats.folder_listing import existing_folder, holds, listing
from sdcda_tutorial.datasets.images import drawn_by_predict
from sdcda_tutorial.datasets.transforms import Size
from sdcda_tutorial.errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class ImageFolder(CrowdDataset):
    """The photographs directly in a folder, sorted by name; a sample is named by its file, ending included.

    Photographs from a telephone are turned upright as their EXIF orientation says; there are no points to miss. The
    overlays and maps of `sdcda predict` are left out.

    Args:
        root: the folder.
        options: size, max_side, cache, as in `CrowdDataset`.
    Raises:
        InputError: no such folder, or no photograph in it; when read, for a damaged file.
    """

    labelled = False
    upright = True

    def __init__(self, root: str | os.PathLike[str], **options: Any) -> None:
        folder = existing_folder(root, "a folder of photographs")
        there = listing(folder)
        seen = [name for name in there if name.lower().endswith(ENDINGS) and not name.startswith(".")]
        names = [name for name in seen if not (name.endswith(".png") and drawn_by_predict(folder / name))]
        if not names:
            raise InputError(
                f"{folder} holds no photograph ({' '.join(ENDINGS)}); {holds(folder)}; name the folder they are in"
            )
        skipped = [_not_read(folder / name) for name in sorted({*there} - {*names})]
        super().__init__(f"images:{folder}", [Entry(name, folder / name) for name in names], (), skipped, **options)

    def _labels(self, entry: Entry, size: Size) -> Labels:
        return Labels()


def _not_read(path: Path) -> Finding:
    """A note about something in the folder that is taken for no photograph."""
    if path.is_dir():
        why = "a folder in the folder; move its photographs up, or name it as a data set of its own"
    elif path.name.startswith("."):
        why = "hidden, since its name begins with a dot; rename it if it is a photograph"
    elif path.suffix == ".png":
        why = "it is an overlay or a map of `predict_density`; give those a folder of their own"
    else:
        ending = path.suffix or "a name without ending"
        why = f"{ending} is none of {' '.join(ENDINGS)}; save it as a JPEG or PNG if it is a photograph"
    return Finding(str(path), f"{path} is not read: {why}", fault=False)
