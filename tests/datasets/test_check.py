"""`sdcda data check`: every kind of damage is found, with its file, in one pass; a part of a set is no damage."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native_files import complaint, write_crowdhuman, write_gcc, write_picture, write_qnrf, write_shanghaitech
from PIL import Image

from sdcda_tutorial import cli
from sdcda_tutorial.datasets import GCC, open_dataset
from sdcda_tutorial.datasets import check as check_module
from sdcda_tutorial.datasets.check import Report, check

SIZE = (36, 64)
XY = np.array([[3.5, 30.25], [50.0, 2.0], [20.0, 20.0], [33.0, 11.0]])
ROW_COLUMN = np.array([[3, 55], [20, 41], [35, 63], [0, 0]])


def look(name: str, root: Path) -> Report:
    return check(name, root, full=True, progress=False)


def told(report: Report) -> dict[str, str]:
    """File name -> what is said about it, faults and notes alike; every message begins with its path."""
    everything = [*report.faults, *report.notes]
    assert all(one.message.startswith(one.path) and "\n" not in one.message for one in everything)
    return {Path(one.path).name: one.message for one in everything}


def gcc(root: Path) -> Path:
    for scene, id_ in [("scene_00_0", "1500000000"), ("scene_00_0", "1500000001"), ("scene_00_1", "1500000002")]:
        write_gcc(root, scene, id_, ROW_COLUMN, size=SIZE, mask=np.ones(SIZE))
    return root


def shanghaitech(root: Path) -> Path:
    for split in ("train", "test"):
        for number in (1, 2, 3):
            write_shanghaitech(root / "part_B", number, XY, size=SIZE, split=split)
    return root


def truncate(path: Path, keep: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


# --- sound sets -------------------------------------------------------------------------------------------------------
def test_a_part_of_a_set_is_sound_and_incomplete(tmp_path: Path) -> None:
    report = look("shanghaitech-b", shanghaitech(tmp_path))
    assert report.ok and not report.complete and report.notes == [] and report.opened == 6
    assert [(one.what, one.found, one.published) for one in report.tallies] == [
        ("train images", 3, 400),
        ("test images", 3, 316),
        ("heads in 6 images opened", 24, None),
    ]
    assert [one.verdict for one in report.tallies] == ["incomplete: 397 missing", "incomplete: 313 missing", ""]
    assert "sound, but incomplete" in report.table()


def test_a_complete_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check_module.PUBLISHED, "shanghaitech-b", {"train": 3, "test": 2})
    report = look("shanghaitech-b", shanghaitech(tmp_path))
    assert report.ok and report.complete
    assert [one.verdict for one in report.tallies] == ["complete", "1 more than published", ""]
    assert "sound, complete" in report.table()


def test_published_numbers() -> None:
    published = check_module.PUBLISHED
    assert published["gcc"] == {None: 15212} and (check_module.GCC_PEOPLE, check_module.GCC_FOLDERS) == (7625843, 400)
    assert published["shanghaitech-a"] == {"train": 300, "test": 182}
    assert published["shanghaitech-b"] == {"train": 400, "test": 316}
    assert published["ucf-qnrf"] == {"train": 1201, "test": 334}
    assert published["crowdhuman"] == {"train": 15000, "val": 4370}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("gcc", lambda root: gcc(root)),
        ("shanghaitech-b", lambda root: shanghaitech(root)),
        ("shanghaitech", lambda root: write_shanghaitech(root, 1, XY, size=SIZE)),
        ("shanghaitech-a", lambda root: write_shanghaitech(root / "part_A_final", 1, XY, size=SIZE, mode="L")),
        ("ucf-qnrf", lambda root: write_qnrf(root, 1, XY, size=SIZE)),
        ("crowdhuman", lambda root: write_crowdhuman(root, [{"ID": "x", "gtboxes": []}])),
        ("images", lambda root: write_picture(root / "x.png", SIZE)),
    ],
)
def test_every_format(tmp_path: Path, name: str, write: Callable[[Path], object]) -> None:
    write(tmp_path)
    report = look(name, tmp_path)
    assert report.ok and report.opened >= 1
    spec = check(f"{name}:{tmp_path}", full=True, progress=False)
    assert (spec.tallies, spec.faults, spec.notes) == (report.tallies, report.faults, report.notes)


@pytest.mark.parametrize("name", ["mini-source", "mini-target", "mini-third"])
def test_mini_world(mini_world: Path, name: str) -> None:
    report = look(name, mini_world)
    assert (
        report.ok and report.complete and report.opened == {"mini-source": 10, "mini-target": 8, "mini-third": 6}[name]
    )


# --- faults, each made by hand ----------------------------------------------------------------------------------------
def test_all_kinds_of_damage_at_once(tmp_path: Path) -> None:
    """One set with one fault of each kind: each is found, in one pass, and nothing else is called a fault."""
    train = shanghaitech(tmp_path) / "part_B" / "train_data"
    for number in range(4, 12):
        write_shanghaitech(tmp_path / "part_B", number, XY, size=SIZE)
    (train / "ground_truth" / "GT_IMG_1.mat").unlink()  # a missing annotation
    truncate(train / "images" / "IMG_2.jpg")
    write_shanghaitech(tmp_path / "part_B", 3, XY, size=SIZE, stated=5)  # a wrong count field
    (train / "images" / "IMG_4.jpg").unlink()  # an annotation without an image
    Image.fromarray(np.full((*SIZE, 3), 3, np.uint8)).save(train / "images" / "IMG_5.jpg")  # black
    write_shanghaitech(tmp_path / "part_B", 7, np.vstack([XY[:3], [[70, 20]]]), size=SIZE)  # one point outside
    write_shanghaitech(tmp_path / "part_B", 8, XY * 3, size=SIZE)  # of an image three times as large
    write_shanghaitech(tmp_path / "part_B", 9, np.array([[3, 55], [20, 41], [35, 63]]), size=SIZE)  # (row, column)
    truncate(train / "ground_truth" / "GT_IMG_10.mat")
    write_picture(train / "images" / "IMG_12.png", SIZE)  # a stray
    (train / "images" / "Thumbs.db").write_bytes(b"")

    report = look("shanghaitech-b", tmp_path)
    faults = {Path(one.path).name: one.message for one in report.faults}
    for name, says in {
        "GT_IMG_1.mat": "is missing (1 of 10 annotations are)",
        "IMG_2.jpg": "truncated",
        "GT_IMG_3.mat": "states 5 people and holds 4 points",
        "GT_IMG_4.mat": "has no image",
        "IMG_5.jpg": "is black",
        "GT_IMG_8.mat": "4 of 4 points outside its 36×64 image; is it the annotation of another image",
        "GT_IMG_9.mat": "3 of 3 points outside its 36×64 image and none when x and y (column and row) are swapped",
        "GT_IMG_10.mat": "not a readable .mat",
    }.items():
        assert says in faults.pop(name)
    assert faults == {}
    notes = {Path(one.path).name: one.message for one in report.notes}
    assert notes.keys() == {"GT_IMG_7.mat", "IMG_12.png", "Thumbs.db"}
    assert "has 1 of 4 points outside its 36×64 image; they are not counted" in notes["GT_IMG_7.mat"]
    assert "is not read" in notes["IMG_12.png"]
    assert not report.ok and "faults: 8 " in report.table()
    for one in [*report.faults, *report.notes]:
        assert any(one.path in line for line in report.table().splitlines())


def test_gcc(tmp_path: Path) -> None:
    scene = gcc(tmp_path) / "scene_00_0"
    for number in range(3, 9):
        write_gcc(tmp_path, "scene_00_0", f"150000000{number}", ROW_COLUMN, size=SIZE, mask=np.ones(SIZE))
    (scene / "segs" / "1500000000.raw").write_bytes(bytes(36 * 63))  # a mask of another size
    (scene / "segs" / "1500000001.raw").unlink()
    write_gcc(tmp_path, "scene_00_0", "1500000003", ROW_COLUMN[:, ::-1], size=SIZE)  # (column, row)
    (scene / "mats" / "1500000004.mat").unlink()
    (scene / "jpgs" / "1500000005.jpg").unlink()  # leaves a .mat and a mask without an image
    write_gcc(tmp_path, "scene_00_0", "1500000006", ROW_COLUMN, size=SIZE, stated=0)
    write_gcc(tmp_path, "scene_00_0", "1500000007", np.zeros((0, 0)), size=SIZE)  # an empty scene is no fault
    write_gcc(tmp_path, "scene_49_1", "1532170935", np.zeros((0, 0)), size=SIZE)  # the loading screen is none either
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "scene_49_1" / "jpgs" / "1532170935.jpg")
    (tmp_path / "train.txt").write_text(
        "2 18 6 /performed_bak_lite/scene_00_0 1500000000 4\n2 18 6 scene_00_0 1500000004 4\n"
        "2 18 6 scene_00_0 1500000005 4\nscene_00_0 1500000006\n2 18 6 scene_77_0 1500000099 4\n"
    )
    report = look("gcc", tmp_path)
    faults = [(str(Path(one.path).relative_to(tmp_path)), one.message) for one in report.faults]
    expected = [
        ("train.txt, line 4", "expected `level hour weather folder id count`"),
        ("scene_00_0/mats/1500000004.mat", "is missing"),
        ("scene_00_0/segs/1500000001.raw", "is missing"),
        ("scene_00_0/mats/1500000005.mat", "has no image"),
        ("scene_00_0/segs/1500000005.raw", "has no image"),
        ("scene_00_0/segs/1500000000.raw", "another size"),
        ("scene_00_0/mats/1500000003.mat", "none when x and y (column and row) are swapped"),
        ("scene_00_0/mats/1500000006.mat", "states 0 people and holds 4 points"),
        ("scene_00_0/jpgs/1500000005.jpg", "is missing"),
        ("scene_77_0/jpgs/1500000099.jpg", "is missing"),
        ("scene_77_0/mats/1500000099.mat", "is missing"),
        ("scene_77_0/segs/1500000099.raw", "is missing"),
    ]
    assert [path for path, _ in faults] == [path for path, _ in expected]
    assert all(says in message for (_, message), (_, says) in zip(faults, expected, strict=True))
    assert [Path(one.path).name for one in report.notes] == ["1532170935.jpg"]
    numbers = {one.what: (one.found, one.published) for one in report.tallies}
    assert numbers["images"] == (7, 15212)  # six that can be read and the loading screen, which was published too
    assert numbers["camera folders"] == (2, 400)
    assert numbers["train images"] == (1, None)
    assert numbers["heads in 6 images opened"] == (16, 7625843)  # the broken mask's image tells no heads


def test_ucf_qnrf(tmp_path: Path) -> None:
    mats = [write_qnrf(tmp_path, number, XY, split="Test", size=SIZE) for number in range(1, 5)]
    mats[0].unlink()
    (tmp_path / "Test" / "img_0002.jpg").unlink()
    write_qnrf(tmp_path, 3, np.array([[3, 55], [20, 41], [35, 63]]), split="Test", size=SIZE)
    report = look("ucf-qnrf", tmp_path)
    messages = told(report)
    assert "is missing" in messages["img_0001_ann.mat"] and "has no image" in messages["img_0002_ann.mat"]
    assert "swapped" in messages["img_0003_ann.mat"]
    assert len(report.faults) == 3 and [one.message for one in report.notes] == [f"{tmp_path} has no part 'train'"]
    assert [one.found for one in report.tallies] == [0, 2, 7]


def test_crowdhuman(tmp_path: Path) -> None:
    person = {"tag": "person", "vbox": [1, 2, 9, 9], "fbox": [1, 2, 9, 9], "hbox": [300, 2, 4, 4]}
    lines = [{"ID": id_, "gtboxes": [person]} for id_ in ("a", "b", "c", "d", "c")]
    path = write_crowdhuman(tmp_path, lines)
    path.write_text(path.read_text() + "{\n" + '{"ID": "x", "gtboxes": [{"tag": "person"}]}\n')
    (tmp_path / "Images" / "a.jpg").unlink()
    truncate(tmp_path / "Images" / "b.jpg")
    write_picture(tmp_path / "Images" / "d.png", (20, 20))  # a stray, told once though both parts see it
    write_crowdhuman(tmp_path, [{"ID": "e", "gtboxes": []}], split="val")
    report = look("crowdhuman", tmp_path)
    faults = [(Path(one.path).name, one.message) for one in report.faults]
    expected = {
        "annotation_train.odgt, line 6": "not JSON",
        "annotation_train.odgt, line 7": "vbox",
        "a.jpg": "is missing",
        "c": "more than once",
        "b.jpg": "truncated",
    }
    assert [name for name, _ in faults] == list(expected)
    assert all(expected[name] in message for name, message in faults)
    assert told(report)["d.jpg"].endswith("has 1 of 1 points outside its 40×60 image; they are not counted")
    assert [Path(one.path).name for one in report.notes if "is not read" in one.message] == ["d.png"]


def test_a_part_that_cannot_be_listed_is_a_fault_and_the_other_is_looked_at(tmp_path: Path) -> None:
    shanghaitech(tmp_path)
    test_data = tmp_path / "part_B" / "test_data"
    shutil.rmtree(test_data / "ground_truth")
    report = look("shanghaitech-b", tmp_path)
    assert [one.message.partition(";")[0] for one in report.faults] == [
        f"{test_data} has no folder images or no ground_truth"
    ]
    assert report.opened == 3
    shutil.rmtree(test_data)
    report = look("shanghaitech-b", tmp_path)
    assert report.ok and [one.message for one in report.notes] == [f"{tmp_path} has no part 'test'"]


def test_all_annotations_missing(tmp_path: Path) -> None:
    shanghaitech(tmp_path)
    for mat in (tmp_path / "part_B" / "train_data" / "ground_truth").iterdir():
        mat.unlink()
    report = look("shanghaitech-b", tmp_path)
    assert len(report.faults) == 3 and report.tallies[0].found == 0 and report.opened == 3


def test_points_on_the_border_are_not_swapped(tmp_path: Path) -> None:
    """(row, column) = (36, 5) is one pixel too low, and inside if swapped: bad rounding, not a wrong order."""
    write_gcc(tmp_path, "scene_00_0", "1500000000", np.array([[36, 5]]), size=SIZE)
    report = look("gcc", tmp_path)
    told = [note.message for note in report.notes]
    assert report.ok and "has no segs: rectangles around the heads" in told[0] and "1 of 1 points outside" in told[1]
    write_gcc(tmp_path, "scene_00_0", "1500000000", np.array([[40, 5]]), size=SIZE)
    assert "swapped" in look("gcc", tmp_path).faults[0].message


def test_a_crowd_on_one_side_of_a_wide_image_shows_that_it_is_swapped(tmp_path: Path) -> None:
    """Two of twenty heads stand right of x = 36, the height: (y, x) leaves but those outside, and (x, y) none."""
    points = np.stack([np.linspace(2, 34, 20), np.linspace(1, 35, 20)], axis=1)
    points[[4, 9], 0] = 47.0, 60.0
    write_shanghaitech(tmp_path, 1, points, size=SIZE)
    write_shanghaitech(tmp_path, 2, points[:, ::-1], size=SIZE)
    report = look("shanghaitech", tmp_path)
    assert [Path(one.path).name for one in report.faults] == ["GT_IMG_2.mat"]
    assert "has 2 of 20 points outside its 36×64 image and none when x and y" in report.faults[0].message


# --- labels that mean something else than they seem -------------------------------------------------------------------
def turn(picture: Path, orientation: int) -> None:
    """The same pixels with a tag that says how a viewer shall turn them."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    with Image.open(picture) as image:
        image.copy().save(picture, exif=tags)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_points_of_a_viewer_that_turns_the_picture(tmp_path: Path, orientation: int) -> None:
    """To swap x and y, as it was told before, would mirror them."""
    write_shanghaitech(tmp_path, 1, np.array([[3, 55], [20, 41], [35, 63]]), size=SIZE)
    turn(tmp_path / "train_data/images/IMG_1.jpg", orientation)
    report = look("shanghaitech", tmp_path)
    (fault,) = report.faults
    assert "3 of 3 points outside its 36×64 image and none when the picture is turned" in fault.message
    assert f"EXIF orientation {orientation}" in fault.message and "exiftran" in fault.message
    assert "swapped" not in report.table()


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_turned_picture_of_the_same_size_is_noted(tmp_path: Path, orientation: int) -> None:
    """Nothing in the points shows whether they were made in a viewer."""
    shanghaitech(tmp_path)
    turn(tmp_path / "part_B/train_data/images/IMG_2.jpg", orientation)
    report = look("shanghaitech-b", tmp_path)
    (note,) = report.notes
    assert report.ok and f"(EXIF orientation {orientation})" in note.message and "IMG_2.jpg" in note.message


