"""From a counter and labelled images to figures: worked by hand on maps that are known, then on a real network."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from native_files import complaint
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Subset

from sdcda_tutorial import masks, metrics
from sdcda_tutorial.datasets import ImageFolder, Sample, open_dataset
from sdcda_tutorial.datasets.batches import Augmentation, Batches, DensityKernel, PseudoMasked
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.metric_table import METRICS, Metric
from sdcda_tutorial.evaluation.results import BEGINNINGS, Results, evaluate, is_csv, mask_quality, predict_density
from sdcda_tutorial.evaluation.tables import table
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.files import refuse_other_file
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.training import adapt, train_segmenter

SPIKE = DensityKernel(kernel_size=1)  # F(y) is 1 at the pixel of a head and 0 elsewhere
SIDE = 12
GAME = ["game0", "game1", "game2", "game3"]
COLUMNS = ["name", "count", "predicted", "background", "crowd", "psnr", "ssim", *GAME]


def sample(number: int, points: Sequence[tuple[float, float]]) -> Sample:
    """An image that says its number in its colour."""
    image = np.full((SIDE, SIDE, 3), number, dtype=np.uint8)
    return Sample(image, np.array(points, dtype=np.float32).reshape(-1, 2), name=f"image {number}")


class Known(nn.Module):
    """Gives the map that belongs to an image's colour. Without parameters, as a trivial baseline may be."""

    def __init__(self, maps: Sequence[Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32 and x.shape[:2] == (1, 3)
        return self.maps[round(float(x[0, 0, 0, 0]) * 255)][None, None]


def density(*people: tuple[int, int, float]) -> Tensor:
    """A map from (x, y, people)."""
    values = torch.zeros(SIDE, SIDE)
    for x, y, number in people:
        values[y, x] = number
    return values


# Two heads, of which one is half seen and one counted twice, and half a person where nobody is; then nobody at all.
SAMPLES = [sample(0, [(2.5, 3.5), (7.5, 8.5)]), sample(1, [])]
MAPS = [density((2, 3, 0.5), (7, 8, 2.0), (0, 11, 0.5)), density((5, 5, 3.0))]


@pytest.fixture(scope="module")
def results() -> Results:
    return evaluate(Known(MAPS), SAMPLES, kernel=SPIKE, progress=False, about={"seed": 3})


def test_rows_by_hand(results: Results) -> None:
    first, second = results.rows
    assert (first.name, first.count, first.predicted, first.error) == ("image 0", 2, 3.0, 1.0)
    assert (first.background, first.crowd) == (0.5, 0.5)
    # The squared error is 0.5² + 1² + 0.5² over 144 pixels; the peak of the true map is 1.
    assert first.psnr == pytest.approx(10 * math.log10(144 / 1.5), rel=1e-6)
    assert -1 < first.ssim < 1
    assert (second.name, second.count, second.predicted) == ("image 1", 0, 3.0)
    assert (second.background, second.crowd) == (3.0, 0.0)
    assert math.isnan(second.psnr) and math.isnan(second.ssim)
    # Half a person missed, one too many and half a one too many, each in another quarter of the image; then three.
    assert [[row.figures[name] for name in GAME] for row in results.rows] == [[1, 2, 2, 2], [3, 3, 3, 3]]


def test_totals_by_hand(results: Results) -> None:
    """An image without people has no PSNR, but its count is as wrong as any other."""
    assert results.mae == pytest.approx((1 + 3) / 2)
    assert results.mse == pytest.approx(math.sqrt((1 + 9) / 2))
    assert results.background == pytest.approx((0.5 + 3) / 2)
    assert results.crowd == pytest.approx((0.5 + 0) / 2)
    assert results.mean_count == 1
    assert (results.psnr, results.ssim) == (results.rows[0].psnr, results.rows[0].ssim)
    totals = results.totals()
    assert totals["images"] == 2 and totals["mse"] == round(math.sqrt(5), 4)
    fewer = {"psnr_images": 1, "ssim_images": 1}
    assert set(totals) == {"mae", "mse", "psnr", "ssim", "background", "crowd", "mean_count", "images", *GAME, *fewer}
    assert fewer.items() <= totals.items()
    assert totals["game0"] == results.mae and totals["game1"] == totals["game3"] == results.game2 == 2.5


def test_a_perfect_map_has_no_error_and_no_finite_psnr() -> None:
    perfect = evaluate(Known([SPIKE.draw(SAMPLES[0])]), SAMPLES[:1], kernel=SPIKE, progress=False)
    assert (perfect.mae, perfect.mse, perfect.background, perfect.crowd) == (0, 0, 0, 0)
    assert perfect.ssim == pytest.approx(1) and perfect.rows[0].psnr == math.inf and math.isnan(perfect.psnr)


def test_the_variant_and_the_kernel_are_used_and_kept(results: Results) -> None:
    assert results.about == {
        "seed": 3,
        "kernel": {"kernel": "fixed", "sigma": 4.0, "kernel_size": 1},
        "variant": "standard",
    }
    authors = evaluate(Known(MAPS), SAMPLES, kernel=SPIKE, variant="authors", progress=False)
    assert authors.about["variant"] == "authors"
    assert authors.rows[0].psnr != results.rows[0].psnr and math.isfinite(authors.rows[1].psnr)
    # A wide kernel leaves no background within its reach: (0, 11) is 9 pixels from no head's square.
    wide = evaluate(Known(MAPS), SAMPLES, kernel=DensityKernel(kernel_size=23), progress=False)
    assert wide.rows[0].background == 0 and wide.rows[0].crowd == 1


def test_a_nan_of_the_model_is_not_hidden() -> None:
    broken = evaluate(Known([MAPS[0], density((0, 0, math.nan))]), SAMPLES, kernel=SPIKE, progress=False)
    assert math.isnan(broken.mae) and math.isnan(broken.mse)


def test_a_broken_row_of_a_file_is_in_every_mean_of_the_counts(results: Results, tmp_path: Path) -> None:
    rows = [results.rows[0], replace(results.rows[1], predicted=math.nan, background=math.nan, crowd=math.nan)]
    Results(rows, results.about).to_json(tmp_path / "found.json")
    found = Results.from_json(tmp_path / "found.json")
    assert [found.totals()[name] for name in ("mae", "mse", "background", "crowd", "mean_count")] == [None] * 4 + [1.0]
    assert found.psnr == results.psnr  # undefined for one image, which the totals say
    line = table({"": found}).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[-3:-1]] == ["–", "–"]


def test_nothing_to_measure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        evaluate(Known([]), [], progress=False)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    photographs = ImageFolder(tmp_path)
    for unlabelled in (photographs, photographs.subset([0])):
        with pytest.raises(InputError, match="has no labels to learn from or to measure against"):
            evaluate(Known(MAPS), unlabelled, progress=False)


# --- on a network -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def counter() -> CrowdCounter:
    torch.manual_seed(0)
    network = CrowdCounter(stride=8, width=1 / 32, label_factor=1.0)
    noise = torch.rand(4, 3, 32, 32)
    for _ in range(20):  # so that the running statistics are those of no single batch
        network(noise)
    return network.eval()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(37, 53), (40, 56), (8, 9), (1, 1)])
