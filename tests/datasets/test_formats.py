"""Every native format, written by hand here with the pitfalls of the wild, read back; every failure one line.

Real files: set SDCDA_REAL_DATA to a folder with `unity_crowd` (ShanghaiTech layout) and `shanghaitech_sample/part_B`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from native_files import complaint, write_crowdhuman, write_gcc, write_picture, write_qnrf, write_shanghaitech
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdcda_tutorial.datasets import DATASET_NAMES, GCC, CrowdHuman, ImageFolder, Sample, ShanghaiTech, open_dataset
from sdcda_tutorial.datasets.batches import PseudoMasked
from sdcda_tutorial.datasets.formats import gcc_index
from sdcda_tutorial.datasets.images import image_size, read_image, read_image_at, stored_size
from sdcda_tutorial.datasets.transforms import random_crop, resize_to_fit
from sdcda_tutorial.guards.provenance import WORLD
from sdcda_tutorial.networks import image_batch

XY = np.array([[3.5, 30.25], [50.0, 2.0]])


# --- ShanghaiTech -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("part_folder", ["part_B", "part_B_final"])
@pytest.mark.parametrize("truth", ["ground_truth", "ground-truth"])
def test_shanghaitech_spellings(tmp_path: Path, part_folder: str, truth: str) -> None:
    for number in (10, 2, 1):
        write_shanghaitech(tmp_path / part_folder, number, XY + number, truth=truth, split="test")
    images = tmp_path / part_folder / "test_data" / "images"
    for stray in ("Thumbs.db", "IMG_7.png", "._IMG_2.jpg", "seq_000001.jpg"):
        (images / stray).write_bytes(b"stray")
    for data in (
        ShanghaiTech(tmp_path, "B", "test"),
        ShanghaiTech(tmp_path / part_folder, "B", "test"),
        ShanghaiTech(tmp_path / part_folder, split="test"),
        open_dataset(f"shanghaitech-b:{tmp_path}", "test"),
    ):
        assert data.names == ["IMG_1", "IMG_2", "IMG_10"] and len(data) == 3
        assert [path.name for path in data.image_paths] == ["IMG_1.jpg", "IMG_2.jpg", "IMG_10.jpg"]
        sample = data[1]
        assert sample.size == (37, 53) and sample.points.dtype == np.float32 and sample.mask is None
        np.testing.assert_allclose(sample.points, XY + 2)
    complaint(lambda: ShanghaiTech(tmp_path / part_folder, "A", "test"), "part_A", "test_data")


def test_shanghaitech_points_of_any_type_and_outside(tmp_path: Path) -> None:
    points = np.array([[0, 0], [52, 36], [53, 10], [10, 37], [65535, 4]], dtype=np.uint16)
    write_shanghaitech(tmp_path, 1, points, mode="L", stated=7)
    write_shanghaitech(tmp_path, 2, np.zeros((0, 0)))
    # The largest double below W rounds to W in float32: still inside. A negative one is outside.
    write_shanghaitech(tmp_path, 3, np.array([[np.nextafter(53.0, 0), 1.0], [-0.01, 1.0]]))
    first, empty, edge = ShanghaiTech(tmp_path)
    np.testing.assert_array_equal(first.points, [[0, 0], [52, 36]])
    assert first.dropped == 3 and first.attributes == {"stated_count": 7}
    assert first.image.shape == (37, 53, 3) and (first.image[..., 0] == first.image[..., 2]).all()  # was gray
    assert empty.points.shape == (0, 2) and empty.dropped == 0
    assert edge.count == 1 and edge.dropped == 1 and edge.points[0, 0] < 53


def test_shanghaitech_a_has_small_gray_files(tmp_path: Path) -> None:
    """Part A begins at 182 pixels, which is no multiple of 16 and smaller than a crop."""
    points = np.array([[0, 0], [269, 181], [135, 90]], dtype=np.uint16)
    write_shanghaitech(tmp_path / "part_A_final", 1, points, size=(182, 270), mode="L")
    sample = open_dataset(f"shanghaitech-a:{tmp_path}")[0]
    assert sample.size == (182, 270) and sample.image.shape == (182, 270, 3) and sample.count == 3
    whole = random_crop(sample, (480, 640), np.random.default_rng(0))
    assert whole.size == (480, 640) and set(map(tuple, sample.points)) == {(0, 0), (269, 181), (135, 90)}
    fitted = resize_to_fit(sample, (480, 640))
    assert fitted.size == (480, 712)  # 270 · 480 / 182 = 712.1
    np.testing.assert_allclose(fitted.points, points * (712 / 270, 480 / 182), rtol=1e-6)


def test_shanghaitech_failures(tmp_path: Path) -> None:
    complaint(lambda: ShanghaiTech(tmp_path / "nowhere"), tmp_path / "nowhere", "part_A", "`make_dataset`")
    complaint(lambda: ShanghaiTech(tmp_path), tmp_path / "train_data")
    mats = [write_shanghaitech(tmp_path, number, XY) for number in range(1, 9)]
    complaint(lambda: ShanghaiTech(tmp_path, split="val"), "val", "train, test")
    complaint(lambda: ShanghaiTech(tmp_path, "C"), "'C'")
    data = ShanghaiTech(tmp_path)

    mats[0].unlink()
    mats[1].unlink()
    complaint(lambda: ShanghaiTech(tmp_path), mats[0], "2 of 8")
    complaint(lambda: data[0], mats[0])
    scipy.io.savemat(mats[2], {"annPoints": XY, "other": 1})
    complaint(lambda: data[2], mats[2], "image_info", "annPoints, other")
    scipy.io.savemat(mats[3], {"image_info": {"position": XY}})
    complaint(lambda: data[3], mats[3], "location", "position")
    mats[4].write_bytes(mats[7].read_bytes()[:150])
    complaint(lambda: data[4], mats[4], "not a readable .mat")
    mats[5].write_text("these are not points")
    complaint(lambda: data[5], mats[5], "not a readable .mat")
    write_shanghaitech(tmp_path, 7, np.array([[1.0, np.nan], [2.0, 3.0]]))
    complaint(lambda: data[6], mats[6], "1 of 2 points")
    write_shanghaitech(tmp_path, 7, np.zeros((4, 3)))
    complaint(lambda: data[6], mats[6], "(4, 3)")
    picture = data.image_paths[7]
    picture.write_bytes(picture.read_bytes()[:-400])
    complaint(lambda: data[7], picture, "truncated")
    complaint(lambda: data.read_image(7), picture)


# --- GCC --------------------------------------------------------------------------------------------------------------
def gcc_world(root: Path) -> np.ndarray:
    mask = np.zeros((36, 64), dtype=np.uint8)
    mask[2:6, 50:60] = 255  # nonzero is crowd
    write_gcc(root, "scene_01_0", "1534567890", np.array([[3, 55], [40, 2]], dtype=np.int32), mask=mask)
    write_gcc(root, "scene_01_0", "1534567891", np.zeros((0, 0)), mask=np.zeros((36, 64)))
    write_gcc(root, "scene_49_1", "1532170935", np.zeros((0, 0)), mask=np.zeros((36, 64)))  # the loading screen
    write_gcc(root, "scene_49_1", "1500000001", np.array([[35, 63]]), kind="png", mask=np.ones((36, 64)))
    (root / "train.txt").write_text("2 18 6 scene_01_0 1534567890 2\n0 18 6 scene_49_1 1532170935 0\n\n")
    (root / "test.txt").write_text("5 18 6 scene_49_1 1500000001 1\n")
    return mask


def test_gcc(tmp_path: Path) -> None:
    mask = gcc_world(tmp_path)
    data = GCC(tmp_path)
    assert data.names == ["scene_01_0/1534567890", "scene_01_0/1534567891", "scene_49_1/1500000001"]
    first, empty, png = data
    np.testing.assert_array_equal(first.points, [[55.5, 3.5]])  # (x, y): (row, column) swapped would be (3.5, 55.5)
    assert first.dropped == 1
    assert first.attributes == {
        "stated_count": 2,
        "hour": 18,
        "minute": 45,
        "weather": 6,
        "level": 2,
        "listed_count": 2,
        "listed_hour": 18,
        "listed_weather": 6,
    }
    assert first.mask is not None and set(np.unique(first.mask)) == {0, 1}
    np.testing.assert_array_equal(first.mask, mask > 0)  # H×W, row after row
    assert empty.count == 0 and "level" not in empty.attributes  # in no list
    assert data.image_paths[2].suffix == ".png" and png.attributes["level"] == 5
    np.testing.assert_array_equal(png.points, [[63.5, 35.5]])  # the last pixel is inside

    assert GCC(tmp_path, "train").names == ["scene_01_0/1534567890"]
    assert open_dataset(f"gcc:{tmp_path}", "test").names == ["scene_49_1/1500000001"]
    assert len(open_dataset(f"gcc:{tmp_path}", None)) == 3


def test_gcc_lists_with_the_authors_folder_in_front(tmp_path: Path) -> None:
    """A line as NLT has it: `5 0 2 /performed_bak_lite/scene_01_0 1531053242 104`."""
    gcc_world(tmp_path)
    (tmp_path / "train.txt").write_text("2 18 6 /performed_bak_lite/scene_01_0 1534567890 2\n")
    data = GCC(tmp_path, "train")
    assert data.names == ["scene_01_0/1534567890"] and data[0].attributes["level"] == 2
    assert GCC(tmp_path)[0].attributes["level"] == 2


@pytest.mark.parametrize("folder", ["..", "../", "/", ".", "scene_01_0/..", "../.."])
def test_gcc_reads_nothing_outside_its_folder(tmp_path: Path, folder: str) -> None:
    root = tmp_path / "set" / "gcc"
    gcc_world(root)
    for outside in (tmp_path, tmp_path / "set", root):  # images that the names could lead to
        write_gcc(outside, "", "1534567890", np.array([[3, 55]]))
    (root / "train.txt").write_text(f"2 18 6 scene_01_0 1534567890 2\n2 18 6 {folder} 1534567890 1\n")
    complaint(lambda: GCC(root, "train"), root / "train.txt", "line 2")


@pytest.mark.parametrize("id_", ["../jpgs/1534567890", "../../secret", "a/1534567890", "/etc/hostname"])
def test_gcc_takes_no_path_for_the_name_of_an_image(tmp_path: Path, id_: str) -> None:
    gcc_world(tmp_path)
    (tmp_path / "train.txt").write_text(f"2 18 6 scene_01_0 {id_} 2\n")
    complaint(lambda: GCC(tmp_path, "train"), tmp_path / "train.txt", "line 1", id_)


def test_gcc_without_lists_is_all_source(tmp_path: Path) -> None:
    gcc_world(tmp_path)
    (tmp_path / "train.txt").unlink()
    complaint(lambda: GCC(tmp_path, "train"), tmp_path / "train.txt")  # what is in test.txt must not be trained on
    (tmp_path / "test.txt").unlink()
    assert GCC(tmp_path, "train").names == GCC(tmp_path).names and len(GCC(tmp_path)) == 3
    complaint(lambda: GCC(tmp_path, "test"), tmp_path / "test.txt")


def test_gcc_prefers_jpgs_and_skips_the_loading_screen_in_lists(tmp_path: Path) -> None:
    gcc_world(tmp_path)
    write_picture(tmp_path / "scene_01_0" / "pngs" / "1534567890.png", (36, 64))
    data = GCC(tmp_path, "train")
    assert data.names == ["scene_01_0/1534567890"] and data.image_paths[0].suffix == ".jpg"


def test_gcc_without_masks_has_none(tmp_path: Path) -> None:
    write_gcc(tmp_path, "scene_01_0", "1534567890", np.array([[3, 55]]))
    assert GCC(tmp_path)[0].mask is None


def test_gcc_failures(tmp_path: Path) -> None:
    complaint(lambda: GCC(tmp_path / "nowhere"), tmp_path / "nowhere", "scene_XX_Y")
    complaint(lambda: GCC(tmp_path), "no images")
    gcc_world(tmp_path)
    scene = tmp_path / "scene_01_0"
    data = GCC(tmp_path)
    (scene / "segs" / "1534567890.raw").write_bytes(bytes(36 * 65))
    complaint(lambda: data[0], scene / "segs" / "1534567890.raw", "another size", "36×64")
    (scene / "segs" / "1534567890.raw").unlink()
    complaint(lambda: GCC(tmp_path), scene / "segs" / "1534567890.raw", "1 of 3 masks")
    (scene / "mats" / "1534567891.mat").unlink()
    complaint(lambda: GCC(tmp_path), scene / "mats" / "1534567891.mat")
    (scene / "jpgs" / "1534567890.jpg").unlink()
    complaint(lambda: GCC(tmp_path, "train"), scene / "jpgs" / "1534567890.jpg", "1 of 1")
    (tmp_path / "train.txt").write_text("2 18 6 scene_01_0 1534567890 2\nscene_01_0 1534567890\n")
    complaint(lambda: GCC(tmp_path, "train"), tmp_path / "train.txt", "line 2")
    (tmp_path / "train.txt").unlink()
    complaint(lambda: GCC(tmp_path, "train"), tmp_path / "train.txt")
    complaint(lambda: GCC(tmp_path, "val"), "val")


def test_gcc_of_any_case(tmp_path: Path) -> None:
    """Other tools write .JPG, .PNG, .MAT; a second file of an image is not silently chosen or left."""
    gcc_world(tmp_path)
    for path in [
        *tmp_path.rglob("*.jpg"),
        *tmp_path.rglob("*.png"),
        *tmp_path.rglob("*.mat"),
        *tmp_path.rglob("*.raw"),
    ]:
        path.rename(path.with_suffix(path.suffix.upper()))
    data = GCC(tmp_path)
    assert [sample.count for sample in data] == [1, 0, 1] and data[0].mask is not None
    assert [path.suffix for path in data.image_paths] == [".JPG", ".JPG", ".PNG"]
    assert [Path(one.path).stem for one in data.leftovers] == ["1532170935"]  # the loading screen
    for folder, ending in (("mats", "mat"), ("jpgs", "jpeg"), ("segs", "raw")):
        second = tmp_path / "scene_01_0" / folder / f"1534567890.{ending}"
        second.write_bytes(b"another")
        complaint(lambda: GCC(tmp_path), folder, "1534567890", "second file", "remove one of them")
        second.unlink()


@pytest.mark.parametrize(
    "write", [lambda text: b"\xef\xbb\xbf" + text.encode(), lambda text: text.replace("\n", "\r\n").encode()]
)
def test_gcc_lists_of_other_editors(tmp_path: Path, write: Callable[[str], bytes]) -> None:
    gcc_world(tmp_path)
    path = tmp_path / "train.txt"
    path.write_bytes(write(path.read_text()))
    assert GCC(tmp_path, "train").names == ["scene_01_0/1534567890"] and GCC(tmp_path)[0].attributes["level"] == 2


@pytest.mark.parametrize(
    "number",
    ["9" * 5000, "1" * 10, "\u0662", "\u00b2", "-1", "1.0", "1_0"],
    ids=["long", "ten", "arabic", "2", "-", ".", "_"],
)
@pytest.mark.parametrize("place", [0, 1, 2, 5])
def test_gcc_lists_hold_plain_numbers(tmp_path: Path, number: str, place: int) -> None:
    gcc_world(tmp_path)
    fields = ["2", "18", "6", "scene_01_0", "1534567890", "2"]
    fields[place] = number
    (tmp_path / "train.txt").write_text(" ".join(fields), encoding="utf-8")
    complaint(lambda: GCC(tmp_path, "train"), tmp_path / "train.txt", "line 1", "level hour weather")


def test_gcc_lists_that_are_none(tmp_path: Path) -> None:
    gcc_world(tmp_path)
    lines = (tmp_path / "train.txt").read_text()
    (tmp_path / "test.txt").unlink()
    complaint(lambda: GCC(tmp_path, "test"), tmp_path / "test.txt", "train.txt beside it is another part")
    for text in ("", "\n \n", "0 18 6 scene_49_1 1532170935 0\n"):  # the last has only the loading screen
        (tmp_path / "train.txt").write_text(text)
        complaint(lambda: GCC(tmp_path, "train"), tmp_path / "train.txt", "lists no images")
    (tmp_path / "train.txt").write_text(lines, encoding="utf-16")
    for split in ("train", None):
        complaint(
            lambda split=split: GCC(tmp_path, split), tmp_path / "train.txt", "no text in UTF-8", "save it as UTF-8"
        )
    (tmp_path / "train.txt").unlink()
    (tmp_path / "train.txt").mkdir()
    assert len(GCC(tmp_path)) == 3


def test_an_id_that_only_ends_as_the_loading_screens_is_an_image(tmp_path: Path) -> None:
    gcc_world(tmp_path)
    write_gcc(tmp_path, "scene_01_0", "11532170935", np.zeros((0, 0)), mask=np.zeros((36, 64)))
    assert "scene_01_0/11532170935" in GCC(tmp_path).names


def test_a_mask_of_another_size_is_not_stretched(tmp_path: Path) -> None:
    """Of a reader of one's own; a resize would make it fit, and its crowd would be elsewhere."""

    class Masked(ImageFolder):
        def _mask(self, entry: Any, size: tuple[int, int]) -> np.ndarray:
            return np.zeros((8, 8), np.uint8)

    Image.new("RGB", (80, 64)).save(tmp_path / "a.png")
    for max_side in (None, 40):
        data = Masked(tmp_path, max_side=max_side)
        complaint(lambda data=data: data[0], "a.png: its mask (8, 8) has not the size (64, 80)")  # type: ignore[misc]


