"""A photograph with its density laid over it, and the density map as a file."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageChops
from torch import Tensor, nn

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import overlay
from sdcda_tutorial.evaluation.colours import DENSITY, LAID_OVER

BLACK = np.zeros((10, 12, 3), dtype=np.uint8)


def magma(strength: float) -> np.ndarray:
    """The colour of a strength of 0 to 1 as matplotlib has it, RGB from 0 to 255."""
    return 255 * np.array(matplotlib.colormaps[DENSITY](0.25 + 0.75 * strength)[:3])


def without_words(image: np.ndarray, density: Tensor) -> np.ndarray:
    """The overlay where nothing is written."""
    pixels = np.array(overlay.overlay(image, density)).astype(float)
    pixels[: pixels.shape[0] // 10, pixels.shape[1] // 2 :] = np.nan
    return pixels


def test_the_colours_laid_over_are_those_of_the_density_maps() -> None:
    for step, colour in enumerate(LAID_OVER):
        assert np.abs(colour - magma(step / (len(LAID_OVER) - 1))).max() <= 1
    dense = np.linspace(0, 1, 240).reshape(10, 24)
    colours, _ = overlay._layer(dense**2, (24, 10))
    assert np.abs(np.array(colours) - [[magma(one) for one in line] for line in dense]).max() < 5


@pytest.mark.parametrize("size", [(30, 40), (200, 20), (3, 900), (1, 1), (2400, 3000)])
def test_an_overlay_has_the_shape_of_the_photograph(size: tuple[int, int]) -> None:
    picture = overlay.overlay(np.zeros((*size, 3), dtype=np.uint8), torch.full(size, 0.5))
    assert max(picture.size) == 1200  # neither a stamp nor a wall, however long the photograph
    assert picture.height == pytest.approx(max(1200 * size[0] / max(size), 15), abs=1)
    assert picture.width == pytest.approx(max(1200 * size[1] / max(size), 15), abs=1)


def test_an_overlay_is_clear_where_nobody_is_and_strong_where_most_are() -> None:
    density = torch.zeros(10, 12)
    density[5, 3], density[7, 8] = 1.0, 0.25
    pixels = without_words(np.full((10, 12, 3), 77, dtype=np.uint8), density)
    centres = pixels[50::100, 50::100]  # 100 × 100 pixels of the overlay are one of the photograph
    clear = np.delete(centres.reshape(120, 3), [5 * 12 + 3, 7 * 12 + 8], axis=0)
    assert set(clear[np.isfinite(clear)]) == {77}
    for row, column, strength in ((5, 3, 1.0), (7, 8, 0.5)):
        mixed = 0.85 * strength * magma(strength) + (1 - 0.85 * strength) * 77
        assert np.abs(centres[row, column] - mixed).max() < 5


@pytest.mark.parametrize("density", [torch.zeros(10, 12), torch.linspace(-1, 1, 120).reshape(10, 12)])
def test_an_overlay_takes_empty_and_negative_maps(density: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = without_words(BLACK, density)
    nobody = np.kron(density.numpy() <= 0, np.ones((100, 100), bool))
    nobody[450:650] = False  # half a pixel on either side is mixed with the neighbour
    assert not np.nan_to_num(pixels[nobody]).any() and bool(pixels[-100:].any()) == bool(density.any())


def test_the_count_is_written_in_the_corner() -> None:
    few, many = (overlay.overlay(BLACK, torch.full((10, 12), people / 120)) for people in (3.0, 12345.0))
    for picture in (few, many):
        assert (np.array(picture)[: picture.height // 10, picture.width // 2 :] > 250).all(axis=2).any()
    left, top, right, bottom = ImageChops.difference(few, many).getbbox()
    assert left > few.width / 2 and top >= 0 and right < few.width and bottom < few.height / 10


def test_the_outline_of_a_region_lies_where_it_was_asked_for() -> None:
    corners = np.array([(2.0, 2.0), (8.0, 2.0), (8.0, 9.0), (2.0, 9.0)])
    picture = overlay.overlay(BLACK, torch.zeros(10, 12), corners)
    box = ImageChops.difference(picture, overlay.overlay(BLACK, torch.zeros(10, 12))).getbbox()
    assert np.allclose(box, (200, 200, 800, 900), atol=5)
    white = (np.array(picture) == 255).all(axis=2)
    assert white[195:205, 500].any() and white[500, 195:205].any() and not white[210:890, 210:790].any()
    large = overlay.overlay(np.zeros((3000, 3600, 3), np.uint8), torch.zeros(3000, 3600), 300 * corners)  # reduced
    assert np.array_equal(np.array(large)[100:] == 255, np.array(picture)[100:] == 255)


def test_other_files_have_no_origin(tmp_path: Path) -> None:
    Image.new("RGB", (5, 5)).save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("x")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHD")
    assert [overlay.origin_of(path) for path in (*tmp_path.iterdir(), tmp_path, tmp_path / "nowhere.png")] == [None] * 5


def test_a_picture_of_which_pillow_warns_and_a_pipe_have_no_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("L", (300, 100)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for most in (300 * 100 - 1, 100):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
            assert [overlay.origin_of(tmp_path / name) for name in ("pipe.png", "large.png")] == [None, None]


class Constant(nn.Module):
    """So many people on every pixel."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, :1], self.value)