def test_images_are_seen_whole_padded_to_the_stride_and_cropped_back(
    counter: CrowdCounter, size: tuple[int, int]
) -> None:
    image = picture(*size)
    seen = predict_density(counter, image)
    assert seen.shape == size and seen.dtype == torch.float32
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    x = F.pad(x, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate")
    with torch.no_grad():
        wanted = counter.C(counter.E(x))[0, 0, : size[0], : size[1]]
    assert torch.allclose(seen, wanted, atol=1e-6)


def test_the_map_is_an_ordinary_tensor(counter: CrowdCounter) -> None:
    seen = predict_density(counter, picture(16, 16))
    assert not seen.requires_grad
    seen *= 2  # a map made in inference mode would refuse this, and the next line
    (torch.ones((), requires_grad=True) * seen).sum().backward()


def test_the_mode_of_every_part_is_restored(counter: CrowdCounter) -> None:
    counter.train()
    counter.E.eval()  # frozen batch norm in a network that trains
    modes = [module.training for module in counter.modules()]
    statistics = {name: value.clone() for name, value in counter.state_dict().items()}
    predict_density(counter, picture(16, 16))
    assert [module.training for module in counter.modules()] == modes
    assert all(torch.equal(value, statistics[name]) for name, value in counter.state_dict().items())
    with pytest.raises((RuntimeError, ValueError)):
        predict_density(counter, np.zeros((8, 8, 5), dtype=np.uint8))
    assert [module.training for module in counter.modules()] == modes
    counter.eval()
    predict_density(counter, picture(16, 16))
    assert not any(module.training for module in counter.modules())


def test_the_order_of_the_images_does_not_matter(counter: CrowdCounter) -> None:
    counter.train()  # whose batch norm would carry each image over to the next
    images = [
        Sample(picture(17 + seed, 30, seed), np.array([[5.0, 5.0]], dtype=np.float32), name=str(seed))
        for seed in range(4)
    ]
    forwards, backwards = (evaluate(counter, order, progress=False) for order in (images, images[::-1]))
    assert forwards.rows == backwards.rows[::-1]
    assert len({row.predicted for row in forwards.rows}) == 4
    assert evaluate(counter, images[2:3], progress=False).rows == forwards.rows[2:3]
    counter.eval()


def test_errors_add_up_on_a_network(counter: CrowdCounter) -> None:
    rng = np.random.default_rng(1)
    images = [
        Sample(picture(50, 61, n), rng.uniform(0, 50, (n, 2)).astype(np.float32), name=str(n)) for n in (0, 1, 40)
    ]
    for row in evaluate(counter, images, kernel=DensityKernel(sigma=2.0), progress=False).rows:
        assert row.background + row.crowd == pytest.approx(row.error, abs=1e-4)
        assert row.background >= 0


# --- files ------------------------------------------------------------------------------------------------------------
def same(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, float) and isinstance(other, float) and math.isnan(one + other))


