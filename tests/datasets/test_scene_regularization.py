"""Scene Regularization: the three rules at their bounds, and the index of a GCC, from lists and from .mat files."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from native_files import complaint, write_gcc, write_qnrf

from sdcda_tutorial import cli
from sdcda_tutorial.cli.options import open_data
from sdcda_tutorial.datasets import GCC, SceneDescription, open_dataset, select_scenes
from sdcda_tutorial.datasets.formats import gcc_index as scene_index
from sdcda_tutorial.datasets.scene_regularization import CAPACITY, RULES, estimated_level
from sdcda_tutorial.files import cache_file, read_json


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- the rules --------------------------------------------------------------------------------------------------------
def admitted_by_the_table(rule: str, level: int, hour: int, weather: int, count: int) -> bool:
    """The published table once more, in whole numbers: count / capacity > ratio is 10 count > (10 ratio) capacity."""
    capacity = [10, 25, 50, 100, 300, 600, 1000, 2000, 4000][level]
    if rule == "shb":
        return (
            level in range(1, 6)
            and hour in range(6, 21)
            and weather in {0, 1, 5, 6}
            and count in range(10, 601)
            and 10 * count > 3 * capacity
        )
    if rule == "sha":
        return (
            level in range(4, 9)
            and hour in range(6, 21)
            and weather in {0, 1, 3, 5, 6}
            and count in range(33, 4001)
            and 10 * count > 5 * capacity
        )
    return (
        level in range(4, 9)
        and hour in range(5, 22)
        and weather in {0, 1, 5, 6}
        and count in range(400, 4001)
        and 10 * count > 6 * capacity
    )


@pytest.mark.parametrize("rule", ["shb", "sha", "qnrf"])
def test_rules_are_those_of_the_table(rule: str) -> None:
    """All levels, hours and weathers, with counts on both sides of every bound and of every share of a capacity."""
    edges = {9, 10, 32, 33, 399, 400, 600, 601, 4000, 4001}
    edges |= {c * tenth // 10 + step for c in CAPACITY for tenth in (3, 5, 6) for step in (0, 1)}
    records = [
        SceneDescription(*fields)
        for fields in product(range(9), range(24), range(7), sorted(edges))  # 9 · 24 · 7 · 45
    ]
    chosen = select_scenes(records, rule)
    assert chosen == [r for r in records if admitted_by_the_table(rule, r.level, r.hour, r.weather, r.count)]
    assert 0 < len(chosen) < len(records)


def test_the_share_must_be_exceeded() -> None:
    noon = {"hour": 12, "weather": 0}
    for rule, level, exactly in [("shb", 5, 180), ("sha", 4, 150), ("qnrf", 6, 600)]:
        below, above = (SceneDescription(level, count=count, **noon) for count in (exactly, exactly + 1))
        assert select_scenes([below, above], rule) == [above]


def test_selection_keeps_order_and_objects() -> None:
    records = [SceneDescription(5, hour, 0, 300, name=str(hour)) for hour in (20, 3, 6, 21, 12)]
    assert [record.name for record in select_scenes(records, "shb")] == ["20", "6", "12"]
    assert select_scenes(iter(records), RULES["shb"]) == select_scenes(records, "shb")
    assert select_scenes([], "qnrf") == []
    complaint(lambda: select_scenes(records, "shc"), "'shc'", "shb, sha, qnrf")
    for level in (-1, 9):
        complaint(lambda level=level: select_scenes([SceneDescription(level, 12, 0, 300)], "shb"), f"level={level}")


def test_level_of_a_camera() -> None:
    # Largest counts of cameras of locations 01, 60 and 71 and their level, as in NLT's lists.
    known = {479: 5, 376: 5, 350: 5, 427: 5, 15: 1, 31: 2, 37: 2, 25: 1, 1138: 7, 972: 6, 1582: 7, 1102: 7}
    assert {largest: estimated_level([0, largest, 7]) for largest in known} == known
    assert estimated_level([]) == 0 and estimated_level([10]) == 0 and estimated_level([3995]) == 8
    assert estimated_level([5000]) == 8


# --- a GCC under a rule -----------------------------------------------------------------------------------------------
def heads(number: int) -> np.ndarray:
    return np.stack([np.arange(number) % 30, np.arange(number) % 60], axis=1)


def small_gcc(root: Path) -> None:
    """Two cameras: one with up to 40 people (level 2, capacity 50), one with 280 (level 4, capacity 300)."""
    write_gcc(root, "scene_01_0", "1500000000", heads(40), hour=12, weather=0)
    write_gcc(root, "scene_01_0", "1500000001", heads(15), hour=12, weather=0)  # 15 of 50 is 0.3, not more
    write_gcc(root, "scene_01_0", "1500000002", heads(40), hour=23, weather=0)
    write_gcc(root, "scene_01_1", "1500000003", heads(280), hour=6, weather=3)
    write_gcc(root, "scene_01_1", "1500000004", np.zeros((0, 0)), hour=6, weather=5)


RECORDS = [
    SceneDescription(2, 12, 0, 40, "scene_01_0/1500000000"),
    SceneDescription(2, 12, 0, 15, "scene_01_0/1500000001"),
    SceneDescription(2, 23, 0, 40, "scene_01_0/1500000002"),
    SceneDescription(4, 6, 3, 280, "scene_01_1/1500000003"),
    SceneDescription(4, 6, 5, 0, "scene_01_1/1500000004"),
]


def write_list(path: Path, records: list[SceneDescription], folder: str = "") -> None:
    lines = []
    for record in records:
        scene, id_ = record.name.split("/")
        lines.append(f"{record.level} {record.hour} {record.weather} {folder}{scene} {id_} {record.count}\n")
    path.write_text("".join(lines))


@pytest.mark.parametrize("folder", ["", "/performed_bak_lite/"])
def test_the_index_comes_from_the_lists(tmp_path: Path, cache: Path, folder: str) -> None:
    small_gcc(tmp_path)
    write_list(tmp_path / "train.txt", RECORDS[:3], folder)  # NLT's lists name the authors' own folder
    write_list(tmp_path / "test.txt", RECORDS[3:], folder)
    for scene in ("scene_01_0", "scene_01_1"):
        for mat in (tmp_path / scene / "mats").iterdir():
            mat.write_bytes(b"")
    assert GCC(tmp_path).scene_records() == RECORDS
    assert GCC(tmp_path, "train", rule="shb").names == ["scene_01_0/1500000000"]
    assert open_dataset(f"gcc:{tmp_path}", None, rule="sha").names == ["scene_01_1/1500000003"]
    assert not cache.exists()


def test_the_index_comes_from_the_mats(tmp_path: Path) -> None:
    small_gcc(tmp_path)
    assert GCC(tmp_path).scene_records() == RECORDS
    data = GCC(tmp_path, "train", rule="shb")  # without lists the whole set is the source
    assert data.names == ["scene_01_0/1500000000"] and data[0].count == 40
    assert data.scene_records() == RECORDS[:1] and data.subset([0]).scene_records() == RECORDS[:1]
    # The level is that of the camera, not of the images that are left.
    assert GCC(tmp_path).subset([1]).scene_records() == RECORDS[1:2]
    assert data.describe()["rule"] == "shb" and "rule" not in GCC(tmp_path).describe()


def test_a_rule_that_admits_nothing_and_one_that_is_none(tmp_path: Path) -> None:
    small_gcc(tmp_path)
    complaint(lambda: GCC(tmp_path, rule="qnrf"), tmp_path, "none of 5 images", "count 400-4000")
    complaint(lambda: GCC(tmp_path, rule="shc"), "'shc'", "shb, sha, qnrf")


def test_only_changed_files_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_gcc(tmp_path)
    read: list[str] = []
    load = scene_index.load_image_info
    monkeypatch.setattr(scene_index, "load_image_info", lambda path: (read.append(path.stem), load(path))[1])
    GCC(tmp_path).scene_records()
    assert len(read) == 5
    GCC(tmp_path).scene_records()
    assert len(read) == 5  # remembered
    write_gcc(tmp_path, "scene_01_0", "1500000001", heads(16), hour=12, weather=0)
    write_gcc(tmp_path, "scene_01_0", "1500000009", heads(1))
    counts = [record.count for record in GCC(tmp_path).scene_records()]
    assert counts == [40, 16, 40, 1, 280, 0] and sorted(read[5:]) == ["1500000001", "1500000009"]
    mat = tmp_path / "scene_01_1" / "mats" / "1500000003.mat"
    os.utime(mat, (0, 0))  # the same size, another time
    GCC(tmp_path).scene_records()
    assert read[7:] == ["1500000003"]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"scene_01_0/1500000000": [1, 2]}', '{"a": ["x", 1, 1, 1, 1]}'])
def test_a_cache_that_is_none_is_made_anew(tmp_path: Path, content: str) -> None:
    small_gcc(tmp_path)
    cache = cache_file("gcc", tmp_path)
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert GCC(tmp_path).scene_records() == RECORDS
    assert len(read_json(cache)) == 5


def test_no_cache_can_be_written(tmp_path: Path, cache: Path) -> None:
    small_gcc(tmp_path)
    cache.write_text("a file where the folder should be")
    assert GCC(tmp_path).scene_records() == RECORDS
    assert cache.read_text() == "a file where the folder should be"


def test_roots_do_not_share_a_cache(tmp_path: Path) -> None:
    small_gcc(tmp_path / "one")
    write_gcc(tmp_path / "two", "scene_01_0", "1500000000", heads(3), hour=1, weather=2)
    assert GCC(tmp_path / "one").scene_records() == RECORDS
    assert GCC(tmp_path / "two").scene_records() == [SceneDescription(0, 1, 2, 3, "scene_01_0/1500000000")]
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert cache_file("gcc", tmp_path / "link") == cache_file("gcc", tmp_path / "one")


def test_what_was_read_before_a_damaged_file_is_kept(tmp_path: Path) -> None:
    small_gcc(tmp_path)
    broken = tmp_path / "scene_01_1" / "mats" / "1500000003.mat"
    broken.write_bytes(b"damaged")
    complaint(lambda: GCC(tmp_path, rule="shb"), broken)
    assert len(read_json(cache_file("gcc", tmp_path))) == 3
    scipy.io.savemat(broken, {"image_info": {"location": heads(3), "number": 3}})
    complaint(lambda: GCC(tmp_path, rule="shb"), broken, "time_info")


# --- the mini world carries the same fields ---------------------------------------------------------------------------
def test_mini_world(mini_world: Path) -> None:
    source = open_dataset(f"mini-source:{mini_world}", None)
    assert isinstance(source, GCC)
    by_list = {record.name: record for record in source.scene_records()}
    for sample in source:
        record = by_list[sample.name]
        told = sample.attributes
        assert (record.hour, record.weather, record.level) == (told["hour"], told["weather"], told["level"])
        assert record.count == told["stated_count"]
    chosen = select_scenes(source.scene_records(), "shb")
    assert 0 < len(chosen) < len(source)
    ruled = open_dataset(f"mini-source:{mini_world}", None, rule="shb")
    assert ruled.names == [record.name for record in chosen]
    complaint(lambda: open_dataset(f"mini-source:{mini_world}", "train", rule="qnrf"), "none of 8 images")


# --- on the command line ----------------------------------------------------------------------------------------------
def test_scenes_option(mini_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    everything = open_data(f"mini-source:{mini_world}", "source", "train", None)
    some = open_data(f"mini-source:{mini_world}", "source", "train", None, scenes="shb")
    assert 0 < len(some) < len(everything)
    for options, says in [
        (f"--source mini-source:{mini_world} --scenes qnrf", "none of 8 images passes the rule 'qnrf'"),
        (f"--source mini-source:{mini_world} --scenes shc", "choose one of shb, sha, qnrf"),
        (f"--source mini-target:{mini_world} --scenes shb", "--scenes chooses among the scenes of GCC"),
    ]:
        with pytest.raises(SystemExit) as left:
            cli.main(["train", "--method", "noadapt", *options.split()])
        shown = capsys.readouterr()
        assert (left.value.code, shown.out) == (2, "") and says in shown.err and shown.err.count("\n") == 1


def test_stored_size(tmp_path: Path) -> None:
    write_qnrf(tmp_path, 1, np.array([[3.0, 4.0]]), size=(1100, 801))
    for size, expected in [(None, (1024, 752)), ("stored", (1100, 801)), ("200x100", (200, 100))]:
        assert open_data(f"ucf-qnrf:{tmp_path}", "target", "train", size)[0].size == expected
    complaint(lambda: open_data(f"ucf-qnrf:{tmp_path}", "target", "train", "full"), "or stored, not 'full'")