def test_gcc_mask_of_any_length_is_not_read(tmp_path: Path) -> None:
    gcc_world(tmp_path)
    mask = tmp_path / "scene_01_0" / "segs" / "1534567890.raw"
    with open(mask, "ab") as file:
        file.truncate(2**42)  # four terabytes, without a block on the disk
    complaint(lambda: GCC(tmp_path)[0], mask, "another size")


# --- CrowdHuman -------------------------------------------------------------------------------------------------------
PEOPLE = {
    "ID": "273271,1a0d6000b9e1f5b7",
    "gtboxes": [
        {
            "tag": "person",
            "vbox": [-5, 4, 20, 50],
            "fbox": [0, 0, 70, 50],
            "hbox": [4, 5, 6, 8],
            "extra": {"box_id": 0},
        },
        {"tag": "person", "vbox": [30, 4, 10, 10], "fbox": [30, 4, 10, 30], "extra": {"ignore": 0, "occ": 1}},
        {"tag": "person", "vbox": [50, 0, 5, 5], "fbox": [50, 0, 5, 9], "hbox": [51, 1, 2, 2], "extra": {"ignore": 1}},
        {"tag": "mask", "vbox": [40, 20, 100, 10], "fbox": [40, 20, 100, 10], "extra": None},
        {"tag": "person", "vbox": [61, 4, 5, 5], "fbox": [61, 4, 5, 9], "hbox": [62, 4, 2, 2]},  # all outside
    ],
}