def test_heads_that_lie_mirrored_in_their_mask(tmp_path: Path) -> None:
    mask = np.zeros(SIZE)
    mask[3:12, 5:20] = 1
    heads = np.array([[4, 6], [5, 17], [10, 9], [11, 19]])  # (row, column)
    last = np.array(SIZE) - 1
    ways = {
        "left to right": (heads[:, 0], last[1] - heads[:, 1]),
        "upside down": (last[0] - heads[:, 0], heads[:, 1]),
        "turned by 180°": tuple((last - heads).T),
        "swapped": (heads[:, 1], heads[:, 0]),
    }
    write_gcc(tmp_path, "scene_00_0", "1500000000", heads, size=SIZE, mask=mask)
    for number, way in enumerate(ways.values(), start=1):
        write_gcc(tmp_path, "scene_00_0", f"150000000{number}", np.stack(way, axis=1), size=SIZE, mask=mask)
    faults = told(look("gcc", tmp_path))
    assert len(faults) == len(ways)
    for number, way in enumerate(ways, start=1):
        assert way in faults[f"150000000{number}.mat"]


def test_a_set_whose_points_are_there_twice_or_run_from_0_to_1_is_at_fault(tmp_path: Path) -> None:
    for split, points in (("train", np.repeat(XY, 2, axis=0)), ("test", XY / (64, 36))):
        for number in (1, 2, 3):
            write_shanghaitech(tmp_path / "part_B", number, points, size=SIZE, split=split)
    report = look("shanghaitech-b", tmp_path)
    twice, unit = report.faults
    assert "12 of 24 points repeat another" in twice.message and "in 3 of 3 images" in twice.message
    assert "are they coordinates from 0 to 1?" in unit.message and "in 3 of 3 images" in unit.message
    assert report.notes == [] and not report.ok