def test_json_round_trip(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    results.to_json(path)

    def no_nan(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    stored = json.loads(path.read_text(), parse_constant=no_nan)
    assert stored["rows"][1]["psnr"] is None and stored["totals"]["mae"] == 2.0
    again = Results.from_json(path)
    assert again.about == results.about and len(again.rows) == 2
    for old, new in zip(results.rows, again.rows, strict=True):
        assert all(same(getattr(old, name), getattr(new, name)) for name in COLUMNS)
    assert again.totals() == results.totals()
    again.to_json(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    "text", ["{}", "[]", "1", '{"rows": [1], "about": {}}', '{"rows": [{}], "about": {}}', '{"rows": []}', "{"]
)
def test_a_file_that_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=str(path)):
        Results.from_json(path)
    with pytest.raises(InputError, match="does not exist"):
        Results.from_json(tmp_path / "nowhere.json")


def test_csv_has_a_line_an_image(results: Results, tmp_path: Path) -> None:
    results.to_csv(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["name"], line["count"], float(line["predicted"])) for line in lines] == [
        ("image 0", "2", 3.0),
        ("image 1", "0", 3.0),
    ]
    assert list(lines[0]) == COLUMNS


def test_an_evaluation_from_before_a_metric_is_read_and_written_as_it_is(results: Results, tmp_path: Path) -> None:
    """GAME is from 2026; nothing is said of it where it was not measured."""
    results.to_json(tmp_path / "new.json")
    stored = json.loads((tmp_path / "new.json").read_text())
    for figures in (stored["totals"], *stored["rows"]):
        for name in GAME:
            del figures[name]
    (tmp_path / "old.json").write_text(json.dumps(stored, indent=1) + "\n")
    old = Results.from_json(tmp_path / "old.json")
    assert old.totals() == {name: value for name, value in results.totals().items() if name not in GAME}
    assert math.isnan(old.game1) and not hasattr(old.rows[0], "game1")
    old.to_json(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "old.json").read_text()
    old.to_csv(tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text().splitlines()[0] == ",".join(COLUMNS[:-4])
    header, _, row, _ = table({"old": old}).splitlines()
    assert "GAME" not in header and header.count("|") == row.count("|") == 8
    mixed = [line.split("|")[6].strip() for line in table({"old": old, "new": results}).splitlines()[:4]]
    assert [mixed[0], *mixed[2:]] == ["GAME(1)", "–", "2.50"]


def test_a_metric_is_one_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From there to rows, totals and the table; tests/experiments and test_model_card have the rest."""
    monkeypatch.setitem(METRICS, "peak", Metric("peak", "peak", lambda pred, truth, _: float(pred.max()), form=".1f"))
    monkeypatch.setitem(METRICS, "bias", Metric("bias", "bias", of_rows=lambda rows: rows[0].error + rows[1].error))
    found = evaluate(Known(MAPS), SAMPLES, kernel=SPIKE, progress=False)
    assert [row.peak for row in found.rows] == [2.0, 3.0]
    assert (found.totals()["peak"], found.totals()["bias"]) == (2.5, 4.0)
    found.to_csv(tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text().splitlines()[0] == ",".join([*COLUMNS, "peak"])
    header, _, row, _ = table({"": found}).splitlines()
    assert header.endswith("| peak | bias |") and row.endswith("|  2.5 | 4.00 |")
    with pytest.raises(AttributeError, match="no metric median"):
        _ = found.median


# --- tables -----------------------------------------------------------------------------------------------------------
def test_table_by_hand(results: Results) -> None:
    header, rule, first, second, legend = table({"NoAdapt": results, "SE+FD, longer": results}).splitlines()
    headings = "|  MAE |  MSE |  PSNR |  SSIM | GAME(1) | GAME(2) | GAME(3) | background | crowd |"
    assert header == f"| method        {headings}"
    assert {len(line) for line in (header, rule, first, second)} == {len(header)}
    figures = f"| 2.00 | 2.24 | 19.82 | {results.ssim:.3f} |    2.50 |    2.50 |    2.50 |       1.75 | +0.25 |"
    assert first == f"| NoAdapt       {figures}"
    assert second.startswith("| SE+FD, longer | 2.00 |")
    assert legend.startswith("2 images, 1.0 people each on average.")
    parts = "PSNR over 1, SSIM over 1 of 2 images, where it is finite."
    assert legend.endswith(f"too few (-) elsewhere. NoAdapt: {parts} SE+FD, longer: {parts}")


def test_a_title_of_any_name_stays_in_its_cell(results: Results) -> None:
    """It is the name of a folder, which may hold what ends a cell or a line, or commands a terminal."""
    said = table({"a|b": results, "c\nsdcda: all is well\x1b[31m": results})
    header, rule, first, second, _ = said.splitlines()
    assert first.startswith(r"| a\|b ") and second.startswith(r"| 'c\nsdcda: all is well\x1b[31m' | 2.00 |")
    assert {len(line) for line in (header, rule, first, second)} == {len(header)} and "\x1b" not in said
    assert markdown_table(["|"], [["a"]], aligned=False) == "| \\| |\n| --- |\n| a |"


def test_what_must_not_be_compared_is_told(results: Results) -> None:
    other = replace(results, about=results.about | {"kernel": {"kernel": "fixed", "sigma": 2.0, "kernel_size": 15}})
    said = table({"ours": results, "theirs": other}).splitlines()[-1]
    assert said.startswith("The true maps differ")
    assert "ours: fixed, σ 4, 1 pixels wide; theirs: fixed, σ 2, 15 pixels wide" in said
    assert "true maps differ" not in table({"ours": results, "again": results})
    authors = replace(results, about=results.about | {"variant": "authors"})
    assert "PSNR and SSIM are computed as the authors'" in table({"": authors})


def test_a_table_with_a_column_of_somebodys_own_is_not_ours(results: Results, tmp_path: Path) -> None:
    results.to_csv(tmp_path / "rows.csv")
    text = (tmp_path / "rows.csv").read_text()
    assert is_csv(text) and not is_csv(text.replace(",crowd", ",crowd,my_note", 1))
    assert not is_csv(text + "my notes\n") and not is_csv(text + text.splitlines()[-1].replace("0", "zero") + "\n")
    (tmp_path / "rows.csv").write_bytes(text.replace("\n", "\r\n").encode())  # as Windows has it
    refuse_other_file(tmp_path / "rows.csv", BEGINNINGS["csv"], is_csv)


def test_means_of_all_images_are_no_matter_of_a_line(results: Results) -> None:
    """Exact maps have an infinite PSNR, empty ones none: either is left out of the mean, and only that is told."""
    whole = evaluate(Known(MAPS), SAMPLES[:1], kernel=SPIKE, progress=False)
    assert "finite" not in table({"": whole}) and "psnr_images" not in whole.totals()
    exact = evaluate(Known([SPIKE.draw(SAMPLES[0])]), SAMPLES[:1], kernel=SPIKE, progress=False)
    assert table({"exact": exact}).endswith(" exact: PSNR over 0 of 1 images, where it is finite.")


def test_points_that_were_not_counted_stay_with_the_results(tmp_path: Path) -> None:
    part = [replace(SAMPLES[0], dropped=3), replace(SAMPLES[1], dropped=4)]
    evaluate(Known(MAPS), part, kernel=SPIKE, progress=False).to_json(tmp_path / "found.json")
    found = Results.from_json(tmp_path / "found.json")
    assert found.about["points_outside"] == 7
    legend = table({"": found}).splitlines()[-1]
    assert "1.0 people each on average, without 7 annotated points that lie outside their images. back" in legend


def test_mask_quality_by_hand(tmp_path: Path) -> None:
    inside = np.zeros((SIDE, SIDE), dtype=np.uint8)
    inside[:, :6] = 1  # holds the first of two heads, and half of the pixels
    masks.write_png(masks.path_of(tmp_path, "image 0"), inside)
    masks.write_png(masks.path_of(tmp_path, "image 1"), np.zeros_like(inside))
    assert mask_quality(SAMPLES, tmp_path) == {"heads_inside": 0.5, "crowd_share": 0.25}
    assert math.isnan(mask_quality(SAMPLES[1:], tmp_path)["heads_inside"])


def test_progress_can_be_silenced(capfd: pytest.CaptureFixture[str]) -> None:
    evaluate(Known(MAPS), SAMPLES, kernel=SPIKE, progress=False)
    assert capfd.readouterr() == ("", "")
    evaluate(Known(MAPS), SAMPLES, kernel=SPIKE)
    assert "evaluate" in capfd.readouterr().err


def test_labels_that_are_not_of_their_image_are_refused(tmp_path: Path) -> None:
    image, counter = np.zeros((40, 64, 3), np.uint8), nn.Conv2d(3, 1, 1)
    points = np.array([[5, 5], [64, 10], [-3, 2], [np.nan, 2]], np.float32)
    evaluate(counter, [Sample(image, points[:1], name="a")], kernel=DensityKernel(), progress=False)
    for wrong in points[1:]:
        sample = Sample(image, np.stack([points[0], wrong]), name="a")
        complaint(
            lambda sample=sample: evaluate(counter, [sample], kernel=DensityKernel(), progress=False), "a: points"
        )
        complaint(lambda sample=sample: mask_quality([sample], tmp_path), "a: points lie outside the image")
        batches = Batches([sample], 1, Augmentation((32, 32)), seed=0, kernel=DensityKernel())
        complaint(lambda batches=batches: batches[0], "a: points lie outside the image")
    other = Sample(image, mask=np.ones((80, 128), np.uint8), name="a")
    complaint(lambda: Batches([other], 1, Augmentation((32, 32)), seed=0)[0], "a: its mask (80, 128) has not the size")


def test_parts_of_unlabelled_data_are_refused_too(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 64, 3), np.uint8)).save(tmp_path / "a.png")
    photographs, counter = open_dataset(f"images:{tmp_path}"), nn.Conv2d(3, 1, 1)
    for data in (Subset(photographs, [0]), Subset(Subset(photographs, [0]), [0]), list(photographs)):
        complaint(
            lambda data=data: evaluate(counter, data, kernel=DensityKernel(), progress=False), "a.png has no labels"
        )
    for target in (PseudoMasked(photographs, None), list(PseudoMasked(photographs, None))):
        complaint(lambda target=target: evaluate(counter, target, kernel=DensityKernel()), "has no labels")


def test_nobody_learns_from_photographs_without_labels(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 64, 3), np.uint8)).save(tmp_path / "a.png")
    photographs = open_dataset(f"images:{tmp_path}")
    for learn in (
        lambda: adapt(photographs, None, MINI.method("noadapt"), tmp_path / "run"),
        lambda: train_segmenter(photographs, MINI.segmenter, tmp_path / "run"),
    ):
        complaint(learn, str(tmp_path), "has no labels to learn from")
    batches = Batches(list(photographs), 1, Augmentation((32, 32)), seed=0, kernel=DensityKernel())
    complaint(lambda: batches[0], "a.png has no labels")
    assert not (tmp_path / "run").exists()


def test_a_users_autocast_does_not_round_the_metrics() -> None:
    truth = torch.rand(48, 64, generator=torch.Generator().manual_seed(0))
    plain = metrics.ssim(1.05 * truth, truth)
    with torch.autocast("cpu", torch.bfloat16):
        assert metrics.ssim(1.05 * truth, truth) == plain


def test_an_unknown_variant_is_refused() -> None:
    one = torch.ones(16, 16)
    for of_maps in (metrics.psnr, metrics.ssim):
        with pytest.raises(ValueError, match="variant is standard or authors, not 'Authors'"):
            of_maps(one, one, "Authors")  # type: ignore[arg-type]