def test_crowdhuman(tmp_path: Path) -> None:
    write_crowdhuman(tmp_path, [PEOPLE, {"ID": "nobody", "gtboxes": []}], split="val")
    data = open_dataset(f"crowdhuman:{tmp_path}", "test")  # tested on its validation part
    assert data.names == ["273271,1a0d6000b9e1f5b7", "nobody"]
    sample, nobody = data
    np.testing.assert_array_equal(sample.boxes, [[0, 4, 15, 40], [30, 4, 40, 14]])
    np.testing.assert_array_equal(sample.attributes["ignored"], [[50, 0, 55, 5], [40, 20, 60, 30]])
    np.testing.assert_array_equal(sample.points, [[7, 9]])
    assert sample.dropped == 1
    assert (
        nobody.boxes.shape == (0, 4) and nobody.points.shape == (0, 2) and nobody.attributes["ignored"].shape == (0, 4)
    )
    half = CrowdHuman(tmp_path, "val", size=(20, 30))[0]
    np.testing.assert_array_equal(half.boxes, sample.boxes / 2)
    np.testing.assert_array_equal(half.attributes["ignored"], sample.attributes["ignored"] / 2)


@pytest.mark.parametrize(
    "line",
    [
        '{"ID": "x", "gtboxes": [',
        '{"gtboxes": []}',
        "[1]",
        '{"ID": "x", "gtboxes": [{"tag": "person", "vbox": [1, 2]}]}',
        '{"ID": "x", "gtboxes": [{"tag": "person", "vbox": [1, 2, NaN, 3]}]}',
        '{"ID": "x", "gtboxes": [{"tag": "person"}]}',
        '{"ID": "x", "gtboxes": [{"tag": "Person", "vbox": [1, 2, 3, 4]}]}',
        '{"ID": "x", "gtboxes": [{"tag": "person", "vbox": [1, 2, 3, 4], "extra": {"ignore": "1"}}]}',
    ],
)
def test_crowdhuman_bad_line(tmp_path: Path, line: str) -> None:
    path = write_crowdhuman(tmp_path, [PEOPLE])
    path.write_text(path.read_text() + "\n" + line + "\n")
    complaint(lambda: CrowdHuman(tmp_path), path, "line 3")


