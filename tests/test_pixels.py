"""A picture of any kind has the pixels that its maker meant, or is refused in one line; never black without a word."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from native_files import complaint, tiff
from PIL import Image, ImageCms

from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.networks import image_batch
from sdcda_tutorial.pixels import as_rgb, to_rgb

GRAY = np.linspace(0, 255, 64).round().astype(np.uint8)[None].repeat(16, 0)  # from black on the left to white
COLOURS = Image.fromarray(np.stack([GRAY, GRAY[:, ::-1], np.full_like(GRAY, 90)], axis=2))
NO_WHITE = ("the image", "8 bits per colour")


def through(kind: str, image: Image.Image, **options: Any) -> Image.Image:
    """The image as a file of that kind gives it."""
    return Image.open(io.BytesIO(saved(kind, image, **options)))


def saved(kind: str, image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(image: Image.Image) -> np.ndarray:
    pixels = to_rgb(image, "the image")
    assert pixels.dtype == np.uint8 and pixels.shape == (image.height, image.width, 3)
    assert pixels.flags.writeable and pixels.flags.c_contiguous
    return pixels


def lab(image: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    assert converted is not None
    return converted


MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{mode: lambda image, mode=mode: image.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")},
    **{mode: lambda image, mode=mode: image.convert(mode) for mode in ("YCbCr", "RGBX")},
    "PA": lambda image: image.convert("P").convert("PA"),
    "LAB": lab,
    "I;16": lambda _: Image.fromarray(GRAY.astype(np.uint16) * 257),
    "I;16B": lambda _: Image.fromarray(GRAY.astype(np.int32) * 257).convert("I;16B"),
    "F": lambda _: Image.fromarray(GRAY.astype(np.float32) / 255),
}


FORMATS = {
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "F"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
    "GIF": ("1", "L", "P", "RGB"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "PPM": ("1", "L", "RGB", "I;16", "F"),
    "TGA": ("1", "L", "LA", "P", "RGB", "RGBA"),
}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in FORMATS.items() for mode in modes])
def test_every_mode_in_every_format_goes_from_black_to_white(kind: str, mode: str) -> None:
    if (kind, mode) == ("TIFF", "YCbCr") and Image.__version__ < "11.1":
        pytest.skip("this Pillow cannot read what it has written")
    image = through(kind, MODES[mode](Image.fromarray(GRAY).convert("RGB")))
    pixels = read(image).mean(axis=(0, 2))
    assert pixels[:8].mean() < 30 and pixels[-8:].mean() > 225
    assert pixels[8:].reshape(-1, 8).mean(axis=1).tolist() == sorted(pixels[8:].reshape(-1, 8).mean(axis=1))


# --- more than 8 bits -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_of_16_bits_the_upper_8_are_kept(kind: str) -> None:
    values = np.arange(0, 65536, 64).astype(np.uint16).reshape(16, 64)
    np.testing.assert_array_equal(read(through(kind, Image.fromarray(values)))[..., 1], values >> 8)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_may_say_that_white_is_zero(compression: str | None) -> None:
    options = {"tiffinfo": {262: 0}, "compression": compression}
    image = through("TIFF", Image.fromarray(GRAY.astype(np.uint16) * 257), **options)
    np.testing.assert_array_equal(read(image)[..., 0], 255 - GRAY)
    image = through("TIFF", Image.fromarray(GRAY.astype(np.float32) / 255), **options)
    np.testing.assert_array_equal(read(image)[..., 0], 255 - GRAY)


def test_a_tiff_may_say_that_it_has_12_bits() -> None:
    values = [0, 0x123, 0x800, 0xFFF]
    packed = np.frombuffer(bytes.fromhex("".join(f"{value:03x}" for value in values)), np.uint8)[None]
    image = Image.open(io.BytesIO(tiff(packed, t256=4, t258=12)))
    assert read(image)[0, :, 0].tolist() == [0, 0x12, 0x80, 0xFF]


@pytest.mark.parametrize("maximum", [4095, 1023])
def test_a_pgm_says_what_its_maximum_is(maximum: int) -> None:
    values = (GRAY.astype(np.float64) / 255 * maximum).round().astype(">u2")
    image = Image.open(io.BytesIO(b"P5 64 16 %d\n" % maximum + values.tobytes()))
    assert np.abs(read(image)[..., 0].astype(int) - GRAY).max() <= 1


def rgb16(values: np.ndarray) -> Image.Image:
    """A PNG of (H, W, 3) uint16, which Pillow does not write."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + parts))


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_16_are_never_black_without_a_word(bits: int) -> None:
    """The brightest of a picture is its white, or close to it; the file does not say that white is 2^bits - 1."""
    values = GRAY.astype(np.uint16) << bits >> 8
    for image in (
        *(through(kind, Image.fromarray(values)) for kind in ("PNG", "TIFF")),
        rgb16(np.stack([values] * 3, axis=2)),
    ):
        complaint(lambda image=image: read(image), *NO_WHITE, "almost black", "12 or 14 bits")


