"""What labels seem to be and are not is told in one line for the whole set; sound sets, real ones too, are silent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from native_files import complaint, write_crowdhuman, write_gcc, write_picture, write_qnrf, write_shanghaitech
from PIL import Image

from sdcda_tutorial.datasets import CrowdDataset, open_dataset
from sdcda_tutorial.datasets import survey as surveys
from sdcda_tutorial.datasets.survey import Role, survey, survey_once

SIZE = (36, 64)
CROWD = np.random.default_rng(0).uniform((1, 1), (63, 35), (40, 2))  # (x, y) all over the image
SIDEWAYS = range(5, 9)  # EXIF orientations that swap the sides


def shanghaitech(root: Path, *labels: np.ndarray, stated: int | None = None) -> CrowdDataset:
    for number, points in enumerate(labels, start=1):
        write_shanghaitech(root, number, points, size=SIZE, stated=stated)
    return open_dataset(f"shanghaitech:{root}")


def turn(picture: Path, orientation: int) -> None:
    """The same pixels with a tag that says how a viewer shall turn them."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    with Image.open(picture) as image:
        image.copy().save(picture, exif=tags)


def one_line(data: CrowdDataset, *parts: object, role: Role = "test") -> str:
    (line,) = survey(data, role)
    assert line.startswith(f"{data.name}: ") and "\n" not in line
    for part in parts:
        assert str(part) in line, line
    return line


