"""Pictures: what they show, where, on which scale, and the words that go with them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from sdcda_tutorial.datasets import Sample
from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import pictures as plotting
from sdcda_tutorial.evaluation.colours import DENSITY
from sdcda_tutorial.evaluation.comparison import save_panel
from sdcda_tutorial.evaluation.results import evaluate

KERNEL = DensityKernel(sigma=1.0, kernel_size=5)


def sample(number: int, heads: int, size: tuple[int, int] = (30, 40)) -> Sample:
    rng = np.random.default_rng(number)
    points = rng.uniform((0, 0), size[::-1], (heads, 2)).astype(np.float32)
    return Sample(rng.integers(0, 256, (*size, 3), dtype=np.uint8), points, name=f"image {number}")


SAMPLES = [sample(0, 7), sample(1, 0), sample(2, 20, (45, 40))]
TRUTHS = [KERNEL.draw(one) for one in SAMPLES]
PREDICTIONS = {
    "without": [truth + 0.01 for truth in TRUTHS],
    "with": [truth * 1.5 for truth in TRUTHS],
}


@pytest.fixture(scope="module")
def panel() -> Figure:
    return plotting.panel(SAMPLES, TRUTHS, PREDICTIONS)


def texts(axis: matplotlib.axes.Axes) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_the_panel_has_a_row_an_image_and_a_column_a_map(panel: Figure) -> None:
    axes = np.array(panel.axes).reshape(3, 4)
    assert [axis.get_title() for axis in axes[0]] == ["image", "truth", "without", "with"]
    assert all(axis.get_title() == "" for axis in axes[1:].flat)
    columns = [TRUTHS, *PREDICTIONS.values()]
    for i, one in enumerate(SAMPLES):
        assert np.array_equal(axes[i, 0].images[0].get_array(), one.image) and texts(axes[i, 0]) == []
        for j, maps in enumerate(columns, start=1):
            assert np.array_equal(axes[i, j].images[0].get_array(), maps[i].numpy())
    assert not any(axis.axison for axis in axes.flat)


def test_the_panel_prints_the_counts_of_heads_and_of_maps(panel: Figure) -> None:
    axes = np.array(panel.axes).reshape(3, 4)
    for i, one in enumerate(SAMPLES):
        assert texts(axes[i, 1]) == [str(one.count)]
        assert texts(axes[i, 2]) == [f"{one.count + 0.01 * one.image[..., 0].size:.1f}"]
        assert texts(axes[i, 3]) == [f"{1.5 * one.count:.1f}"]


def test_all_maps_of_a_row_share_the_scale_of_the_truth(panel: Figure) -> None:
    axes = np.array(panel.axes).reshape(3, 4)
    for i, truth in enumerate(TRUTHS):
        # Where nobody is the truth has no scale: then it is the predictions', so that a stray 0.01 does not blind.
        limits = (0, float(truth.max()) or pytest.approx(0.01))
        assert [axis.images[0].get_clim() for axis in axes[i, 1:]] == [limits] * 3
        assert {axis.images[0].get_cmap().name for axis in axes[i, 1:]} == {DENSITY}


def test_a_panel_of_nothing_but_zeros_can_be_drawn(tmp_path: Path) -> None:
    zeros = torch.zeros(30, 40)
    plotting.save(plotting.panel(SAMPLES[1:2], [zeros], {"with": [zeros]}), tmp_path / "zeros.png", "nobody")
    assert Image.open(tmp_path / "zeros.png").size[0] > 300


@pytest.mark.parametrize("size", [(30, 40), (200, 20), (3, 900), (1, 1)])
def test_an_overlay_has_the_shape_of_the_photograph(tmp_path: Path, size: tuple[int, int]) -> None:
    figure = plotting.overlay(np.zeros((*size, 3), dtype=np.uint8), torch.full(size, 0.5))
    plotting.save(figure, tmp_path / "overlay.png", "gray")
    with Image.open(tmp_path / "overlay.png") as picture:
        assert max(picture.size) == 1200  # 8 inches: neither a stamp nor a wall, however long the photograph
        assert picture.height == pytest.approx(max(1200 * size[0] / max(size), 15), abs=1)
        assert picture.width == pytest.approx(max(1200 * size[1] / max(size), 15), abs=1)


def test_an_overlay_is_clear_where_nobody_is_and_strong_where_most_are() -> None:
    density = torch.zeros(10, 12)
    density[2, 3], density[7, 8] = 1.0, 0.25
    image = np.full((10, 12, 3), 77, dtype=np.uint8)
    (axis,) = plotting.overlay(image, density).axes
    below, above = (picture.get_array() for picture in axis.images)
    assert np.array_equal(below, image)
    alpha = above[..., 3]
    assert (alpha[2, 3], alpha[7, 8]) == pytest.approx((0.85, 0.425)) and np.count_nonzero(alpha) == 2
    assert texts(axis) == ["1.2 people"]


@pytest.mark.parametrize("density", [torch.zeros(10, 12), torch.linspace(-1, 1, 120).reshape(10, 12)])
def test_an_overlay_takes_empty_and_negative_maps(tmp_path: Path, density: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plotting.overlay(np.zeros((10, 12, 3), dtype=np.uint8), density)
    alpha = figure.axes[0].images[1].get_array()[..., 3]
    assert not alpha[density.numpy() <= 0].any()
    plotting.save(figure, tmp_path / "overlay.png", "nobody")


def test_a_picture_carries_its_words(tmp_path: Path) -> None:
    words = "Drei Köpfe, λ = 0.01, 人群: 12.3 people"
    path = tmp_path / "new" / "picture.png"
    figure = plotting.overlay(np.zeros((10, 12, 3), dtype=np.uint8), torch.zeros(10, 12))
    plotting.save(figure, path, words)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.info["Description"] == words
        assert "Software" not in picture.info
    assert plotting.origin_of(path) is None
    plotting.save(figure, path, words, "0123")
    assert plotting.origin_of(path) == "0123"
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


def test_other_files_have_no_origin(tmp_path: Path) -> None:
    Image.new("RGB", (5, 5)).save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("x")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHD")
    assert [plotting.origin_of(path) for path in (*tmp_path.iterdir(), tmp_path, tmp_path / "nowhere.png")] == [
        None
    ] * 5


def test_a_picture_of_which_pillow_warns_and_a_pipe_have_no_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("L", (300, 100)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for most in (300 * 100 - 1, 100):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
            assert [plotting.origin_of(tmp_path / name) for name in ("pipe.png", "large.png")] == [None, None]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")
    figure = plotting.overlay(np.zeros((10, 12, 3), dtype=np.uint8), torch.zeros(10, 12))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full)
    with pytest.raises(InputError, match=r"picture\.png: No space left on device"):
        plotting.save(figure, path, "words")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("picture.png", "old")]


class Constant(nn.Module):
    """So many people on every pixel."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, :1], self.value)


