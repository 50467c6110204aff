"""Any folder of photographs, without labels: a reader's own target domain.

Adaptation needs no more: the target's labels are never used in training.
"""

from __future__ import annotations

import os
from typing import Any

from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset, Entry, Labels
from sdcda_tutorial.datasets.formats.folder_listing import existing_folder, holds, listing
from sdcda_tutorial.datasets.transforms import Size
from sdcda_tutorial.errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class ImageFolder(CrowdDataset):
    """The photographs directly in a folder, sorted by name; a sample is named by its file, ending included.

    Photographs from a telephone are turned upright as their EXIF orientation says; there are no points to miss.

    Args:
        root: the folder.
        options: size, max_side, cache, as in `CrowdDataset`.
    Raises:
        InputError: no such folder, or no photograph in it; when read, for a damaged file.
    """

    upright = True

    def __init__(self, root: str | os.PathLike[str], **options: Any) -> None:
        folder = existing_folder(root, "a folder of photographs")
        names = [name for name in listing(folder) if name.lower().endswith(ENDINGS) and not name.startswith(".")]
        if not names:
            raise InputError(
                f"{folder} holds no photograph ({' '.join(ENDINGS)}); {holds(folder)}; name the folder they are in"
            )
        super().__init__(f"images:{folder}", [Entry(name, folder / name) for name in names], **options)

    def _labels(self, entry: Entry, size: Size) -> Labels:
        return Labels()