BOX = '{{"ID": "x", "gtboxes": [{{"tag": "person", "vbox": [1, 2, 3, {}]}}]}}'


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        BOX.format("[" * 100_000),
        BOX.format("9" * 5000),
        BOX.format("1" + "0" * 400),
        BOX.format("1e400"),
        BOX.format("-Infinity"),
        BOX.format("true"),
        BOX.format('"4"'),
        '{"ID": "x", "gtboxes": [{"tag": "person", "vbox": "1234"}]}',
        '{"ID": "x", "gtboxes": [], "gtboxes": []}',
        '{"ID": "x", "ID": "y", "gtboxes": []}',
    ],
    ids=range(11),
)
def test_crowdhuman_line_that_python_cannot_read_or_half_reads(tmp_path: Path, line: str) -> None:
    path = write_crowdhuman(tmp_path, [PEOPLE])
    path.write_text(path.read_text() + line + "\n")
    complaint(lambda: CrowdHuman(tmp_path), path, "line 2")
    assert CrowdHuman(tmp_path, strict=False).names == [PEOPLE["ID"]]


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x7f", "é", "群"])
def test_crowdhuman_lines_end_where_they_end(tmp_path: Path, sign: str) -> None:
    path = write_crowdhuman(tmp_path, [{"ID": f"a{sign}b", "gtboxes": []}, {**PEOPLE, "note": f"a{sign}b"}])
    lines = [json.dumps(json.loads(line), ensure_ascii=False) for line in path.read_text().split("\n") if line]
    for begin, end in (("", "\n"), ("\ufeff", "\n"), ("", "\r\n")):
        path.write_bytes((begin + end.join(lines) + end).encode())
        assert CrowdHuman(tmp_path).names == [f"a{sign}b", PEOPLE["ID"]]
    path.write_text("\n".join([*lines, "\x0c"]), encoding="utf-8")  # a blank line, to Python
    assert len(CrowdHuman(tmp_path)) == 2
    path.write_text("\n".join([*lines, "{"]), encoding="utf-8")
    complaint(lambda: CrowdHuman(tmp_path), path, "line 3")  # as an editor counts them
    path.write_text("\n".join(lines), encoding="utf-16")
    complaint(lambda: CrowdHuman(tmp_path), path, "no text in UTF-8")