def photograph(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(sample(seed, 0).image).save(path)
    return path


def test_an_overlay_is_a_record_of_the_count(tmp_path: Path) -> None:
    photo, corners = photograph(tmp_path / "p.png"), np.array([(0, 0), (20, 0), (20, 30), (0, 30)])
    found = plotting.save_overlay(tmp_path / "out", photo, Constant(0.01), region=corners)
    assert found.pop("count") == pytest.approx(12) and found.pop("region_count") == pytest.approx(6)
    overlay = str(tmp_path / "out/p.png")
    assert found == {"photo": str(photo), "height": 30, "width": 40, "overlay": overlay}


def test_the_outline_of_a_region_lies_where_it_was_asked_for() -> None:
    corners = np.array([(2.0, 1.0), (8.0, 1.0), (8.0, 9.0)])
    axis = plotting.overlay(np.zeros((10, 12, 3), dtype=np.uint8), torch.zeros(10, 12), corners).axes[0]
    (outline,) = axis.patches
    assert np.allclose(outline.get_xy()[:3], corners - 0.5)  # type: ignore[attr-defined]
    assert axis.get_xlim() == (-0.5, 11.5) and axis.get_ylim() == (9.5, -0.5)


def test_a_name_that_another_process_takes_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one writes while this one draws: another photograph's overlay stays, one of the same is replaced."""
    one, two = photograph(tmp_path / "1/p.png", seed=1), photograph(tmp_path / "2/p.png", seed=2)
    draw, out = plotting.overlay, tmp_path / "out"

    def while_drawing(photo: Path, other: Path) -> dict[str, object]:
        def slow(*arguments: object) -> Figure:
            monkeypatch.setattr(plotting, "overlay", draw)
            plotting.save_overlay(out, other, Constant(0.02))
            return draw(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(plotting, "overlay", slow)
        return plotting.save_overlay(out, photo, Constant(0.01))

    assert while_drawing(one, other=two)["overlay"] == str(out / "p-2.png")
    with Image.open(out / "p.png") as theirs, Image.open(out / "p-2.png") as ours:
        assert "24.0 people" in theirs.info["Description"] and "12.0 people" in ours.info["Description"]
    (out / "p-2.png").unlink()
    assert while_drawing(one, other=one)["overlay"] == str(out / "p-2.png")
    assert {path.name for path in out.iterdir()} == {"p.png", "p-2.png"}


@pytest.mark.parametrize("people", [0.0, 1e-30, 0.3, 50.0])
@pytest.mark.parametrize("shape", [(1, 1), (30, 40), (211, 307)])
def test_a_map_in_16_bits_sums_up_to_the_count(tmp_path: Path, people: float, shape: tuple[int, int]) -> None:
    density = torch.rand(shape) ** 8
    density = density * (people / float(density.sum()))
    plotting.save_map(density, tmp_path / "a.npy", tmp_path / "a.png", "λ", "0123")
    assert np.array_equal(np.load(tmp_path / "a.npy"), density.numpy())
    with Image.open(tmp_path / "a.png") as picture:
        pixels, scale = np.asarray(picture).astype(np.float64), float(picture.info["Scale"])
        assert (picture.info["Description"], plotting.origin_of(tmp_path / "a.png")) == ("λ", "0123")
    count = float(density.sum(dtype=torch.float64))
    assert pixels.sum() * scale == pytest.approx(count, abs=0.51 * scale)
    assert np.abs(pixels * scale - density.numpy()).max() <= 1.001 * scale
    assert people == 0 or scale <= float(density.max()) / 60_000


@pytest.mark.slow
@pytest.mark.parametrize(("images", "shown"), [(1, ["image 0"]), (2, ["image 0", "image 1"]), (11, [5, 7, 9])])
def test_save_panel_shows_images_by_rank_of_error_each_once(tmp_path: Path, images: int, shown: list[object]) -> None:
    """Image n holds n heads and 0 are predicted, so n is its rank: no best and no worst case picked by hand."""
    data = [sample(number, number) for number in range(images)]
    counters = {"none": Constant(0.0), "many": Constant(0.01)}
    results = {title: evaluate(c, data, kernel=KERNEL, progress=False) for title, c in counters.items()}
    save_panel(tmp_path / "panel.png", data, results, counters, KERNEL)  # type: ignore[arg-type]
    with Image.open(tmp_path / "panel.png") as panel:
        words = panel.info["Description"]
    names = [f"image {number}" if isinstance(number, int) else number for number in shown]
    assert [part.split(":")[0].split(". ")[-1] for part in words.split("; ")] == names
    for name in names:
        heads = int(str(name).split()[1])
        assert f"{name}: {heads} people, none predicts 0.0, many predicts 12.0" in words