def sixteen_bits(kind: str, values: np.ndarray) -> Image.Image:
    """(H, W, 3) or (H, W) uint16 as a PPM, a PPM of text, or an SGI; Pillow writes none of them with 16 bits."""
    height, width, *colours = values.shape
    if kind == "SGI":
        head = struct.pack(">hBBHHHHll", 474, 0, 2, 2 + len(colours), width, height, *(colours or [1]), 0, 65535)
        planes = np.moveaxis(values, -1, 0) if colours else values
        return Image.open(io.BytesIO(head.ljust(512, b"\0") + planes[..., ::-1, :].astype(">u2").tobytes()))
    head = f"{'P6' if kind == 'PPM' else 'P3'} {width} {height} 65535\n".encode()
    body = values.astype(">u2").tobytes() if kind == "PPM" else " ".join(map(str, values.ravel())).encode()
    return Image.open(io.BytesIO(head + body))


@pytest.mark.parametrize(("kind", "colours"), [("PPM", 3), ("text", 3), ("SGI", 3), ("SGI", 0)])
def test_other_files_of_16_bits_are_as_dark(kind: str, colours: int) -> None:
    values = GRAY.astype(np.uint16) * 257
    values = np.stack([values] * 3, axis=2) if colours else values
    np.testing.assert_array_equal(read(sixteen_bits(kind, values))[..., 0], GRAY)
    complaint(lambda: read(sixteen_bits(kind, values >> 4)), *NO_WHITE, "almost black", "12 or 14 bits")


def test_a_photograph_of_16_bits_may_be_rather_dark() -> None:
    values = (GRAY.astype(np.uint16) * 257) // 3
    np.testing.assert_array_equal(read(through("PNG", Image.fromarray(values)))[..., 0], values >> 8)
    np.testing.assert_array_equal(read(rgb16(np.stack([values] * 3, axis=2)))[..., 0], values >> 8)


@pytest.mark.parametrize("brightest", [255.0, 65535.0, 1.01, 0.1, float("nan"), float("inf"), -1.0])
def test_floats_that_are_not_from_0_to_1_are_refused(brightest: float) -> None:
    values = GRAY.astype(np.float32) / 255
    values = np.where(values == 1, np.float32(brightest), np.minimum(values, abs(np.float32(brightest))))
    complaint(lambda: read(through("TIFF", Image.fromarray(values))), *NO_WHITE)


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<i2", ">i2", "<u4", "<i1"])
def test_integers_without_a_white_are_refused(dtype: str) -> None:
    complaint(lambda: read(Image.open(io.BytesIO(tiff(GRAY.astype(dtype))))), *NO_WHITE, "integers")


def test_a_raw_photograph_is_not_its_preview() -> None:
    complaint(lambda: read(through("TIFF", COLOURS, tiffinfo={254: 1})), "a small copy", "JPEG")


# --- transparency -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG2000", "TGA"])
def test_what_nobody_sees_is_white(kind: str) -> None:
    image = COLOURS.convert("RGBA")
    alpha = np.full(GRAY.shape, 255, dtype=np.uint8)
    alpha[:, :20], alpha[:, 20:40] = 0, 51
    image.putalpha(Image.fromarray(alpha))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels, colours = read(through(kind, image, **options)).astype(int), np.asarray(COLOURS).astype(int)
    assert (pixels[:, :20] == 255).all()
    assert np.abs(pixels[:, 20:40] - (0.8 * 255 + 0.2 * colours[:, 20:40])).max() <= 1
    np.testing.assert_array_equal(pixels[:, 40:], colours[:, 40:])