@pytest.mark.parametrize("ending", ["JPG", "Jpg", "jpeg", "JPEG"])
def test_crowdhuman_of_any_case(tmp_path: Path, ending: str) -> None:
    write_crowdhuman(tmp_path, [PEOPLE])
    (picture,) = (tmp_path / "Images").iterdir()
    other = picture.rename(picture.with_suffix(f".{ending}"))
    data = CrowdHuman(tmp_path)
    assert data.image_paths == [other] and data[0].count == 1 and not data.leftovers
    picture.write_bytes(b"another")
    complaint(lambda: CrowdHuman(tmp_path), "second file", str(PEOPLE["ID"]), "remove one of them")


@pytest.mark.parametrize("id_", ["../secret", "../Images/person", "/etc/hostname", "a\0b", "", "."])
def test_crowdhuman_reads_nothing_outside_its_folder(tmp_path: Path, id_: str) -> None:
    root = tmp_path / "set"
    write_crowdhuman(root, [PEOPLE])
    write_picture(root / "secret.jpg", (40, 60))  # what the first of the names leads to
    lines = [PEOPLE, {"ID": id_, "gtboxes": []}]
    (root / "annotation_train.odgt").write_text("\n".join(json.dumps(line) for line in lines))
    complaint(lambda: CrowdHuman(root), root / "annotation_train.odgt", "line 2", repr(id_))


def test_crowdhuman_failures(tmp_path: Path) -> None:
    complaint(lambda: CrowdHuman(tmp_path / "nowhere"), tmp_path / "nowhere", "odgt")
    complaint(lambda: CrowdHuman(tmp_path), tmp_path / "annotation_train.odgt")
    write_crowdhuman(tmp_path, [PEOPLE, {"ID": "gone", "gtboxes": []}])
    complaint(lambda: CrowdHuman(tmp_path, "test"), "train, val")
    (tmp_path / "Images" / "gone.jpg").unlink()
    complaint(lambda: CrowdHuman(tmp_path), tmp_path / "Images" / "gone.jpg", "1 of 2")
    write_crowdhuman(tmp_path, [PEOPLE, PEOPLE])
    complaint(lambda: CrowdHuman(tmp_path), "twice", str(PEOPLE["ID"]))


# --- any folder, any picture ------------------------------------------------------------------------------------------
def test_image_folder(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "a.webp", "c.bmp", "d.jpeg"):
        write_picture(tmp_path / name, (20, 30))
    (tmp_path / "notes.txt").write_text("no picture")
    data = open_dataset(f"images:{tmp_path}", "test")
    assert data.names == ["a.PNG", "a.webp", "b.jpg", "c.bmp", "d.jpeg"]
    assert all(sample.size == (20, 30) and sample.count == 0 for sample in data)
    (tmp_path / "empty").mkdir()
    complaint(lambda: ImageFolder(tmp_path / "empty"), tmp_path / "empty", "empty is empty")
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    complaint(lambda: ImageFolder(tmp_path / "empty"), "no photograph (.jpg", "empty holds 1 others (notes.txt)")
    complaint(lambda: ImageFolder(tmp_path / "nowhere"), tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["L.jpg", "CMYK.jpg", "P.png", "RGBA.png", "LA.png", "1.png"])
def test_every_mode_becomes_rgb(tmp_path: Path, kind: str) -> None:
    gradient = np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2)
    path = tmp_path / kind
    Image.fromarray(gradient).convert(path.stem).save(path)
    image = read_image(path)
    assert image.shape == (16, 64, 3) and image.dtype == np.uint8 and image.flags.writeable
    assert image[:, :8].mean() < 60 and image[:, -8:].mean() > 195  # neither inverted nor black
    assert image_size(path) == (16, 64)


def test_sixteen_bits_are_not_clipped_to_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == 128).all()


@pytest.mark.parametrize(("ending", "cut"), [("jpg", 0.6), ("png", 0.5), ("jpg", 0.01), ("bmp", 0.5)])
def test_damaged_pictures(tmp_path: Path, ending: str, cut: float) -> None:
    path = tmp_path / f"x.{ending}"
    write_picture(path, (64, 80))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    complaint(lambda: read_image(path), path, "fetch the file again")
    complaint(lambda: read_image_at(path, (8, 10)), path)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    complaint(lambda: read_image(tmp_path), tmp_path, "is a folder; name the photographs")


def test_orientation_only_where_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a telephone held upright
    write_picture(tmp_path / "IMG_1.jpg", (80, 160), exif=exif)
    path = tmp_path / "IMG_1.jpg"
    assert read_image(path).shape == (80, 160, 3) and image_size(path) == (80, 160)
    assert read_image(path, upright=True).shape == (160, 80, 3) and image_size(path, upright=True) == (160, 80)
    small, original = read_image_at(path, (40, 20), upright=True)
    assert small.shape == (40, 20, 3) and original == (160, 80)
    mat = write_shanghaitech(tmp_path, 1, XY)
    (tmp_path / "train_data" / "images" / "IMG_1.jpg").write_bytes(path.read_bytes())
    assert mat.exists() and ShanghaiTech(tmp_path)[0].size == (80, 160)  # its points are in stored pixels
    assert ImageFolder(tmp_path)[0].size == (160, 80)
    assert ImageFolder(tmp_path, max_side=80)[0].size == (80, 40)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(("height", "width"), [(200, 1001), (300, 1025), (1000, 1203)])