def test_boxes_with_x_and_y_swapped(tmp_path: Path) -> None:
    people = [{"tag": "person", "vbox": [2, 50, 9, 8], "hbox": [2, 50, 4, 4]}] * 2
    write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": people}])
    (fault,) = look("crowdhuman", tmp_path).faults
    assert "a.jpg has 2 of 2 boxes outside its 40×60 image and none when x and y" in fault.message


def test_a_table_stays_short_where_everything_is_wrong_in_the_same_way(tmp_path: Path) -> None:
    for number in range(check_module.ALIKE + 3):
        (tmp_path / f"{number}.heic").touch()
    write_picture(tmp_path / "a.jpg", SIZE)
    (tmp_path / "b.tif").touch()
    report = look("images", tmp_path)
    assert len(report.notes) == check_module.ALIKE + 4 and report.ok
    lines = report.table().splitlines()
    assert sum(".heic " in line for line in lines) == check_module.ALIKE + 1
    assert any("and 3 more files" in line and ".heic is none of .jpg" in line for line in lines)
    assert any(f"{tmp_path / 'b.tif'} " in line for line in lines)


# --- sample and whole -------------------------------------------------------------------------------------------------
def test_a_picture_in_two_parts_is_noted_whatever_its_name(tmp_path: Path) -> None:
    images = shanghaitech(tmp_path) / "part_B/{}_data/images/IMG_{}.jpg"
    for number in (1, 2, 3):  # pictures of their own
        write_picture(Path(str(images).format("test", number)), SIZE, seed=10 + number)
    assert look("shanghaitech-b", tmp_path).findings == []
    Path(str(images).format("test", 3)).write_bytes(Path(str(images).format("train", 1)).read_bytes())
    report = look("shanghaitech-b", tmp_path)
    assert report.ok and list(told(report)) == ["IMG_3.jpg"]
    assert re.search(r"is the picture .*train_data/images/IMG_1\.jpg of part 'train'", report.notes[0].message)


