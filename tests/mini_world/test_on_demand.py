"""The mini world image by image: the same samples as of the whole one, and nothing that is drawn for nobody."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sdcda_tutorial.datasets import GCC, CrowdDataset, open_dataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.mini_world import MiniWorldSettings, ensure_mini_world, open_mini_world
from sdcda_tutorial.mini_world.world import LISTS
from sdcda_tutorial.rivals.translated_source import refuse_other_layouts
from sdcda_tutorial.teaching import start_here

TINY = MiniWorldSettings(source_train=7, source_test=2, target_train=2, target_test=12, third_train=3)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_mini_world(tmp_path_factory.mktemp("whole") / "mini", settings=TINY, progress=False)


def drawn(folder: Path) -> set[str]:
    """What was drawn beside `folder`/mini, such as "target-test-3"."""
    return {path.name for path in folder.glob(".mini.drawn-*/*") if path.name != "manifest.json"}


def same(one: Sample, other: Sample) -> bool:
    assert one.attributes.keys() == other.attributes.keys()
    pairs = [(one.image, other.image), (one.points, other.points), (one.boxes, other.boxes), (one.mask, other.mask)]
    pairs += [(one.attributes[key], other.attributes[key]) for key in one.attributes]
    return one.name == other.name and all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("part", LISTS, ids="-".join)
def test_every_part_is_that_of_the_whole_world(part: tuple[str, str], whole: Path, tmp_path: Path) -> None:
    there, asked = open_mini_world(whole, settings=TINY)[part], open_mini_world(tmp_path / "mini", settings=TINY)[part]
    assert type(there) is type(asked) and len(there) == len(asked) and there.names == asked.names
    assert asked.name == there.name.replace(str(whole), str(tmp_path / "mini"))
    assert all(same(one, other) for one, other in zip(there, asked, strict=True)) and same(there[-1], asked[-1])
    for labelled in (True, False):  # so checkpoints and results say the same of their data
        assert there.subset([1]).describe(labelled=labelled) == asked.subset([1]).describe(labelled=labelled)
        assert there.describe(labelled=labelled) == asked.describe(labelled=labelled)
    if isinstance(there, GCC) and isinstance(asked, GCC):
        assert there.scene_records() == asked.scene_records()
        assert there.subset([1]).scene_records() == asked.subset([1]).scene_records()  # type: ignore[attr-defined]
    for index in range(len(there)):
        for one, other in zip(there.files(index), asked.files(index), strict=True):
            assert one.read_bytes() == other.read_bytes() and one.name == other.name
        assert there.image_paths[index].name == asked.image_paths[index].name


def test_only_what_is_read_is_drawn(tmp_path: Path) -> None:
    parts = open_mini_world(tmp_path / "mini", settings=TINY)
    test = parts["target", "test"]
    few = test.subset(range(0, 12, 5))
    assert (len(few), few.names, len(test)) == (3, ["IMG_1", "IMG_6", "IMG_11"], 12) and not drawn(tmp_path)
    few.read_image(1)
    assert drawn(tmp_path) == {"target-test-5"}
    assert parts["source", "test"][-1].attributes["level"] >= 0
    assert drawn(tmp_path) == {"target-test-5", "source-test-1"}
    with pytest.raises(IndexError):
        test[12]
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".mini.drawn-")] == []


def test_an_image_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_mini_world(tmp_path / "mini", settings=TINY)["third", "train"][1]
    monkeypatch.setattr("sdcda_tutorial.mini_world.on_demand.make_image", lambda *_: pytest.fail("drawn again"))
    assert same(first, open_mini_world(tmp_path / "mini", settings=TINY)["third", "train"][1])  # as in a later session


def test_a_whole_world_is_used_as_it_is(whole: Path) -> None:
    before = sorted(whole.parent.rglob("*"))
    parts = open_mini_world(whole, settings=TINY)
    assert all(data.image_paths[0].is_relative_to(whole) for data in parts.values())
    assert sorted(whole.parent.rglob("*")) == before


@pytest.mark.slow
def test_a_part_is_never_taken_for_the_world(tmp_path: Path) -> None:
    """Commands and loaders see no world until all of it is there; who reads image by image is not disturbed by it."""
    mini = tmp_path / "mini"
    reading = open_mini_world(mini, settings=TINY)["source", "train"]
    first = reading[0]
    with pytest.raises(InputError, match="is not a folder; make the mini world"):
        open_dataset(f"mini-source:{mini}")
    assert not mini.exists()
    ensure_mini_world(mini, settings=TINY, progress=False)
    assert len(open_dataset(f"mini-source:{mini}")) == 7 and same(first, open_dataset(f"mini-source:{mini}")[0])
    assert same(reading[1], open_dataset(f"mini-source:{mini}")[1])
    shutil.copytree(next(tmp_path.glob(".mini.drawn-*")), tmp_path / "copy")  # renamed by hand it is no world either
    assert "files" not in (tmp_path / "copy/manifest.json").read_text()
    with pytest.raises(InputError, match=r"copy/source-train-\d is not the mini world's"):
        ensure_mini_world(tmp_path / "copy", settings=TINY, progress=False)


def test_another_seed_or_size_has_a_place_of_its_own(tmp_path: Path) -> None:
    pictures = {
        open_mini_world(tmp_path / "mini", seed=seed, settings=settings)["target", "train"][0].image.tobytes()
        for seed, settings in ((0, TINY), (1, TINY), (0, MiniWorldSettings(strength=0.1)))
    }
    assert len(pictures) == len(list(tmp_path.glob(".mini.drawn-*/manifest.json"))) == 3


# --- several at once, kills, and what is in the way -------------------------------------------------------------------


@pytest.mark.slow
def test_several_readers_at_once_get_the_same(whole: Path, tmp_path: Path) -> None:
    """Threads with data of their own; in the second round they share it, or have a copy, as a loader's worker has."""
    there = open_mini_world(whole, settings=TINY)["target", "test"]

    def read_all(data: CrowdDataset | None) -> bool:
        data = data or open_mini_world(tmp_path / "mini", settings=TINY)["target", "test"]
        return all(same(one, other) for one, other in zip(there, data, strict=True))

    shared = open_mini_world(tmp_path / "mini", settings=TINY)["target", "test"]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read_all, [None] * 4))
        shutil.rmtree(next(tmp_path.glob(".mini.drawn-*")))
        assert all(pool.map(read_all, [shared, shared, pickle.loads(pickle.dumps(shared))]))
    assert drawn(tmp_path) == {f"target-test-{index}" for index in range(12)}  # and nothing half-made


