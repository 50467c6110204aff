"""Figures: what they show, where, on which scale, and the words that go with them."""

from __future__ import annotations

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


def test_a_picture_carries_its_words(tmp_path: Path, panel: Figure) -> None:
    words = "Drei Köpfe, λ = 0.01, 人群: 12.3 people"
    path = tmp_path / "new" / "picture.png"
    plotting.save(panel, path, words)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.info["Description"] == words
        assert "Software" not in picture.info
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, panel: Figure
) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(panel, "savefig", full)
    with pytest.raises(InputError, match=r"picture\.png: No space left on device"):
        plotting.save(panel, path, "words")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("picture.png", "old")]


class Constant(nn.Module):
    """So many people on every pixel."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, :1], self.value)


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