def test_a_sample_is_spread_over_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "SAMPLE", 3)
    for number in range(1, 10):
        write_shanghaitech(tmp_path, number, XY, size=SIZE)
    for number in (2, 5):
        truncate(tmp_path / "train_data" / "images" / f"IMG_{number}.jpg")
    sample = check("shanghaitech", tmp_path, progress=False)  # images 1, 5 and 9
    assert sample.opened == 3 and [Path(one.path).name for one in sample.faults] == ["IMG_5.jpg"]
    everything = look("shanghaitech", tmp_path)
    assert everything.opened == 9 and [Path(one.path).name for one in everything.faults] == ["IMG_2.jpg", "IMG_5.jpg"]


@pytest.mark.parametrize(("number", "sample"), [(1, 50), (49, 50), (50, 50), (51, 50), (15211, 50), (7, 3)])
def test_spread(number: int, sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "SAMPLE", sample)
    places = check_module._spread(number)
    assert len(places) == len(set(places)) == min(number, sample)
    assert places[0] == 0 and places[-1] == number - 1


# --- the loaders refuse, the check goes on ----------------------------------------------------------------------------
def test_strict_is_the_default(tmp_path: Path) -> None:
    shanghaitech(tmp_path)
    (tmp_path / "part_B" / "train_data" / "ground_truth" / "GT_IMG_2.mat").unlink()
    complaint(lambda: open_dataset(f"shanghaitech-b:{tmp_path}"), "GT_IMG_2.mat", "1 of 3")
    data = open_dataset(f"shanghaitech-b:{tmp_path}", strict=False)
    assert data.names == ["IMG_1", "IMG_3"] and [Path(one.path).name for one in data.faults] == ["GT_IMG_2.mat"]


