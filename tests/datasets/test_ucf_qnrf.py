"""UCF-QNRF, written by hand here: what is read, how large it becomes, and one line for everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from native_files import complaint, write_picture, write_qnrf

from sdcda_tutorial.datasets import UCFQNRF, open_dataset

POINTS = np.array([[0.0, 0.0], [52.9, 36.9], [30.5, 12.25], [53.0, 1.0]])  # the last lies outside 37×53


def test_reads_what_was_written(tmp_path: Path) -> None:
    for number in (2, 1):
        write_qnrf(tmp_path, number, POINTS + np.array([0, 0.05 * number]))
    write_qnrf(tmp_path, 1, np.zeros((0, 2)), split="Test")
    data = UCFQNRF(tmp_path, max_side=None)
    assert data.names == ["img_0001", "img_0002"] and data.image_paths[0].name == "img_0001.jpg"
    assert data[0].size == (37, 53) and data[0].dropped == 1 and data[0].mask is None
    np.testing.assert_allclose(data[0].points, POINTS[:3] + np.array([0, 0.05]), rtol=1e-6)
    assert open_dataset(f"ucf-qnrf:{tmp_path}", "test")[0].count == 0
    assert open_dataset(f"ucf-qnrf:{tmp_path}", None).names == data.names
    assert data.describe()["format"] == "UCFQNRF"


@pytest.mark.parametrize(
    ("stored", "options", "expected"),
    [
        ((2013, 2902), {}, (704, 1024)),  # the mean size; 2013·1024/2902 = 710.3, which is 44.4 times 16
        ((1100, 800), {}, (1024, 752)),  # 744.7 is 46.5 times 16
        ((300, 377), {}, (304, 384)),  # never enlarged to the limit, but rounded: 18.75 and 23.56 times 16
        ((1024, 1000), {}, (1024, 992)),
        ((1030, 1020), {}, (1024, 1008)),  # 1014.06 is 63.4 times 16
        ((10, 400), {}, (16, 400)),
        ((800, 1100), {"max_side": 1020}, (736, 1008)),  # 1020 is 63.75 times 16: rounding up would pass the limit
        ((600, 800), {"max_side": 512}, (384, 512)),
        ((1100, 801), {"max_side": None}, (1100, 801)),
        ((800, 1100), {"size": (100, 200)}, (100, 200)),
        ((800, 1100), {"size": None}, (752, 1024)),
    ],
)
def test_sides(tmp_path: Path, stored: tuple[int, int], options: dict, expected: tuple[int, int]) -> None:
    write_qnrf(tmp_path, 1, np.array([[stored[1] / 2, stored[0] / 4]]), size=stored)
    data = UCFQNRF(tmp_path, **options)
    assert data[0].size == expected == data.read_image(0).shape[:2]
    np.testing.assert_allclose(data[0].points, [[expected[1] / 2, expected[0] / 4]], rtol=1e-5)


@given(st.tuples(st.integers(16, 6000), st.integers(16, 6000)), st.integers(16, 3000))
@settings(max_examples=100)
def test_sides_keep_their_promises(stored: tuple[int, int], limit: int) -> None:
    data = UCFQNRF.__new__(UCFQNRF)  # the sizes need no files
    data.size, data.max_side = None, limit
    scale = min(1.0, limit / max(stored))
    for before, after in zip(stored, data._target(stored), strict=True):
        assert after % 16 == 0 and 16 <= after <= limit
        assert abs(after - before * scale) <= (8 if 16 * (limit // 16) >= before * scale >= 16 else 16)


def test_no_point_is_lost_by_the_limit(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform((0, 0), (1600, 1200), (500, 2))
    write_qnrf(tmp_path, 1, np.concatenate([points, [[np.nextafter(1600.0, 0), 1199.99]]]), size=(1200, 1600))
    sample = UCFQNRF(tmp_path)[0]
    assert sample.size == (768, 1024) and sample.count == 501 and sample.dropped == 0
    np.testing.assert_allclose(sample.points[:500], points * (1024 / 1600), rtol=1e-5)


def test_failures(tmp_path: Path) -> None:
    complaint(lambda: UCFQNRF(tmp_path / "nowhere"), tmp_path / "nowhere", "Train and Test")
    complaint(lambda: UCFQNRF(tmp_path), tmp_path / "Train")
    mats = [write_qnrf(tmp_path, number, POINTS) for number in (1, 2, 3, 4)]
    complaint(lambda: UCFQNRF(tmp_path, "val"), "'val'", "train, test")
    complaint(lambda: UCFQNRF(tmp_path, "test"), tmp_path / "Test")
    complaint(lambda: UCFQNRF(tmp_path, max_side=15), "at least 16")
    complaint(lambda: UCFQNRF(tmp_path, max_side=512, size=(64, 64)), "not both")
    data = UCFQNRF(tmp_path)
    scipy.io.savemat(mats[0], {"image_info": POINTS})
    complaint(lambda: data[0], mats[0], "annPoints", "image_info")
    # The first 128 bytes of a MATLAB 7.3 file, which is HDF5 from there on: text, version 2.0, "IM" for little-endian.
    mats[1].write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(1000))
    complaint(lambda: data[1], mats[1], "MATLAB 7.3", "-v7")
    mats[2].write_bytes(mats[3].read_bytes()[:100])
    complaint(lambda: data[2], mats[2], "not a readable .mat")
    mats[3].unlink()
    complaint(lambda: UCFQNRF(tmp_path), mats[3], "1 of 4")


def test_strays_are_not_read(tmp_path: Path) -> None:
    write_qnrf(tmp_path, 1, POINTS)
    write_picture(tmp_path / "Train" / "img_0002.png", (20, 20))
    (tmp_path / "Train" / "Thumbs.db").write_bytes(b"")
    data = UCFQNRF(tmp_path)
    assert data.names == ["img_0001"]
    assert [Path(one.path).name for one in data.leftovers] == ["Thumbs.db", "img_0002.png"]