@pytest.mark.parametrize(("mode", "kind"), [("LA", "PNG"), ("LA", "TIFF"), ("PA", "TIFF")])
def test_gray_and_palettes_may_be_transparent_too(mode: str, kind: str) -> None:
    image = Image.fromarray(GRAY).convert("P" if mode == "PA" else "L").convert(mode)
    image.putalpha(Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 32, axis=1).repeat(16, 0)))
    pixels = read(through(kind, image)).astype(int)
    assert (pixels[:, :32] == 255).all() and (pixels[:, 32:, 0] == GRAY[:, 32:]).all()


@pytest.mark.skipif(Image.__version__ < "11.1", reason="this Pillow reads no such TIFF")
def test_a_colour_may_be_stored_multiplied_by_its_alpha() -> None:
    image = Image.merge("LA", [Image.new("L", (4, 4), 60), Image.new("L", (4, 4), 120)])
    content = saved("TIFF", image)
    entry = struct.pack("<HHIH", 338, 3, 1, 2)  # what the second channel is: alpha, not multiplied
    assert content.count(entry) == 1
    multiplied = Image.open(io.BytesIO(content.replace(entry, struct.pack("<HHIH", 338, 3, 1, 1))))
    assert np.abs(read(multiplied).astype(int) - (60 + 255 - 120)).max() <= 1


@pytest.mark.parametrize(("mode", "kind"), [("P", "PNG"), ("P", "GIF"), ("L", "PNG"), ("RGB", "PNG"), ("1", "PNG")])
def test_one_colour_may_be_transparent(mode: str, kind: str) -> None:
    image = Image.fromarray(np.where(GRAY < 128, 0, 255).astype(np.uint8)).convert("RGB").convert(mode)
    black = (0, 0, 0) if mode == "RGB" else image.getpixel((0, 0))
    assert (read(through(kind, image, transparency=black)) == 255).all()


def test_a_palette_may_have_an_alpha_of_every_colour() -> None:
    image = COLOURS.quantize(8)
    pixels = read(through("PNG", image, transparency=bytes([0] * 4 + [255] * 4)))
    opaque = np.asarray(image) >= 4
    assert (pixels[~opaque] == 255).all() and 0 < opaque.mean() < 1
    np.testing.assert_array_equal(pixels[opaque], np.asarray(image.convert("RGB"))[opaque])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_an_opaque_alpha_changes_nothing(mode: str) -> None:
    colours = np.array(list(itertools.product(range(0, 256, 5), repeat=3)), np.uint8).reshape(52, -1, 3)
    image = Image.fromarray(colours).convert("P" if mode == "PA" else mode).convert(mode)
    np.testing.assert_array_equal(read(image), np.asarray(image.convert("RGB")))


def test_a_transparent_colour_of_16_bits_is_refused() -> None:
    image = through("PNG", Image.fromarray(GRAY.astype(np.uint16) * 257), transparency=0)
    complaint(lambda: read(image), *NO_WHITE, "transparent")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    image = through(kind, frames[0], save_all=True, append_images=frames[1:], **options)
    assert image.n_frames == 3 and (read(image) == (255, 0, 0)).all()  # type: ignore[attr-defined]


# --- what a caller gives ----------------------------------------------------------------------------------------------
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
FOUR = np.concatenate([PIXELS, np.full((6, 5, 1), 255, np.uint8)], axis=2)


@pytest.mark.parametrize(
    "image",
    [
        PIXELS, torch.from_numpy(PIXELS), Image.fromarray(PIXELS), FOUR, torch.from_numpy(FOUR), Image.fromarray(FOUR),
        PIXELS[::-1][::-1], np.asfortranarray(PIXELS), PIXELS.tolist() and PIXELS.copy(order="F"),
    ],
)  # fmt: skip
def test_one_picture_in_many_forms(image: Any) -> None:
    pixels = as_rgb(image)
    np.testing.assert_array_equal(pixels, PIXELS)
    assert torch.from_numpy(pixels).is_contiguous()  # neither an error nor a warning of memory that is read-only


