"""Files that surprise: none hangs, prints a path of a package, is taken for another or takes all memory."""

from __future__ import annotations

import os
import socket
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_files import complaint, tiff, write_picture
from PIL import Image, features

from sdcda_tutorial.datasets import ImageFolder
from sdcda_tutorial.datasets.check import check
from sdcda_tutorial.datasets.images import image_size, read_image, read_image_at, stored_size

READERS: list[Callable[..., Any]] = [read_image, image_size, lambda path, **kw: read_image_at(path, (1, 1), **kw)]


def refused(path: Path, *parts: str | Path) -> None:
    """Every reader complains of the file, in the same words."""
    assert len({complaint(lambda read=read: read(path), *parts) for read in READERS}) == 1


# --- no file ----------------------------------------------------------------------------------------------------------
@pytest.fixture(params=["pipe", "socket", "device", "folder"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "x.jpg"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.open(".", os.O_RDONLY)  # an address has at most about 100 bytes
            os.chdir(tmp_path)
            server.bind(path.name)
            os.fchdir(here)
            os.close(here)
    elif request.param == "device":
        path.symlink_to(os.devnull)
    else:
        path.mkdir()
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_what_is_no_file_is_neither_read_nor_waited_for(no_file: Path) -> None:
    refused(no_file, no_file, "is a ", "; name ")
    write_picture(no_file.with_name("y.jpg"), (20, 30))
    data = ImageFolder(no_file.parent)
    assert data[1].size == (20, 30)
    complaint(lambda: data[0], no_file)
    assert [finding.path for finding in check(f"images:{no_file.parent}", progress=False).faults] == [str(no_file)]


def test_a_file_that_is_not_there_or_may_not_be_read(tmp_path: Path) -> None:
    refused(tmp_path / "x.jpg", tmp_path / "x.jpg", "does not exist")
    write_picture(tmp_path / "y.jpg", (20, 30))
    refused(tmp_path / "y.jpg/x.jpg", "does not exist")
    refused(tmp_path / f"{'x' * 300}.jpg", "too long")
    (tmp_path / "y.jpg").chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # who may read everything shall be nobody for a moment
        refused(tmp_path / "y.jpg", tmp_path / "y.jpg", "permission")
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\r.jpg", "\u2028.jpg", "a\n"])
def test_a_name_of_two_lines_is_told_in_one(tmp_path: Path, name: str) -> None:
    refused(tmp_path / name, repr(str(tmp_path / name)))
    write_picture(tmp_path / name, (20, 30), **({} if name.endswith("jpg") else {"format": "JPEG"}))
    assert image_size(tmp_path / name) == read_image(tmp_path / name).shape[:2] == (20, 30)
    (tmp_path / name).write_bytes(b"")
    refused(tmp_path / name, repr(str(tmp_path / name)), "is empty")


# --- formats ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("HEIC", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"),
        ("AVIF", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"),
        ("AVIF", b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"),
        ("JPEG XL", b"\xff\x0a\x7f\x80"),
        ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"),
        ("such a TIFF", tiff(np.ones((4, 4)))),
    ],
)
@pytest.mark.parametrize("ending", ["heic", "jpg"])  # a telephone's pictures are often only renamed
def test_a_format_that_is_not_read_is_named(tmp_path: Path, kind: str, content: bytes, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content + bytes(200))
    refused(path, path, f"{kind} cannot be read", "save it as JPEG")


@pytest.mark.skipif("avif" not in features.get_supported(), reason="this Pillow reads no AVIF")
def test_avif_is_read_where_pillow_can(tmp_path: Path) -> None:
    write_picture(tmp_path / "x.avif", (20, 30))
    assert read_image(tmp_path / "x.avif").shape == (*image_size(tmp_path / "x.avif"), 3) == (20, 30, 3)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"")
    refused(tmp_path / "x.jpg", tmp_path / "x.jpg", "is empty", "fetch the file again")
    (tmp_path / "x.jpg").write_text("no picture")
    refused(tmp_path / "x.jpg", tmp_path / "x.jpg", "no known format", "fetch the file again")


# --- turned -----------------------------------------------------------------------------------------------------------
def corners(width: int = 30, height: int = 20) -> Image.Image:
    image = Image.new("RGB", (width, height), "black")
    image.paste("red", (0, 0, width // 2, height // 2))
    image.paste("blue", (width // 2, 0, width, height // 2))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("ending", "mode"), [("jpg", "RGB"), ("jpg", "L"), ("png", "P"), ("webp", "RGB"), ("tif", "RGB"), ("tif", "L")]
)
def test_sizes_and_pixels_agree_however_a_file_is_turned(
    tmp_path: Path, orientation: int, ending: str, mode: str
) -> None:
    exif, path = Image.Exif(), tmp_path / f"x.{ending}"
    exif[0x0112] = orientation
    corners().convert(mode).save(path, exif=exif, **({"quality": 100} if ending == "jpg" else {}))
    for upright in (True, False):
        image, (small, size) = read_image(path, upright=upright), read_image_at(path, (2, 2), upright=upright)
        assert image_size(path, upright=upright) == image.shape[:2] == size
        assert small.shape == (2, 2, 3)
    assert size == (20, 30) or ending == "tif"  # Pillow turns a TIFF in any case
    # The orientation names the sides of the picture where row 0 and column 0 of the file lie.
    stored = np.asarray(corners().convert("RGB"))
    turned = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1), 7: np.rot90(stored, 2).transpose(1, 0, 2), 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    wanted = np.asarray(Image.fromarray(np.ascontiguousarray(turned)).convert("L" if mode == "L" else "RGB"))
    seen = read_image(path, upright=True)
    different = np.abs((seen[..., 0] if mode == "L" else seen).astype(int) - wanted) > 60
    assert different.mean() < 0.1


def test_a_damaged_exif_is_no_damaged_photograph(tmp_path: Path) -> None:
    """Its orientation is known, and the resolution beside it is a text where a number belongs."""
    entries = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x011A, 2, 4, b"odd\0")]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    exif += b"".join(struct.pack("<HHI4s", *entry) for entry in entries) + bytes(4)
    corners().save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg", upright=True).shape == (30, 20, 3)
    assert image_size(tmp_path / "x.jpg", upright=True) == (30, 20)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\xff\xff"])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_tags_that_nobody_can_read_say_upright(tmp_path: Path, ending: str, exif: bytes) -> None:
    path = tmp_path / f"x.{ending}"
    corners().save(path, exif=exif)
    for upright in (False, True):
        assert read_image(path, upright=upright).shape == (20, 30, 3)
        assert image_size(path, upright=upright) == (20, 30)
    assert stored_size(path) == ((20, 30), 1)


# --- size -------------------------------------------------------------------------------------------------------------
def test_a_large_jpeg_is_read_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)  # twice that is what is decoded
    path, exif = tmp_path / "x.jpg", Image.Exif()
    exif[0x0112] = 6
    write_picture(path, (200, 400), exif=exif)
    for read in (read_image, lambda path: read_image_at(path, (150, 300))):
        complaint(lambda read=read: read(path), path, "0 million pixels", "`max_side`")
    assert image_size(path, upright=True) == (400, 200)
    image, size = read_image_at(path, (200, 100), upright=True)
    assert image.shape == (200, 100, 3) and size == (400, 200)
    data = ImageFolder(tmp_path, max_side=100)
    assert data[0].size == (100, 50) and data.read_labels(0).points.shape == (0, 2)
    write_picture(path, (100, 200))
    assert read_image(path).shape == (100, 200, 3)


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "tif", "gif"])
def test_what_is_not_decoded_small_is_refused_by_its_size(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / f"x.{ending}", (200, 400))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    refused(tmp_path / f"x.{ending}", tmp_path, "million pixels", "shrink it", "JPEG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # who sets this wants no limit
    assert read_image(tmp_path / f"x.{ending}").shape == (200, 400, 3)


def test_a_progressive_jpeg_is_not_read_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decoder keeps all coefficients: a file of a few bytes may take all memory."""
    write_picture(tmp_path / "x.jpg", (200, 400), progressive=True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    refused(tmp_path / "x.jpg", "progressive")


def test_a_header_of_60000_by_60000(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\x20IDAT" + bytes(40))
    refused(tmp_path / "x.png", "179 million pixels")


# --- warnings ---------------------------------------------------------------------------------------------------------
def test_nothing_is_said_of_a_file_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pillow warns of sizes, palettes and tags, with the path of its own file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image.new("P", (150, 100)).save(tmp_path / "x.png", transparency=bytes([90, 1, 2]))
        corners().save(tmp_path / "x.tif", tiffinfo={270: "a text"})
        content = (tmp_path / "x.tif").read_bytes()
        (tmp_path / "x.tif").write_bytes(content.replace(b"a text", b"").ljust(100))
        corners().save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x0f\x01\x02\0\xff\xff\0\0\xff\xff\0\0")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
        for path in tmp_path.iterdir():
            for read in READERS:
                try:
                    read(path, upright=True)
                except ValueError:
                    assert path.suffix == ".tif"
    said = capfd.readouterr()
    assert said.out == said.err == ""


@pytest.mark.parametrize("upright", [False, True])
def test_12_bits_of_colour_in_16_are_refused_by_every_reader(upright: bool, tmp_path: Path) -> None:
    """Looking for the EXIF of a PNG decodes it, and Pillow then no longer says that it had 16 bits."""
    values = np.random.default_rng(0).integers(0, 4096, (40, 30, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 30, 40, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    parts = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    for read in (READERS[0], READERS[2]):
        complaint(lambda read=read: read(tmp_path / "x.png", upright=upright), "almost black")