DRAW_ALL = f"""
from sdcda_tutorial.mini_world import MiniWorldSettings, open_mini_world
for data in open_mini_world("mini", settings={TINY!r}).values():
    list(data)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", DRAW_ALL], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.mark.slow
def test_a_kill_leaves_only_whole_images(whole: Path, tmp_path: Path) -> None:
    killed, other = start(tmp_path), start(tmp_path)
    end = time.monotonic() + 60
    while len(drawn(tmp_path)) < 3 and time.monotonic() < end:
        time.sleep(0.002)
    killed.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    killed.wait(30)
    assert other.wait(60) == 0
    parts = {part: open_mini_world(tmp_path / "mini", settings=TINY)[part] for part in LISTS}
    for part, data in open_mini_world(whole, settings=TINY).items():
        assert all(same(one, other) for one, other in zip(data, parts[part], strict=True))
    names = {f"{'-'.join(part)}-{index}" for part, data in parts.items() for index in range(len(data))}
    assert {name for name in drawn(tmp_path) if not name.startswith(".making-")} == names


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
@pytest.mark.parametrize("part", LISTS, ids="-".join)
def test_an_interruption_leaves_no_half_of_an_image(
    part: tuple[str, str],
    error: type[BaseException] | BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, written = open_mini_world(tmp_path / "mini", settings=TINY)[part], Path.write_bytes

    def stop_after_the_picture(path: Path, content: bytes) -> int:
        written(path, content)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", stop_after_the_picture)
        with pytest.raises((KeyboardInterrupt, InputError)):
            data[1]
    assert not drawn(tmp_path)
    assert data[1].count >= 0 and drawn(tmp_path) == {f"{'-'.join(part)}-1"}


@pytest.mark.parametrize("mine", ["mini", "drawn", "image"])
def test_files_of_others_are_refused_untouched(tmp_path: Path, mine: str) -> None:
    root = tmp_path / "mini"
    store = next(iter(open_mini_world(root, settings=TINY).values())).image_paths[0].parents[3]
    shutil.rmtree(store)
    if mine == "image":
        open_mini_world(root, settings=TINY)
    place = {"mini": root / "photo.jpg", "drawn": store / "photo.jpg", "image": store / "target-test-3"}[mine]
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine")
    with pytest.raises(InputError) as caught:
        open_mini_world(root, settings=TINY)["target", "test"][3]
    assert "\n" not in str(caught.value) and str(place if mine == "image" else place.parent) in str(caught.value)
    assert place.read_text() == "mine"
    assert mine != "image" or open_mini_world(root, settings=TINY)["target", "test"][4].count


def test_what_is_damaged_or_deleted_is_drawn_again(tmp_path: Path) -> None:
    data = open_mini_world(tmp_path / "mini", settings=TINY)["target", "test"]
    first, path = data[0], data.image_paths[0]
    store = path.parents[4]
    next(path.parents[1].rglob("*.mat")).unlink()
    with pytest.raises(InputError, match="target-test-0 is damaged: delete it, and it is drawn again"):
        open_mini_world(tmp_path / "mini", settings=TINY)["target", "test"][0]
    shutil.rmtree(path.parents[3])
    assert same(first, data[0])
    shutil.rmtree(store)
    assert same(first, data[0]) and (store / "manifest.json").is_file()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o555)
    with pytest.raises(InputError, match="cannot"):
        open_mini_world(tmp_path / "data" / "mini", settings=TINY)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match="cannot make the mini world"):
        open_mini_world(tmp_path / "data" / "mini", settings=TINY)


# --- notebook 00 ------------------------------------------------------------------------------------------------------

RUN_CELLS = """
import sys
from pathlib import Path
import matplotlib; matplotlib.use("agg")
from IPython.core.interactiveshell import InteractiveShell