# --- the command ------------------------------------------------------------------------------------------------------
def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["data", "check", *arguments])
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # a narrow terminal cuts no path
    root = shanghaitech(tmp_path / "a folder [with brackets] and a name that is long enough to be cut")
    code, out, err = run(capsys, "shanghaitech-b", str(root))
    assert out.splitlines()[0] == f"shanghaitech-b:{root}"  # can be copied, whatever the width
    assert code == 0 and "incomplete: 397 missing" in out and "image" in err  # the bar
    picture = root / "part_B" / "train_data" / "images" / "IMG_2.jpg"
    truncate(picture)
    code, out, _ = run(capsys, f"shanghaitech-b:{root}", "--full")
    assert code == 1
    (line,) = [line for line in out.splitlines() if "fault " in line and str(picture) in line]
    assert "truncated" in line and out.splitlines()[-1].startswith("faults: 1 ")

    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text("2 18 6 scene_00_0 1500000000 4\n")  # of a GCC whose scenes are elsewhere
    for arguments, says in [
        (["nosuch", str(root)], "unknown data set 'nosuch'"),
        (["gcc", str(tmp_path / "nowhere")], "is not a folder"),
        (["gcc"], "write gcc:FOLDER"),
        (["shanghaitech-a", str(root)], "part_A"),
        (["images", str(root)], "holds no photograph"),
        (["gcc", str(lists)], "no images found"),
        ([], "Missing argument"),
    ]:
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "") and says in err and err.startswith("sdcda: ") and err.count("\n") == 1