def test_a_picture_that_is_decoded_small_lies_where_its_labels_do(
    tmp_path: Path, height: int, width: int, orientation: int
) -> None:
    """A JPEG at an eighth has a last column that is partly padding: taken for a whole one, it shifts all others."""
    picture, exif = np.zeros((height, width, 3), np.uint8), Image.Exif()
    picture[:, width - 48 : width - 32] = 255  # its middle is 40 pixels from the right
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "x.jpg", quality=98, exif=exif)
    image, original = read_image_at(tmp_path / "x.jpg", (25, 125), upright=False)
    assert image.shape == (25, 125, 3) and original == (height, width)
    light = image[..., 0].sum(axis=0, dtype=float)
    middle = (light * (np.arange(125) + 0.5)).sum() / light.sum()
    assert abs(middle - (width - 40) * 125 / width) < 0.1
    upright, _ = read_image_at(tmp_path / "x.jpg", (125, 25) if orientation == 6 else (25, 125), upright=True)
    turned = {1: image, 3: image[::-1, ::-1], 6: np.rot90(image, -1)}[orientation]
    assert np.abs(upright.astype(int) - turned).mean() < 3


# --- what all data sets share -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{"size": (18, 32)}, {"max_side": 32}])
def test_resized_on_request(tmp_path: Path, options: dict[str, Any]) -> None:
    gcc_world(tmp_path)
    full, small = GCC(tmp_path)[0], GCC(tmp_path, **options)[0]
    assert small.size == (18, 32) and small.dropped == full.dropped and small.mask is not None and full.mask is not None
    np.testing.assert_allclose(small.points, full.points / 2)
    np.testing.assert_array_equal(small.mask, full.mask[::2, ::2])
    difference = small.image.astype(float) - full.image.reshape(18, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(difference).mean() < 25  # the same picture, whichever way it was reduced
    np.testing.assert_array_equal(GCC(tmp_path, **options).read_image(0), small.image)
    assert GCC(tmp_path, max_side=1000)[0].size == (36, 64)  # never enlarged
    complaint(lambda: GCC(tmp_path, size=(8, 8), max_side=8), "not both")
    complaint(lambda: GCC(tmp_path, max_side=0), "at least 1")


def test_subset_cache_and_indices(tmp_path: Path) -> None:
    for number in range(1, 6):
        write_shanghaitech(tmp_path, number, XY)
    data = ShanghaiTech(tmp_path, cache=True)
    part = data.subset([3, 0])
    assert part.names == ["IMG_4", "IMG_1"] and isinstance(part, ShanghaiTech) and len(data) == 5
    assert part[0] is part[0] is data[3] and data[-1].name == "IMG_5"
    for path in data.image_paths:
        path.unlink()
    assert part[0].count == 2  # from memory
    for index in (5, -6):
        with pytest.raises(IndexError):
            data[index]
    with pytest.raises(TypeError):
        data[0:2]  # type: ignore[index]
    assert len(data.subset([])) == 0


def test_read_image_needs_no_labels(tmp_path: Path) -> None:
    mat = write_shanghaitech(tmp_path, 1, XY)
    data = ShanghaiTech(tmp_path)
    mat.write_bytes(b"")
    assert data.read_image(0).shape == (37, 53, 3)


def wrong_names(images: Path, names: str, number: int = 5) -> None:
    for index in range(number):
        write_picture(images / names.format(index), (20, 30))


@pytest.mark.parametrize(
    ("spec", "folder", "called"),
    [
        ("shanghaitech", "train_data/images", "IMG_n.jpg, with GT_IMG_n.mat in ground_truth"),
        ("shanghaitech-b", "part_B/train_data/images", "IMG_n.jpg, with GT_IMG_n.mat in ground_truth"),
        ("ucf-qnrf", "Train", "img_0001.jpg, with img_0001_ann.mat beside it"),
        ("gcc", "scene_01_0/pngs", "scene_XX_Y/jpgs/<id>.jpg or scene_XX_Y/pngs/<id>.png"),
    ],
)
def test_images_of_other_names_are_shown_the_pattern(tmp_path: Path, spec: str, folder: str, called: str) -> None:
    images = tmp_path / folder
    wrong_names(images, "frame_{}.webp")
    (images.parent / "ground_truth").mkdir()
    holds = f"{images.name} holds 5 others (frame_0.webp, frame_1.webp, frame_2.webp, ...)"
    complaint(lambda: open_dataset(f"{spec}:{tmp_path}"), images, "no images found", called, holds, "`make_dataset`")
    for path in images.iterdir():
        path.unlink()
    complaint(lambda: open_dataset(f"{spec}:{tmp_path}"), images, called, f"{images.name} is empty")


def test_annotations_of_other_names_are_shown_the_pattern(tmp_path: Path) -> None:
    for number in (1, 2):
        mat = write_shanghaitech(tmp_path / "sha", number, XY)
        mat.rename(mat.with_name(f"IMG_{number}.mat"))
        mat = write_qnrf(tmp_path / "qnrf", number, XY)
        mat.rename(mat.with_name(f"img_{number:04d}.mat"))
    says = ("2 of 2 annotations are; ground_truth holds 2 others (IMG_1.mat, IMG_2.mat)",)
    complaint(lambda: ShanghaiTech(tmp_path / "sha"), "GT_IMG_1.mat is missing", *says)
    complaint(lambda: open_dataset(f"ucf-qnrf:{tmp_path / 'qnrf'}"), "img_0001_ann.mat is missing", "img_0001.mat")
    path = write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": []}])
    (tmp_path / "Images/a.jpg").rename(tmp_path / "Images/a.png")
    complaint(lambda: CrowdHuman(tmp_path), "a.jpg is missing (1 of 1 images are; Images holds 1 others (a.png))")
    path.write_text("\n\n")
    complaint(lambda: CrowdHuman(tmp_path), path, "lists no images")


@pytest.mark.parametrize(
    ("file", "second"),
    [
        ("sha/train_data/images/IMG_1.jpg", "IMG_1.JPG"),
        ("sha/train_data/images/IMG_1.jpg", "IMG_1.jpeg"),
        ("sha/train_data/ground_truth/GT_IMG_1.mat", "GT_IMG_1.MAT"),
        ("sha/train_data/ground_truth/GT_IMG_1.mat", "gt_IMG_1.mat"),
        ("sha/train_data/ground_truth/GT_IMG_1.mat", "../ground-truth/GT_IMG_1.mat"),
        ("qnrf/Train/img_0001.jpg", "img_0001.JPG"),
        ("qnrf/Train/img_0001_ann.mat", "img_0001_ANN.mat"),
    ],
)
def test_two_files_of_one_name(tmp_path: Path, file: str, second: str) -> None:
    write_shanghaitech(tmp_path / "sha", 1, XY)
    write_qnrf(tmp_path / "qnrf", 1, XY)
    copy = (tmp_path / file).parent / second
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes((tmp_path / file).read_bytes())
    spec = "shanghaitech:{}/sha" if file.startswith("sha") else "ucf-qnrf:{}/qnrf"
    complaint(lambda: open_dataset(spec.format(tmp_path)), "second file", "remove one of them", Path(second).name)


# --- open_dataset -----------------------------------------------------------------------------------------------------
def test_open_dataset_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_shanghaitech(tmp_path / "sets" / "part_A_final", 1, XY)
    assert len(open_dataset("shanghaitech-a:~/sets")) == 1
    assert len(open_dataset("shanghaitech:~/sets/part_A_final", max_side=20)) == 1
    complaint(lambda: open_dataset("shanghai:~/sets"), "'shanghai'", *DATASET_NAMES)
    complaint(lambda: open_dataset("gcc"), "gcc:FOLDER")
    complaint(lambda: open_dataset("gcc:"), "gcc:FOLDER")
    complaint(lambda: open_dataset("gcc:~/nowhere"), tmp_path / "nowhere")
    complaint(lambda: open_dataset("gcc:~data.of.no.user/GCC"), "no home is known for ~data.of.no.user; write ~/")
    complaint(lambda: open_dataset("shanghaitech:~/sets"), "holds part_A_final; call it shanghaitech-a")


@pytest.mark.parametrize("folder", ["part_B", "PART_B_Final", "partB", "ShanghaiTech_B", "shanghaitech-b"])
def test_the_other_parts_own_folder_is_never_taken(tmp_path: Path, folder: str) -> None:
    write_shanghaitech(tmp_path / folder, 1, XY)
    assert len(ShanghaiTech(tmp_path / folder, "B")) == 1
    complaint(lambda: ShanghaiTech(tmp_path / folder, "A"), "is not a folder")


def test_open_dataset_mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    world = tmp_path / "cache" / "sdcda_tutorial" / "mini"
    complaint(lambda: open_dataset("mini-source"), world / "source", "`ensure_mini_world`")
    gcc_world(world / "source")
    write_shanghaitech(world / "target" / "part_B", 1, XY, split="test")
    write_crowdhuman(world / "third", [PEOPLE], split="val")
    names = ("mini-source", "mini-target", "mini-third")
    for root in ("", f":{world}"):
        assert [type(open_dataset(name + root, "test")) for name in names] == [GCC, ShanghaiTech, CrowdHuman]


def test_loaders_do_not_import_torch() -> None:
    code = "import sys; from sdcda_tutorial.datasets import check, transforms; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- real files -------------------------------------------------------------------------------------------------------
REAL = os.environ.get("SDCDA_REAL_DATA")
needs_real_files = pytest.mark.skipif(not REAL, reason="set SDCDA_REAL_DATA to a folder with the real files")


@pytest.mark.slow
@needs_real_files
@pytest.mark.parametrize(
    ("spec", "split", "images", "heads", "outside"),
    [
        ("shanghaitech:{}/unity_crowd", "train", 232, 97_399, 11),
        ("shanghaitech-b:{}/shanghaitech_sample", "train", 120, 14_641, 0),
        ("shanghaitech-b:{}/shanghaitech_sample", "test", 80, 10_495, 0),
    ],
)
def test_real_files(spec: str, split: str, images: int, heads: int, outside: int) -> None:
    data = open_dataset(spec.format(REAL), split)
    assert len(data) == images

    def check(sample: Sample) -> tuple[int, int]:
        assert (
            sample.image.shape == (*sample.size, 3)
            and sample.attributes["stated_count"] == sample.count + sample.dropped
        )
        assert ((sample.points >= 0) & (sample.points < sample.size[::-1])).all()
        return sample.count, sample.dropped

    counts = np.array([check(sample) for sample in data])
    assert counts.sum() == heads and counts[:, 1].sum() == outside
    small = open_dataset(spec.format(REAL), split, max_side=256)
    assert [sample.count for sample in small] == counts[:, 0].tolist()


def test_only_a_small_data_set_is_cached(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{number}.png")
    assert ImageFolder(tmp_path).cache_if_small(limit=3 * 40 * 30 * 4).cached
    assert not ImageFolder(tmp_path).cache_if_small(limit=3 * 40 * 30 * 4 - 1).cached
    assert ImageFolder(tmp_path, size=(15, 20)).cache_if_small(limit=3 * 20 * 15 * 4).cached
    Image.new("RGB", (2, 1)).save(tmp_path / "0.png")  # the first says nothing of the others
    assert ImageFolder(tmp_path).cache_if_small(limit=(2 * 40 * 30 + 2) * 4).cached
    assert not ImageFolder(tmp_path).cache_if_small(limit=(2 * 40 * 30 + 2) * 4 - 1).cached


def test_both_parts_lie_in_one_folder_and_a_split_has_a_name(tmp_path: Path) -> None:
    write_shanghaitech(tmp_path / "part_A", 1, XY)
    write_shanghaitech(tmp_path / "part_A_final", 2, XY, split="test")
    write_shanghaitech(tmp_path, 3, XY, split="test")  # another set
    complaint(lambda: ShanghaiTech(tmp_path, "A", "test"), tmp_path / "part_A/test_data", "only train_data is there")
    assert ShanghaiTech(tmp_path, "B", "test").names == ["IMG_3"]
    for spec in (f"shanghaitech-a:{tmp_path}", f"crowdhuman:{tmp_path}", f"ucf-qnrf:{tmp_path}", f"gcc:{tmp_path}"):
        complaint(lambda spec=spec: open_dataset(spec, ""), "has no split ''")
    assert open_dataset(f"shanghaitech-a:{tmp_path}", None).names == ["IMG_1"]


def test_an_orientation_in_xmp_is_one(tmp_path: Path) -> None:
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture, info = Image.new("RGB", (60, 40)), PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    picture.save(tmp_path / "a.png", pnginfo=info)
    picture.save(tmp_path / "a.jpg", xmp=xmp.encode())
    for path in (tmp_path / "a.png", tmp_path / "a.jpg"):
        assert read_image(path, upright=True).shape == (60, 40, 3) and stored_size(path) == ((40, 60), 6)


def test_what_several_share_nobody_changes(tmp_path: Path) -> None:
    Image.fromarray(np.full((30, 40, 3), 9, np.uint8)).save(tmp_path / "a.png")
    shared, own = ImageFolder(tmp_path, cache=True), ImageFolder(tmp_path)
    for target in (shared, PseudoMasked(shared, None)):
        with pytest.raises(ValueError, match="read-only"):
            target[0].image[:] = 0
        assert target[0].image.min() == 9
    own[0].image[:] = 0  # this one is the caller's
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as torch's, of an array that it may not write to
        assert float(image_batch(shared[0].image[None]).mean()) == pytest.approx(9 / 255)


def test_a_cached_part_says_nothing_of_what_its_set_reads(tmp_path: Path) -> None:
    for number in (1, 2):
        write_shanghaitech(tmp_path, number, XY)
    data = ShanghaiTech(tmp_path)
    part = data.subset([0]).cache_if_small()
    assert part.cached and part[0].count == 2 and not data.cached
    before = part.describe(), data.describe()
    write_shanghaitech(tmp_path, 1, XY[:1])  # mended
    assert data[0].count == 1 and data.describe() == ShanghaiTech(tmp_path).describe() != before[1]
    assert part[0].count == 2 and part.describe() == before[0]


def test_gcc_lists_and_scenes_of_any_case(tmp_path: Path) -> None:
    """As from a disk that knows capitals only: without its lists, the test images would be learnt from."""
    gcc_world(tmp_path)
    by_list = {split: GCC(tmp_path, split).names for split in ("train", "test")}
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).rename(tmp_path / name.upper())
    assert {split: GCC(tmp_path, split).names for split in ("train", "test")} == by_list
    for name in ("TRAIN.TXT", "TEST.TXT"):
        (tmp_path / name).unlink()
    everything = len(GCC(tmp_path))
    scene = sorted(tmp_path.glob("scene_*"))[0]
    scene.rename(tmp_path / scene.name.title())
    assert len(GCC(tmp_path)) == everything


def test_a_set_of_ones_own_inside_a_mini_world_is_no_mini_world(mini_world: Path, tmp_path: Path) -> None:
    world = Path(shutil.copytree(mini_world, tmp_path / "mini"))
    shutil.copytree(world / "target", world / "own")
    assert open_dataset(f"mini-target:{world}").describe()[WORLD] == "mini world"
    assert WORLD not in open_dataset(f"shanghaitech-b:{world / 'own'}").describe()


@pytest.mark.parametrize(
    "wrong", [{"size": 64}, {"size": (3,)}, {"max_side": "40"}, {"size": (3.5, 4)}, {"max_side": 0}, {"size": (0, 4)}]
)
def test_impossible_sizes_are_one_line(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_shanghaitech(tmp_path, 1, XY)
    complaint(lambda: ShanghaiTech(tmp_path, **wrong), "size", "max_side", "pixels")


def test_sizes_may_be_numpys(tmp_path: Path) -> None:
    write_shanghaitech(tmp_path, 1, XY)
    assert json.dumps(ShanghaiTech(tmp_path, max_side=np.int32(32)).describe())  # type: ignore[arg-type]
    assert ShanghaiTech(tmp_path, size=np.array([8, 9])).describe()["size"] == [8, 9]  # type: ignore[arg-type]


def test_the_index_of_gcc_keeps_nothing_of_a_file_that_changed_while_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mat = write_gcc(tmp_path, "scene_00_0", "1500000000", np.array([[5, 6], [7, 8]]), hour=18)
    read = gcc_index.load_image_info

    def changing(path: Path) -> Any:
        found = read(path)
        write_gcc(tmp_path, "scene_00_0", "1500000000", np.array([[5, 6]]), hour=3)
        return found

    monkeypatch.setattr(gcc_index, "load_image_info", changing)
    assert GCC(tmp_path).scene_records()[0].hour == 18  # as it was when it was read
    monkeypatch.setattr(gcc_index, "load_image_info", read)
    assert mat.exists() and (GCC(tmp_path).scene_records()[0].hour, GCC(tmp_path)[0].count) == (3, 1)