def test_gray_and_transparent_arrays_are_what_their_files_would_be() -> None:
    np.testing.assert_array_equal(as_rgb(GRAY), np.stack([GRAY] * 3, axis=2))
    hidden = FOUR.copy()
    hidden[:3, :, 3] = 0
    assert (as_rgb(hidden)[:3] == 255).all() and (as_rgb(hidden)[3:] == PIXELS[3:]).all()


def test_what_is_right_already_is_not_copied() -> None:
    assert np.shares_memory(as_rgb(PIXELS), PIXELS)
    frozen = PIXELS.copy()
    frozen.flags.writeable = False
    assert as_rgb(frozen).flags.writeable


WRONG = {
    "floats in 0..1": PIXELS / 255,
    "float32": (PIXELS / 255).astype(np.float32),
    "floats in 0..255": PIXELS.astype(np.float32),
    "a float tensor": torch.from_numpy(PIXELS) / 255,
    "16 bits": PIXELS.astype(np.uint16) * 257,
    "plain integers": PIXELS.astype(np.int64),
    "bytes with a sign": PIXELS.astype(np.int8),
    "truths": PIXELS > 128,
    "colours first": PIXELS.transpose(2, 0, 1),
    "a tensor, colours first": torch.from_numpy(PIXELS).permute(2, 0, 1),
    "a batch": PIXELS[None],
    "gray and alpha": PIXELS[..., :2],
    "five channels": np.zeros((4, 4, 5), np.uint8),
    "gray floats": GRAY / 255,
    "no pixel": PIXELS[:0],
    "a row": PIXELS[0, 0],
    "a path": "photo.jpg",
    "nothing": None,
    "a list": PIXELS.tolist(),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_has_no_one_meaning_is_refused(what: str) -> None:
    complaint(lambda: as_rgb(WRONG[what]), "(H, W, 3) uint8 RGB", "(255 * image).round().astype('uint8')")


@pytest.mark.parametrize("what", ["floats in 0..1", "16 bits", "colours first", "gray floats"])
def test_samples_and_batches_refuse_it_too(what: str) -> None:
    images = np.asarray(WRONG[what])
    complaint(lambda: Sample(images), "(H, W, 3) uint8 RGB")
    complaint(lambda: image_batch(images[None]), "(B, H, W, 3) uint8 RGB")
    complaint(lambda: image_batch(PIXELS), "(B, H, W, 3) uint8 RGB, not (6, 5, 3) uint8")


@given(st.integers(0, 255), st.integers(8, 255))
def test_transparency_mixes_with_white(colour: int, alpha: int) -> None:
    pixels = as_rgb(np.array([[[colour, colour, colour, alpha]]], np.uint8))
    assert abs(int(pixels[0, 0, 0]) - (255 + (colour - 255) * alpha / 255)) <= 1


def test_a_picture_of_which_nothing_can_be_seen_is_refused() -> None:
    image = COLOURS.convert("RGBA")
    for alpha in (0, 1, 7):
        image.putalpha(alpha)
        for kind in ("PNG", "TIFF"):
            complaint(lambda kind=kind: read(through(kind, image)), "wholly transparent", "alpha channel")


def test_a_dark_picture_is_taken_where_its_16_bits_are_scaled_8_and_hot_pixels_prove_nothing() -> None:
    dark = (GRAY.astype(np.uint16) // 5)[:40]
    for factor in (256, 257):
        np.testing.assert_array_equal(read(Image.fromarray(dark * factor))[..., 0], dark)
    twelve = np.full((200, 200), 4000, np.uint16)
    twelve[7, 9] = 65535
    complaint(lambda: read(Image.fromarray(twelve)), *NO_WHITE, "almost black")


def test_floats_may_be_off_by_rounding() -> None:
    values = np.array([[-0.0005, 0.5, 1.0000001]], np.float32)
    assert read(Image.fromarray(values))[0, :, 0].tolist() == [0, 128, 255]