# --- silence ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["source", "boxes", "target", "test"])
def test_sound_sets_are_silent(mini_world: Path, tmp_path: Path, role: Role) -> None:
    names = ("mini-source", "mini-target", "mini-third")
    sets = [open_dataset(f"{name}:{mini_world}") for name in names]
    write_qnrf(tmp_path, 1, CROWD, size=SIZE)
    write_qnrf(tmp_path, 2, np.zeros((0, 2)), size=SIZE)  # a part of the images without people is normal
    for data in (*sets, open_dataset(f"ucf-qnrf:{tmp_path}"), shanghaitech(tmp_path / "s", CROWD, CROWD[:1])):
        assert survey(data, role) == []


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(1, 300))
def test_people_anywhere_in_the_image_are_nothing_strange(
    seed: int, number: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    points = np.random.default_rng(seed).uniform((0, 0), (63.9, 35.9), (max(number, 12), 2))
    assert survey(shanghaitech(tmp_path_factory.mktemp("any"), points)) == []


@pytest.mark.skipif("SDCDA_REAL_DATA" not in os.environ, reason="set SDCDA_REAL_DATA to a folder with the real files")
def test_real_sets() -> None:
    root = Path(os.environ["SDCDA_REAL_DATA"])
    for part in "ab":
        for split in ("train", "test"):
            assert survey(open_dataset(f"shanghaitech-{part}:{root / 'shanghaitech_sample'}", split)) == []
    one_line(
        open_dataset(f"shanghaitech:{root / 'unity_crowd'}"), "11 of 97399 points lie outside", "in 10 of 232 images"
    )


# --- points -----------------------------------------------------------------------------------------------------------
def test_points_outside_are_those_that_the_samples_drop(tmp_path: Path) -> None:
    far = CROWD + np.array([64, 0])
    data = shanghaitech(tmp_path, CROWD[:3], far[:30], np.concatenate([far, CROWD[:2]]), stated=None)
    dropped = sum(sample.dropped for sample in data)
    assert dropped == 70
    one_line(data, "70 of 75 points lie outside their images and are not counted, in 2 of 3 images", "GT_IMG_2.mat")


def test_the_remedy_for_points_outside_is_the_right_one(tmp_path: Path) -> None:
    one_line(shanghaitech(tmp_path / "a", CROWD[:, ::-1]), "; none when x and y (column and row) are swapped: fix")
    one_line(shanghaitech(tmp_path / "b", CROWD * 3), "; is it the annotation of another image, or of another size?")
    one_line(shanghaitech(tmp_path / "c", np.vstack([CROWD, (64.5, 3)])), "1 of 41 points", "`check` says more")
    data = shanghaitech(tmp_path / "d", CROWD[:, ::-1])
    turn(data.image_paths[0], 6)
    lines = survey(data)
    assert "turned as its EXIF orientation 6 says" in lines[0] and "exiftran -ai FILE" in lines[0]
    assert not any("fix their order" in line for line in lines)


def test_every_point_twice(tmp_path: Path) -> None:
    data = shanghaitech(
        tmp_path,
        CROWD,
        np.repeat(CROWD, 2, axis=0),
        np.concatenate([CROWD, CROWD]).round(1) + 0.01 * (np.arange(80) > 39)[:, None],
    )
    one_line(data, "80 of 160 points repeat another and count once more, in 2 of 3 images", "GT_IMG_2.mat")
    few = shanghaitech(tmp_path / "few", np.concatenate([CROWD, CROWD[:3]]))  # as in real sets
    assert survey(few) == []
    one_line(shanghaitech(tmp_path / "third", np.concatenate([CROWD, CROWD[:10]])), "10 of 50 points repeat another")


@pytest.mark.parametrize("unit", [1.0, 0.99])
def test_coordinates_from_0_to_1(tmp_path: Path, unit: float) -> None:
    data = shanghaitech(tmp_path, *(CROWD[i : i + 3] / (64, 36) * unit for i in range(4)))
    one_line(data, "within a pixel of the upper left corner, in 4 of 4 images", "are they coordinates from 0 to 1?")
    write_gcc(tmp_path / "gcc", "scene_00_0", "1500000000", CROWD[:, ::-1] / (36, 64), size=SIZE)
    masks, points = survey(open_dataset(f"gcc:{tmp_path / 'gcc'}", "train"), "source")
    assert "has no segs: rectangles around the heads" in masks
    assert "are they coordinates from 0 to 1?" in points and "1500000000.mat" in points
    box = {"tag": "person", "vbox": [0.2, 0.2, 0.3, 0.3], "hbox": [0.2, 0.2, 0.1, 0.1]}
    write_crowdhuman(tmp_path / "c", [{"ID": "a", "gtboxes": [box, box | {"vbox": [0.5, 0.5, 0.4, 0.4]}]}])
    for role in ("boxes", "source"):
        assert "from 0 to 1" in survey(open_dataset(f"crowdhuman:{tmp_path / 'c'}"), role)[0]


def test_labels_of_smaller_copies(tmp_path: Path) -> None:
    one_line(shanghaitech(tmp_path / "a", CROWD / 2, CROWD / 2), "in the upper left 60% of width and height, in 2 of 2")
    one_line(shanghaitech(tmp_path / "b", *[CROWD] * 8, CROWD / 2), "in 1 of 9 images", "GT_IMG_9.mat")
    few = np.array([[3.0, 4.0], [10.0, 11.0], [20.0, 9.0]])  # a few people at one side of a few images are normal
    assert survey(shanghaitech(tmp_path / "c", few, *[CROWD] * 2)) == []


def test_a_stated_number_that_is_another(tmp_path: Path) -> None:
    data = shanghaitech(tmp_path, CROWD, CROWD[:7], stated=40)
    one_line(data, "another number of people is stated than there are points, in 1 of 2 images", "GT_IMG_2.mat")


# --- nobody -----------------------------------------------------------------------------------------------------------
def test_nobody_is_nothing_to_learn_from(tmp_path: Path) -> None:
    nobody = np.zeros((0, 2))
    for data, says in (
        (shanghaitech(tmp_path / "a", nobody, nobody), "nobody is labelled in its 2 images"),
        (shanghaitech(tmp_path / "b", CROWD + 99, nobody), "all 40 points lie outside their images"),
    ):
        for role in ("source", "boxes"):
            complaint(lambda: survey(data, role), data.name, says, "GT_IMG_1.mat")  # noqa: B023
        assert survey(data, "target") == []
    one_line(shanghaitech(tmp_path / "a", nobody, nobody), "nobody is labelled, in 2 of 2 images")


def test_boxes_without_heads_teach_masks_and_no_counting(tmp_path: Path) -> None:
    people = [{"tag": "person", "vbox": [5, 5, 20, 20]}, {"tag": "person", "vbox": [30, 15, 20, 20]}]
    write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": people}])
    data = open_dataset(f"crowdhuman:{tmp_path}")
    assert survey(data, "boxes") == []
    complaint(lambda: survey(data, "source"), "points: 0", "boxes: 2")
    people[0]["hbox"] = [8, 5, 4, 4]
    write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": people}])
    one_line(open_dataset(f"crowdhuman:{tmp_path}"), "1 of 2 people have a box and no head", role="source")
    write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": [people[0] | {"tag": "mask"}]}])  # a crowd too dense to box
    assert survey(open_dataset(f"crowdhuman:{tmp_path}"), "boxes") == []


def test_of_boxes_only_those_that_vanish_are_told(tmp_path: Path) -> None:
    inside = {"tag": "person", "vbox": [30, 2, 29, 30], "hbox": [58, 2, 8, 8]}  # the head's centre is outside
    rest = [{"tag": "person", "vbox": [5 + x, 9, 9, 20], "hbox": [5 + x, 9, 4, 4]} for x in (0, 20)]
    write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": [inside, *rest]}])
    for role in ("boxes", "source", "test"):
        assert survey(open_dataset(f"crowdhuman:{tmp_path}"), role) == []
    gone = {"tag": "person", "vbox": [70, 2, 9, 30], "hbox": [72, 2, 4, 4]}
    flat = {"tag": "person", "vbox": [30, 2, 9, 0], "hbox": [32, 2, 4, 4]}
    write_crowdhuman(tmp_path, [{"ID": "a", "gtboxes": [inside, *rest, gone, flat]}])
    one_line(open_dataset(f"crowdhuman:{tmp_path}"), "2 of 5 boxes have no area in their images", role="boxes")


# --- pictures and files -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("role", ["target", "test"])
def test_pictures_that_viewers_turn(tmp_path: Path, orientation: int, role: Role) -> None:
    data = shanghaitech(tmp_path, CROWD, CROWD)
    turn(data.image_paths[1], orientation)
    if orientation == 1:
        assert survey(data, role) == []
        return
    tag = f"stored turned or mirrored (EXIF orientation {orientation}) and used as they are stored"
    one_line(data, tag, "in 1 of 2 images", "IMG_2.jpg", "exiftran -ai FILE", role=role)


def test_a_broken_tag_is_none(tmp_path: Path) -> None:
    data = shanghaitech(tmp_path, CROWD)
    with Image.open(data.image_paths[0]) as image:
        image.copy().save(data.image_paths[0], exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert survey(data) == []
    assert len(data[0].points) == len(CROWD)


def test_photographs_are_turned_and_their_folder_is_looked_at(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JPG", "c.png", "d.heic", "e.HEIC", "f.tif", "g.gif", ".h.jpg", "i", "Thumbs.db"):
        picture = tmp_path / name
        write_picture(tmp_path / "new.jpg", SIZE)
        (tmp_path / "new.jpg").rename(picture)
    turn(tmp_path / "a.jpg", 6)
    (tmp_path / "sub").mkdir()
    data = open_dataset(f"images:{tmp_path}")
    assert data.names == ["a.jpg", "b.JPG", "c.png"]
    line = one_line(data, "3 images are used; files left out: 7: ", role="target")
    for part in ("d.heic (is not read: .heic is none", "e.HEIC", "f.tif", "g.gif", ".h.jpg (is not read: hidden", "i (",
                 "sub (is not read: a folder", "`check` lists them"):  # fmt: skip
        assert part in line
    assert "Thumbs.db" not in line
    assert [Path(one.path).name for one in data.leftovers if one.fault] == []


def test_files_beside_labelled_images(tmp_path: Path) -> None:
    data = shanghaitech(tmp_path, CROWD)
    for number in (2, 3):
        write_picture(tmp_path / "train_data/images" / f"IMG_{number}.png", SIZE)
    data = open_dataset(f"shanghaitech:{tmp_path}")
    left = "1 images are used; files left out: 2: IMG_2.png and 1 more (is not read: images are called IMG_n.jpg)"
    one_line(data, left)
    one_line(data, left, role="target")


# --- what is not read -------------------------------------------------------------------------------------------------
def test_of_a_target_no_label_is_read_and_no_mask_of_any_set(tmp_path: Path) -> None:
    data = shanghaitech(tmp_path / "s", CROWD)
    data.files(0)[1].write_bytes(b"no annotation")
    assert survey(data, "target") == []
    complaint(lambda: survey(data, "test"), "GT_IMG_1.mat", "not a readable .mat")
    write_gcc(tmp_path / "gcc", "scene_00_0", "1500000000", np.floor(CROWD[:, ::-1]), size=SIZE, mask=np.ones((2, 2)))
    gcc = open_dataset(f"gcc:{tmp_path / 'gcc'}", None)
    assert survey(gcc, "source") == []
    complaint(lambda: gcc[0], "another size")


def test_a_large_set_is_surveyed_once(mini_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(surveys, "LARGE", 1)
    root = shutil.copytree(mini_world / "target", tmp_path / "target")
    read: list[int] = []

    def told() -> list[str]:
        data = open_dataset(f"shanghaitech-b:{root}", "test")
        labels = data.read_labels
        data.read_labels = lambda index, **options: (read.append(index), labels(index, **options))[1]  # type: ignore[assignment]
        return survey_once(data, "test")

    assert told() == [] and read
    read.clear()
    assert told() == [] and not read
    mat = sorted((root / "part_B/test_data").glob("*/*.mat"))[0]
    scipy.io.savemat(mat, {"image_info": {"location": np.full((2, 2), 1e4), "number": 2}})
    assert "2 of " in told()[0] and read
    read.clear()
    assert "2 of " in told()[0] and not read
    next((tmp_path / "cache").rglob("survey_*.json")).write_text("{")
    assert "2 of " in told()[0] and read