def test_the_whole_mini_world(mini_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "mini", str(mini_world))
    assert code == 0 and [out.count(name) for name in ("mini-source", "mini-target", "mini-third")] == [1, 1, 1]


# --- real files -------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.skipif("SDCDA_REAL_DATA" not in os.environ, reason="set SDCDA_REAL_DATA to a folder with the real files")
def test_real_files() -> None:
    root = Path(os.environ["SDCDA_REAL_DATA"])
    unity = look("shanghaitech", root / "unity_crowd")
    assert unity.ok and unity.opened == 232 and unity.tallies[-1].found == 97_399
    outside = [one for one in unity.notes if "points outside" in one.message]
    assert sum(int(one.message.split(" has ")[1].split()[0]) for one in outside) == 11
    sample = check("shanghaitech-b", root / "shanghaitech_sample", progress=False)
    assert sample.ok and not sample.complete and sample.opened == 100
    assert [one.found for one in sample.tallies[:2]] == [120, 80]


def test_a_link_to_nowhere_and_empty_files_end_no_check(tmp_path: Path) -> None:
    for number, split in ((1, "train"), (2, "train"), (1, "test"), (2, "test")):
        write_shanghaitech(tmp_path / "part_B", number, XY, split=split)
    images = [tmp_path / f"part_B/{split}_data/images" for split in ("train", "test")]
    for folder in images:
        (folder / "IMG_1.jpg").write_bytes(b"")
    (images[0] / "IMG_2.jpg").unlink()
    (images[0] / "IMG_2.jpg").symlink_to("/nowhere/x.jpg")
    report = check("shanghaitech-b", tmp_path, progress=False)
    assert not report.notes and {Path(fault.path).name for fault in report.faults} == {"IMG_1.jpg", "IMG_2.jpg"}
    assert any("IMG_2.jpg does not exist" in fault.message for fault in report.faults)


def test_the_lists_of_gcc_are_held_against_its_files_and_each_other(tmp_path: Path) -> None:
    gcc(tmp_path)
    names, people = GCC(tmp_path).names, len(ROW_COLUMN)
    lines = [f"1 18 6 {name.replace('/', ' ')} {people}\n" for name in names]
    (tmp_path / "train.txt").write_text("".join(lines[:-1]))
    (tmp_path / "test.txt").write_text(lines[-1])
    assert not check("gcc", tmp_path, progress=False).notes
    (tmp_path / "train.txt").write_text("".join([f"1 10 6 {names[0].replace('/', ' ')} 700\n", *lines[1:]]))
    report = check("gcc", tmp_path, progress=False)
    assert not report.faults and len(report.notes) == 3
    said = " ".join(note.message for note in report.notes)
    assert f"holds {people} points, and a list says 700 people of its image" in said
    assert "has hour 18, and a list 10; Scene Regularization goes by the list" in said
    assert f"test.txt lists 1 images that train.txt lists too, first {names[-1]}: what was" in said
