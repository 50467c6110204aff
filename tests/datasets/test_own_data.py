"""A set of one's own images and points: read back exactly, one line for everything wrong, and nothing half written."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import files, ran, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_files import complaint, write_picture
from PIL import Image

from sdcda_tutorial.datasets import open_dataset, own_data
from sdcda_tutorial.datasets.check import check
from sdcda_tutorial.datasets.images import read_image
from sdcda_tutorial.datasets.own_data import make_dataset

CSV = "image,x,y\na.jpg,3.25,4\nb.png,,\na.jpg,0,19.5\n"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, beside which a test works."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.png", "IMG_7.JPG", "sub/c.jpeg"):
        write_picture(tmp_path / "photos" / name, (20, 30))
    return tmp_path / "photos"


def make(text: str, name: str = "points.csv", out: str = "out", **options: Any) -> own_data.Made:
    Path(name).write_text(text, encoding="utf-8")
    return make_dataset(name, "photos", out, progress=False, **options)


POINT = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
IMAGES = st.sampled_from(["a.jpg", "b.png", "IMG_7.JPG", "sub/c.jpeg"])


@given(st.dictionaries(IMAGES, st.lists(POINT, max_size=4), min_size=1), st.sampled_from(["points.csv", "points.json"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_points_come_back_as_they_were(
    photos: Path, tmp_path_factory: pytest.TempPathFactory, points: dict[str, list[tuple[float, float]]], name: str
) -> None:
    out = tmp_path_factory.mktemp("out")
    lines = [f"{image},{x!r},{y!r}\n" for image, all_ in points.items() for x, y in all_ or [("", "")]]
    text = "".join(lines).replace("''", "") if name.endswith("csv") else json.dumps(points)
    made = make(text, name, str(out))
    data = open_dataset(f"shanghaitech:{out}", "train")
    assert made.images == len(data) == len(points) and made.points == sum(map(len, points.values()))
    for image, wanted in points.items():
        stem = Path(image).stem
        labels = data.read_labels(data.names.index(stem if stem == "IMG_7" else f"IMG_{stem}"))
        assert labels.points.tolist() == [list(point) for point in wanted]
        assert labels.attributes == {"stated_count": len(wanted)}
        assert made.outside.get(image, 0) == sum(not (0 <= x < 30 and 0 <= y < 20) for x, y in wanted)
    # Points outside, twice or within a pixel of the corner are right to be told.
    sound = all(len({*one}) == len(one) and all(max(point) > 1.5 for point in one) for one in points.values())
    if sound and not made.outside:
        assert check("shanghaitech", out, progress=False).ok


def test_images_are_copied_and_only_other_formats_are_converted(photos: Path) -> None:
    before = files(photos)
    made = make(CSV + "IMG_7.JPG,1,1\n")
    images = made.folder / "images"
    assert sorted(path.name for path in images.iterdir()) == ["IMG_7.jpg", "IMG_a.jpg", "IMG_b.jpg"]
    assert (images / "IMG_a.jpg").read_bytes() == (photos / "a.jpg").read_bytes()
    with Image.open(images / "IMG_b.jpg") as picture:
        assert picture.format == "JPEG"
    difference = read_image(images / "IMG_b.jpg").astype(int) - read_image(photos / "b.png")
    assert np.abs(difference).mean() < 5  # noise is the worst that JPEG can meet
    (images / "IMG_a.jpg").write_bytes(b"")  # a link would reach the original
    assert files(photos) == before


def test_the_other_part_is_added_and_nothing_is_replaced(photos: Path) -> None:
    make(CSV, split="test")
    make("a.jpg,1,2\n")
    assert [len(open_dataset("shanghaitech:out", split)) for split in ("train", "test")] == [1, 2]
    before = files("out")
    Path("out/.sdcda-lock").touch()  # of a command that was killed when all was made
    for split in ("train", "test"):
        complaint(lambda split=split: make(CSV, split=split), "out already holds", f"{split}_data")
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    complaint(lambda: make(CSV, out="mine"), "mine already holds notes.txt")
    complaint(lambda: make(CSV, out="points.csv"), "points.csv is a file")
    complaint(lambda: make(CSV, out="new", split="val"), "no split 'val'", "train, test")
    assert files("out") == before and not Path("new").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a.jpg,3", "image,x,y, found a.jpg,3"),
        ("a.jpg;3;4", "image,x,y, found a.jpg;3;4"),
        ("a.jpg,3,4,5", "image,x,y, found a.jpg,3,4,5"),
        ("a.jpg,3,", "image,x,y"),
        ("a.jpg,3\x0c20", r"found 'a.jpg,3\x0c20'"),  # a form feed ends a line too
        ("a.jpg,three,4", "image,x,y, found a.jpg,three,4"),
        ("a.jpg,nan,4", "image,x,y"),
        ("a.jpg,1,-inf", "image,x,y"),
        ("a.jpg,1e400,1", "image,x,y"),
        ("a.jpg,1_0,1", "image,x,y"),
        (f"a.jpg,{'9' * 5000},1", "image,x,y"),
        ('"a.jpg,1,1', "end of data"),
        ("a" * 200_000 + ",1,1", "field larger"),
        ("gone.jpg,1,1", "gone.jpg does not exist"),
        ("../secret.jpg,1,1", "is no name of a file in photos"),
        (",1,1", "'' is no name of a file"),
        ("sub,,", "is a folder"),
        ("notes.txt,,", "cannot be decoded as an image"),
        ("half.jpg,1,1", "half.jpg cannot be decoded"),
        ("turned.jpg,1,1", "EXIF orientation"),
        ("turned.tif,1,1", "EXIF orientation"),  # which Pillow turns whether it is asked to or not
        ("sub/a.jpg,,", "sub/a.jpg and a.jpg would both become IMG_a"),
        ("./a.jpg,1,1", "./a.jpg and a.jpg are one image"),
        ("IMG_B.jpg,,", "IMG_B.jpg and b.png would both become IMG_B"),
        ("b.png,1,1", "b.png is said to be without people"),
        ("huge.png,,", "huge.png cannot be decoded as an image"),
    ],
    ids=lambda text: text[:20],
)
def test_a_bad_line_is_named_and_nothing_is_left(photos: Path, line: str, says: str) -> None:
    write_picture(photos.parent / "secret.jpg", (20, 30))
    (photos / "notes.txt").write_text("no picture")
    (photos / "half.jpg").write_bytes((photos / "a.jpg").read_bytes()[:500])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("turned.jpg", "turned.tif"):
        write_picture(photos / name, (20, 30), exif=exif)
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)  # 10.8 GB of pixels
    (photos / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    )
    before = {name for name in files() if "points.csv" not in name}
    message = complaint(lambda: make(CSV + line + "\n"), "points.csv, line", says)
    assert "line 5" in message or "line 3: b.png is said" in message
    assert {name for name in files() if "points.csv" not in name} == before and not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "should hold"),
        ("{}", "lists no images"),
        ('{"a.jpg": 3}', "expected a list of points"),
        ('{"a.jpg": [1, 2]}', "point 1 should be [x, y], found 1"),
        ('{"a.jpg": [[1, 2], [3]]}', "point 2 should be [x, y], found [3]"),
        ('{"a.jpg": [["1", "2"]]}', "point 1"),
        ('{"a.jpg": [[true, 2]]}', "point 1"),
        ('{"a.jpg": [[NaN, 2]]}', "point 1"),
        ('{"a.jpg": [[1e400, 2]]}', "point 1"),
        (f'{{"a.jpg": [[1{"0" * 400}, 2]]}}', "point 1"),
        (f'{{"a.jpg": [[1{"0" * 5000}, 2]]}}', "not readable JSON"),
        ('{"a.jpg": ' + "[" * 100_000, "not readable JSON"),
        ('{"a.jpg": [], "a.jpg": [[1, 2]]}', "'a.jpg' is there twice"),
        ('{"gone.jpg": []}', "gone.jpg does not exist"),
        ('{"a.jpg": [], "x\\n/a.jpg": []}', r"'x\n/a.jpg' and a.jpg would both become IMG_a"),
        ('{"a\\u0000.jpg": []}', "is no name of a file"),
        ('{"\\ud800.jpg": []}', r"'\ud800.jpg' is no name of a file"),
        ('{"": []}', "'' is no name of a file"),
    ],
    ids=lambda text: text[:20],
)
def test_bad_json_is_named_and_nothing_is_left(photos: Path, text: str, says: str) -> None:
    complaint(lambda: make(text, "points.json"), "points.json", says)
    assert not Path("out").exists()


def test_a_name_of_two_lines_is_in_the_set_too(photos: Path) -> None:
    write_picture(photos / "two\nlines.jpg", (20, 30))
    assert make('{"two\\nlines.jpg": [[1, 2]], "a.jpg": []}', "points.json").images == 2
    assert open_dataset("shanghaitech:out").names == ["IMG_a", "IMG_two\nlines"]


def test_of_a_file_with_several_pictures_nobody_knows_which_one_the_points_are_of(photos: Path) -> None:
    page = Image.new("RGB", (60, 40), "white")
    page.save(photos / "two.tif", save_all=True, append_images=[page])
    complaint(lambda: make("two.tif,1,1"), "two.tif holds 2 pictures")


def test_an_image_of_both_parts_is_told(photos: Path) -> None:
    assert make("a.jpg,1,1\nb.png,,").in_both == []
    again = make_dataset("points.csv", "photos", "out", "test", progress=False)
    assert again.in_both == ["a.jpg", "b.png"]


def test_no_folder_is_left_of_a_set_that_could_not_be_made(photos: Path) -> None:
    complaint(lambda: make("gone.jpg,1,1", out="new/a/b"), "gone.jpg does not exist")
    assert not Path("new").exists()


def test_a_name_that_becomes_too_long_is_told_with_its_length(photos: Path) -> None:
    name = "x" * 246 + ".jpg"  # 250 bytes; GT_IMG_ and .mat make it 257
    write_picture(photos / name, (20, 30))
    complaint(lambda: make(f"{name},1,1"), "a name of 257 bytes is longer than this disk allows")
    assert not Path("out").exists()


def test_images_beside_those_that_are_labelled_are_told(photos: Path) -> None:
    for name in ("d.jpg", "notes.txt"):
        write_picture(photos / "sub" / name, (20, 30), format="JPEG")
    assert make("a.jpg,1,1\nsub/c.jpeg,,").unlabelled == ["IMG_7.JPG", "b.png", "sub/d.jpg"]


def test_files_that_are_no_labels(photos: Path) -> None:
    complaint(lambda: make(CSV, "points.txt"), "points.txt should be a .csv")
    complaint(lambda: make_dataset("gone.csv", "photos", "out"), "gone.csv cannot be read")
    complaint(lambda: make_dataset("gone.json", "photos", "out"), "gone.json does not exist")
    complaint(lambda: make("", out="out"), "points.csv lists no images")
    complaint(lambda: make_dataset("points.csv", "nowhere", "out"), "nowhere is not a folder")
    Path("points.csv").write_text(CSV, encoding="utf-16")
    complaint(lambda: make_dataset("points.csv", "photos", "out"), "points.csv is no text in UTF-8")
    Path("folder.csv").mkdir()
    complaint(lambda: make_dataset("folder.csv", "photos", "out"), "folder.csv cannot be read")
    assert not Path("out").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("there", [False, True])
def test_an_end_in_the_middle_leaves_nothing(
    photos: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, there: bool
) -> None:
    write: Callable[..., None] = own_data.save_image_info

    def write_one(path: Path, points: np.ndarray) -> None:
        if "IMG_b" in path.name:
            raise error
        write(path, points)

    monkeypatch.setattr(own_data, "save_image_info", write_one)
    if there:
        Path("out").mkdir()
    if isinstance(error, OSError):
        complaint(lambda: make(CSV), "cannot write out/train_data", "No space left")
    else:
        with pytest.raises(KeyboardInterrupt):
            make(CSV)
    assert Path("out").exists() == there and not (there and any(Path("out").iterdir()))


# --- the command ------------------------------------------------------------------------------------------------------
def test_the_command_says_what_it_made_and_what_it_left_out(photos: Path) -> None:
    Path("points.csv").write_text("\ufeffimage,x,y\r\n" + CSV[10:].replace("\n", "\r\n") + "a.jpg,30,4\r\n,,\r\n")
    assert ran("data", "make", "points.csv", "photos", "out").splitlines() == [
        "out/train_data holds 2 images with 3 points; name it shanghaitech:out",
        "note: 1 points of a.jpg lie outside it; they will not be counted",
        "note: 1 images in photos are not in points.csv and were left out: IMG_7.JPG",
    ]
    first, second = open_dataset("shanghaitech:out")
    assert first.points.tolist() == [[3.25, 4], [0, 19.5]] and first.dropped == 1 and second.count == 0
    assert "out already holds train_data" in refused("data", "make", "points.csv", "photos", "out")
    ran("data", "make", "points.csv", "photos", "out", "--split", "test")
    ran("data", "check", "shanghaitech", "out")


def test_who_has_other_names_is_shown_the_way(photos: Path) -> None:
    for folder in ("images", "ground_truth"):
        Path("own/train_data", folder).mkdir(parents=True)
    for number in range(5):
        write_picture(Path("own/train_data/images", f"frame {number}.jpg"), (20, 30))
    says = refused("data", "check", "shanghaitech", "own")
    for part in ("own/train_data/images", "IMG_n.jpg", "GT_IMG_n.mat", "5", "frame 0.jpg", "`sdcda data make`"):
        assert part in says


def test_what_spreadsheets_write_and_what_no_jpeg_can_hold(photos: Path, tmp_path: Path) -> None:
    assert make("\n\nimage,x,y\na.jpg,1,2\n", out=str(tmp_path / "blank")).points == 1
    complaint(lambda: make("image;x;y\na.jpg;1;2\n"), "line 1", "commas")
    Image.new("L", (65_501, 8)).save(photos / "wide.png")
    complaint(lambda: make("wide.png,1,2\n"), "wide.png", "65,500")
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(photos / "late.png", exif=tags)
    content = (photos / "late.png").read_bytes()
    at = content.index(b"eXIf") - 4
    size = 12 + int.from_bytes(content[at : at + 4], "big")
    end = content.index(b"IEND") - 4  # the tag behind the pixels
    (photos / "late.png").write_bytes(content[:at] + content[at + size : end] + content[at : at + size] + content[end:])
    complaint(lambda: make("late.png,1,2\n"), "late.png", "EXIF")
