"""The files of the world of seed 0 are, byte for byte, those that version 3 has always had.

The digests are of files that the first drawing of version 3 wrote. Points and counts are the same on every machine, as
`test_geometry_of_seed_0_is_the_stored_one` holds. Pixels need not be: a power, a blur, an ellipse or a JPEG may differ
with another processor, numpy, scipy or Pillow. `PROBE` and `MADE_WITH` tell whether all of that is here as it was where
the digests were taken. If so, files are compared byte for byte, and otherwise pictures by their mean colour.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from sdcda_tutorial.mini_world import open_mini_world
from sdcda_tutorial.mini_world.scene import Domain, Split

PROBE = "415de173306a37ce"
MADE_WITH = {"numpy": "2.4.6", "scipy": "1.17.1", "pillow": "13.0.0"}
STORED: dict[tuple[Domain, Split], tuple[tuple[int, ...], str, tuple[float, float, float]]] = {
    # part: (images, digest of their files, mean red, green and blue)
    ("source", "train"): ((0, 3, 8, 11, 19, 27), "f25fbcce41ac3a9b", (98.74, 95.78, 100.84)),
    ("source", "test"): ((0, 42), "77b69cdddd6eb08a", (67.24, 73.73, 82.28)),
    ("target", "train"): ((0, 7, 42, 100), "07dd276085611b08", (125.75, 123.35, 116.87)),
    ("target", "test"): ((0, 15, 149), "851ed168afc68b1c", (118.92, 106.79, 107.53)),
    ("third", "train"): ((0, 7, 42, 100), "52d55700ae3ff26a", (146.57, 122.69, 112.49)),
}


def digest(files: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


def probe() -> str:
    """Digest of what this machine makes of all that may differ between machines."""
    wave = np.abs(np.sin(np.arange(3 * 64 * 64, dtype=np.float32) / 7)).reshape(64, 64, 3)
    powers = [wave ** np.float32(exponent) for exponent in (0.8, 1.07, 1.3)]
    blurred = ndimage.gaussian_filter(255 * wave, (0.45, 0.45, 0), truncate=3)
    noise = np.random.default_rng(0).standard_normal(100_000, np.float32)
    picture, jpeg = Image.fromarray((255 * wave).astype(np.uint8)).resize((150, 150)), io.BytesIO()
    brush = ImageDraw.Draw(picture)
    for n in range(1, 30):
        x, y, size = 17.3 * n % 150, 41.7 * n % 150, 1.7 * n
        brush.ellipse((x, y, x + size, y + 0.6 * size), fill=(8 * n, 90, 30))
        brush.line((x, y, y, x), fill=(30, 8 * n, 90), width=1 + n // 4)
        brush.rounded_rectangle((y, x, y + size, x + 1.3 * size), radius=n / 4, fill=(90, 30, 8 * n))
    picture.reduce(2).save(jpeg, "JPEG", quality=83)
    return digest([*(array.tobytes() for array in (*powers, blurred, noise)), jpeg.getvalue()])


@pytest.mark.parametrize("part", STORED, ids="-".join)
def test_files_are_those_of_version_3(part: tuple[Domain, Split], tmp_path: Path) -> None:
    indices, stored, colour = STORED[part]
    data = open_mini_world(tmp_path / "mini")[part]
    means = np.mean([data[index].image.mean(axis=(0, 1)) for index in indices], axis=0)
    folders = [next(tmp_path.glob(f".mini.drawn-*/{'-'.join(part)}-{index}")) for index in indices]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    if probe() == PROBE and {name: version(name) for name in MADE_WITH} == MADE_WITH:
        assert digest(path.read_bytes() for path in files) == stored
    assert np.allclose(means, colour, atol=0.05)