InteractiveShell.instance()
text = Path(sys.argv[1]).read_text(encoding="utf-8")
cells = [cell.partition("\\n") for cell in text.split("\\n# %%")[1:]]
names = {}
for head, _, code in cells:
    if "markdown" in head or "colab" in head or "check(" in code:
        continue
    exec(code, names)
    found = sorted(path.name for path in Path("data").glob(".mini.drawn-*/*-*-*"))
    print("DRAWN", *found, flush=True)
"""


@pytest.mark.slow
def test_notebook_00_draws_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for folder in ("results", "checkpoints"):
        (tmp_path / "data" / folder).symlink_to(ROOT / "data" / folder)
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS, ROOT / "notebooks/text/00_start_here.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after_each = [set(line.split()[1:]) for line in done.stdout.splitlines() if line.startswith("DRAWN")]
    assert after_each[:2] == [set(), {"target-test-15"}]  # the first picture is the second cell's
    trains = {f"{domain}-train-{index}" for domain in ("source", "target", "third") for index in start_here.SHOWN}
    assert after_each[-1] == trains | {f"target-test-{index}" for index in range(24)}
    assert not (tmp_path / "data/mini").exists()


def test_what_was_deleted_is_drawn_again_and_known_as_before(whole: Path, tmp_path: Path) -> None:
    data = open_mini_world(tmp_path / "mini", settings=TINY)["source", "train"]
    (place,) = tmp_path.glob(".mini.drawn-*")
    shutil.rmtree(place)
    assert data.describe() == open_mini_world(whole, settings=TINY)["source", "train"].describe()
    (place / "manifest.json").unlink()  # a deletion that was cut off
    with pytest.raises(InputError, match="is damaged: delete it, and it is drawn again"):
        open_mini_world(tmp_path / "mini", settings=TINY)


def test_the_place_stays_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    at_home, here = (open_mini_world(root, settings=TINY)["target", "test"] for root in ("~/mini", "mini"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert same(at_home[0], here[0]) and at_home.image_paths == here.image_paths
    assert len(list(tmp_path.glob(".mini.drawn-*"))) == 1 and not list((tmp_path / "elsewhere").iterdir())


def test_a_source_that_is_drawn_image_by_image_is_not_translated(tmp_path: Path) -> None:
    source = open_mini_world(tmp_path / "mini", settings=TINY)["source", "train"]
    with pytest.raises(InputError, match="draw all of it first"):
        refuse_other_layouts(source)