def photograph(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    return path


def test_an_overlay_is_a_record_of_the_count(tmp_path: Path) -> None:
    photo, corners = photograph(tmp_path / "p.png"), np.array([(0, 0), (20, 0), (20, 30), (0, 30)])
    found = overlay.save_overlay(tmp_path / "out", photo, Constant(0.01), region=corners)
    assert found.pop("count") == pytest.approx(12) and found.pop("region_count") == pytest.approx(6)
    path = str(tmp_path / "out/p.png")
    assert found == {"photo": str(photo), "height": 30, "width": 40, "overlay": path}


def test_a_name_that_another_process_takes_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one writes while this one draws: another photograph's overlay stays, one of the same is replaced."""
    one, two = photograph(tmp_path / "1/p.png", seed=1), photograph(tmp_path / "2/p.png", seed=2)
    draw, out = overlay.overlay, tmp_path / "out"

    def while_drawing(photo: Path, other: Path) -> dict[str, object]:
        def slow(*arguments: object) -> Image.Image:
            monkeypatch.setattr(overlay, "overlay", draw)
            overlay.save_overlay(out, other, Constant(0.02))
            return draw(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(overlay, "overlay", slow)
        return overlay.save_overlay(out, photo, Constant(0.01))

    assert while_drawing(one, other=two)["overlay"] == str(out / "p-2.png")
    with Image.open(out / "p.png") as theirs, Image.open(out / "p-2.png") as ours:
        assert "24.0 people" in theirs.info["Description"] and "12.0 people" in ours.info["Description"]
    (out / "p-2.png").unlink()
    assert while_drawing(one, other=one)["overlay"] == str(out / "p-2.png")
    assert {path.name for path in out.iterdir()} == {"p.png", "p-2.png"}


@pytest.mark.parametrize("left", ["npy", "both"])
def test_an_overlay_does_not_stand_beside_the_map_of_another_photograph(tmp_path: Path, left: str) -> None:
    one, two, out = photograph(tmp_path / "1/p.png", seed=1), photograph(tmp_path / "2/p.png", seed=2), tmp_path / "out"
    overlay.save_overlay(out, one, Constant(0.02), with_map=True)
    (out / "p.png").unlink()
    if left == "npy":
        (out / "p-map.png").unlink()  # which alone says of which photograph it is
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    found = overlay.save_overlay(out, two, Constant(0.01))
    assert found["overlay"] == str(out / "p-2.png") and "map" not in found
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.name != "p-2.png"} == before


@pytest.mark.parametrize("lost", ["p.png", "p.npy"])
def test_what_was_removed_of_a_photographs_files_is_made_anew(tmp_path: Path, lost: str) -> None:
    photo, out = photograph(tmp_path / "p.png"), tmp_path / "out"
    overlay.save_overlay(out, photo, Constant(0.02), with_map=True)
    (out / lost).unlink()
    found = overlay.save_overlay(out, photo, Constant(0.01))
    assert (found["overlay"], found["map"]) == (str(out / "p.png"), str(out / "p.npy"))
    assert np.load(out / "p.npy").sum() == pytest.approx(12) and len(list(out.iterdir())) == 3


def test_a_map_with_people_below_zero_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """16 bits without a sign would hold 65 thousand for each of them."""
    photo, out = photograph(tmp_path / "p.png"), tmp_path / "out"
    with pytest.raises(InputError, match=r"p-map\.png cannot hold people below zero"):
        overlay.save_overlay(out, photo, Constant(-0.01), with_map=True)
    assert not out.exists()
    assert overlay.save_overlay(out, photo, Constant(-0.01))["count"] == pytest.approx(-12)  # it can be counted
    overlay.save_overlay(out, photo, Constant(0.01), with_map=True)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match="below zero"):  # the map that lies there would have to be of this count
        overlay.save_overlay(out, photo, Constant(-0.01))
    with pytest.raises(InputError, match="below zero"):
        overlay.save_map(torch.tensor([[1.0, -1e-6]]), out / "p.npy", out / "p-map.png", "")
    assert before == {path: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("people", [0.0, 1e-30, 0.3, 50.0])
@pytest.mark.parametrize("shape", [(1, 1), (30, 40), (211, 307)])
def test_a_map_in_16_bits_sums_up_to_the_count(tmp_path: Path, people: float, shape: tuple[int, int]) -> None:
    density = torch.rand(shape) ** 8
    density = density * (people / float(density.sum()))
    overlay.save_map(density, tmp_path / "a.npy", tmp_path / "a.png", "λ", "0123")
    assert np.array_equal(np.load(tmp_path / "a.npy"), density.numpy())
    with Image.open(tmp_path / "a.png") as picture:
        pixels, scale = np.asarray(picture).astype(np.float64), float(picture.info["Scale"])
        assert (picture.info["Description"], overlay.origin_of(tmp_path / "a.png")) == ("λ", "0123")
    count = float(density.sum(dtype=torch.float64))
    assert pixels.sum() * scale == pytest.approx(count, abs=0.51 * scale)
    assert np.abs(pixels * scale - density.numpy()).max() <= 1.001 * scale
    assert people == 0 or scale <= float(density.max()) / 60_000
