"""The mini world: geometry that never moves, pictures that agree with it, files that other readers understand."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from sdcda_tutorial.datasets.scene_regularization import CAPACITY
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.mini_world import MiniWorldSettings, Scene, ensure_mini_world, render
from sdcda_tutorial.mini_world import world as mini_world
from sdcda_tutorial.mini_world.native_formats import gcc_place, write_crowdhuman, write_gcc, write_shanghaitech
from sdcda_tutorial.mini_world.sampling import SMALLEST_PERSON, sample_scene, scene_generator
from sdcda_tutorial.mini_world.scene import DOMAINS, SPLITS, Domain, Split, geometry_digest

TINY = MiniWorldSettings(source_train=4, source_test=2, target_train=2, target_test=2, third_train=4)
# Of the tiny world of seed 0. It changes only when a scene's geometry is meant to change; raise VERSION with it.
TINY_GEOMETRY = "67b9e594f7bfd72e97c3a5949c4f519fe7b67f72ec1ddd636224e8f79ea7ef33"


def scene_of(domain: Domain, index: int, seed: int = 0) -> Scene:
    return sample_scene(scene_generator(seed, domain, "train", index), domain)


def area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


@pytest.fixture(scope="module")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_mini_world(tmp_path_factory.mktemp("worlds") / "mini", settings=TINY, progress=False)


# --- geometry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_same_seed_same_scene_and_other_seed_another(domain: Domain) -> None:
    assert scene_of(domain, 3) == scene_of(domain, 3)
    assert geometry_digest(scene_of(domain, 3)) != geometry_digest(scene_of(domain, 4))
    assert geometry_digest(scene_of(domain, 3)) != geometry_digest(scene_of(domain, 3, seed=1))


def test_geometry_of_seed_0_is_the_stored_one(tiny_world: Path) -> None:
    assert json.loads((tiny_world / "manifest.json").read_text())["geometry"] == TINY_GEOMETRY


@pytest.mark.parametrize("domain", DOMAINS)
def test_heads_inside_apart_and_tall_enough(domain: Domain) -> None:
    for index in range(25):
        scene = scene_of(domain, index)
        x, y = scene.points.T
        height, width = scene.size
        assert np.all((x >= 0) & (x < width) & (y >= 0) & (y < height))
        assert np.all(scene.points * 4 == np.rint(scene.points * 4))
        assert all(person.height >= SMALLEST_PERSON for person in scene.people)
        distance = np.hypot(x[:, None] - x, y[:, None] - y) + 1e9 * np.eye(len(x))
        radius = np.array([person.head_radius for person in scene.people])
        assert np.all(distance.min(axis=1) >= radius)


def test_perspective_lower_is_taller() -> None:
    for index in range(10):
        scene = scene_of("source", index)
        feet = np.array([person.feet for person in scene.people])
        heights = np.array([person.height for person in scene.people])
        expected = np.maximum([scene.height_at(row) for row in feet], SMALLEST_PERSON)
        assert np.all(np.abs(heights / expected - 1) < 0.1)
        assert np.all(np.diff(feet) >= 0)  # painted far to near


@pytest.mark.slow
def test_counts_and_sizes_follow_the_recipe() -> None:
    scenes = {domain: [scene_of(domain, index) for index in range(150)] for domain in DOMAINS}
    counts = {domain: np.array([len(scene.people) for scene in scenes[domain]]) for domain in DOMAINS}
    for domain in ("source", "target"):
        assert counts[domain].min() >= 3 and counts[domain].max() <= 200
        assert 38 <= np.median(counts[domain]) <= 52
    assert 11 <= np.median(counts["third"]) <= 17
    tallest = {domain: np.mean([scene.height_at(scene.size[0]) for scene in scenes[domain]]) for domain in DOMAINS}
    assert 2 < tallest["third"] / tallest["source"] < 3
    for scene, count in zip(scenes["source"], counts["source"], strict=True):
        assert 0 <= scene.level <= 8 and count <= CAPACITY[scene.level]
    assert {scene.weather for scene in scenes["source"]} == set(range(7))


def test_size_scales_the_geometry() -> None:
    small = sample_scene(scene_generator(0, "source", "train", 0), "source", size=(96, 128))
    assert small.size == (96, 128) and render(small).image.shape == (96, 128, 3)
    assert np.all(small.points < (128, 96))
    with pytest.raises(InputError, match="too small"):
        sample_scene(scene_generator(0, "source", "train", 0), "source", size=(48, 64))


# --- pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_masks_and_boxes_agree_with_the_people(domain: Domain) -> None:
    for index in range(6):
        scene = scene_of(domain, index)
        drawn = render(scene)
        assert drawn.image.shape == (*scene.size, 3) and drawn.image.dtype == np.uint8
        assert drawn.mask.shape == scene.size and drawn.mask.dtype == np.uint8
        assert set(np.unique(drawn.mask)) <= {0, 1}
        # Whoever is in front, a head inside the picture is somebody's silhouette.
        column, row = np.floor(scene.points).astype(int).T
        assert np.all(drawn.mask[row, column] == 1)

        full, heads, visible = scene.full_boxes, scene.head_boxes, drawn.visible_boxes
        x, y = scene.points.T
        for boxes in (full, heads):
            assert np.all((boxes[:, 0] < x) & (x < boxes[:, 2]) & (boxes[:, 1] < y) & (y < boxes[:, 3]))
        assert np.all(area(full) > area(heads))
        seen = visible[:, 2] > visible[:, 0]
        assert np.all(visible >= 0) and np.all(visible[:, [2, 3]] <= (scene.size[1], scene.size[0]))
        assert np.all(visible[seen, :2] >= full[seen, :2] - 1) and np.all(visible[seen, 2:] <= full[seen, 2:] + 1)
        nearest = len(scene.people) - 1  # nobody stands in front: all that the picture holds is visible
        assert visible[nearest, 0] <= x[nearest] <= visible[nearest, 2]
        assert abs(visible[nearest, 1] - max(full[nearest, 1], 0)) <= 1


def test_drawing_repeats_and_does_not_depend_on_the_label() -> None:
    scene = scene_of("target", 0)
    first, second = render(scene), render(scene)
    assert np.array_equal(first.image, second.image) and np.array_equal(first.mask, second.mask)
    other = render(replace(scene, drawing_seed=scene.drawing_seed + 1), strength=1.0)
    assert not np.array_equal(first.image, other.image) and np.array_equal(first.mask, other.mask)


def test_empty_scene_is_drawn_and_written(tmp_path: Path) -> None:
    empty = replace(scene_of("source", 0), people=())
    drawn = render(empty)
    assert drawn.mask.sum() == 0 and drawn.visible_boxes.shape == (0, 4)
    folder, name = gcc_place(7)
    assert write_gcc(tmp_path, 7, empty, drawn).endswith(f"{folder} {name} 0")
    assert loadmat(tmp_path / folder / "mats" / f"{name}.mat")["image_info"][0, 0]["location"].size == 0
    write_shanghaitech(tmp_path, "train", 1, empty, drawn)
    stored = loadmat(tmp_path / "part_B/train_data/ground-truth/GT_IMG_1.mat")["image_info"][0, 0][0, 0]
    assert stored[0].size == 0 and int(stored[1].item()) == 0
    assert json.loads(write_crowdhuman(tmp_path, 0, empty, drawn))["gtboxes"] == []


def test_night_is_darker_and_fog_flatter() -> None:
    scene = replace(scene_of("source", 1), hour=12, weather=0)
    noon, night = render(scene).image, render(replace(scene, hour=1)).image
    fog = render(replace(scene, weather=3)).image
    assert night.mean() < 0.75 * noon.mean()
    assert fog[:96].std() < 0.8 * noon[:96].std()


@pytest.mark.slow
def test_people_look_alike_and_backgrounds_do_not() -> None:
    """The premise of the paper, as two numbers: colour of the people, and how busy the background is."""
    people: dict[str, np.ndarray] = {}
    busy: dict[str, float] = {}
    for domain in ("source", "target"):
        images, masks = [], []
        for index in range(20):
            drawn = render(replace(scene_of(domain, index), hour=12, weather=0))
            images.append(drawn.image.astype(float))
            masks.append(drawn.mask.astype(bool))
        image, mask = np.stack(images), np.stack(masks)
        people[domain] = np.concatenate([image[mask].mean(axis=0), image[mask].std(axis=0)])
        edges = np.abs(np.diff(image.mean(axis=3), axis=2))
        busy[domain] = float(edges[~(mask[:, :, 1:] | mask[:, :, :-1])].mean())
    assert np.all(np.abs(people["source"] - people["target"]) < 15)
    assert busy["target"] > 1.8 * busy["source"]


def test_strength_makes_the_target_harder() -> None:
    scene = scene_of("target", 2)
    busy = [np.abs(np.diff(render(scene, strength=k).image.astype(float), axis=1)).mean() for k in (0.0, 0.4, 1.0)]
    assert busy[0] < busy[1] < busy[2]


# --- files ------------------------------------------------------------------------------------------------------


def test_gcc_files(tiny_world: Path) -> None:
    root = tiny_world / "source"
    splits: tuple[tuple[Split, int, int], ...] = (("train", 4, 0), ("test", 2, 4))
    for split, images, first in splits:
        lines = (root / f"{split}.txt").read_text().splitlines()
        assert len(lines) == images
        for index, line in enumerate(lines):
            scene = sample_scene(scene_generator(0, "source", split, index), "source")
            level, hour, weather, folder, name, count = line.split()
            assert (folder, name) == gcc_place(first + index) and len(name) == 10
            assert [int(level), int(hour), int(weather), int(count)] == [
                scene.level, scene.hour, scene.weather, len(scene.people),
            ]  # fmt: skip
            mat = loadmat(root / folder / "mats" / f"{name}.mat")
            location = mat["image_info"][0, 0]["location"]
            assert np.issubdtype(location.dtype, np.integer)
            assert np.array_equal(location[:, ::-1], np.floor(scene.points))
            assert int(mat["image_info"][0, 0]["number"].item()) == len(scene.people)
            assert mat["weather_info"].item() == scene.weather
            assert mat["time_info"].dtype == np.uint8
            assert mat["time_info"].ravel().tolist() == [scene.hour, scene.minute]
            drawn = render(scene)
            mask = np.frombuffer((root / folder / "segs" / f"{name}.raw").read_bytes(), np.uint8).reshape(scene.size)
            assert np.array_equal(mask, drawn.mask)
            with Image.open(root / folder / "jpgs" / f"{name}.jpg") as picture:
                assert picture.size == scene.size[::-1]
                assert np.abs(np.asarray(picture, float) - drawn.image).mean() < 6
            people = json.loads((root / folder / "jsons" / f"{name}.json").read_text())["people"]
            assert np.array_equal([person["full_box"] for person in people], scene.full_boxes)
            assert np.array_equal([person["visible_box"] for person in people], drawn.visible_boxes)


def test_shanghaitech_files(tiny_world: Path) -> None:
    for split in SPLITS:
        folder = tiny_world / "target" / "part_B" / f"{split}_data"
        assert sorted(path.name for path in (folder / "images").iterdir()) == ["IMG_1.jpg", "IMG_2.jpg"]
        for index in range(2):
            scene = sample_scene(scene_generator(0, "target", split, index), "target")
            stored = loadmat(folder / "ground-truth" / f"GT_IMG_{index + 1}.mat")["image_info"][0, 0][0, 0]
            assert np.array_equal(stored[0], scene.points)
            assert int(stored[1].item()) == len(scene.people)
            with Image.open(folder / "images" / f"IMG_{index + 1}.jpg") as picture:
                assert picture.size == scene.size[::-1] and picture.mode == "RGB"


def test_crowdhuman_files(tiny_world: Path) -> None:
    lines = (tiny_world / "third" / "annotation_train.odgt").read_text().splitlines()
    assert len(lines) == 4
    for index, line in enumerate(lines):
        scene = scene_of("third", index)
        drawn = render(scene)
        record = json.loads(line)
        assert (tiny_world / "third" / "Images" / f"{record['ID']}.jpg").is_file()
        assert len(record["gtboxes"]) == len(scene.people)
        for number, box in enumerate(record["gtboxes"]):
            assert box["tag"] == "person" and box["extra"]["box_id"] == number
            corners = {key: np.add(box[key], [0, 0, *box[key][:2]]) for key in ("hbox", "vbox", "fbox")}
            assert np.allclose(corners["hbox"], scene.head_boxes[number], atol=0.02)
            assert np.allclose(corners["fbox"], scene.full_boxes[number], atol=0.02)
            if not box["extra"]["ignore"]:
                assert np.allclose(corners["vbox"], drawn.visible_boxes[number], atol=0.02)
                assert box["vbox"][2] > 0 and box["vbox"][3] > 0


# --- the world as a whole ---------------------------------------------------------------------------------------


def test_manifest_counts_what_is_there(tiny_world: Path) -> None:
    manifest = json.loads((tiny_world / "manifest.json").read_text())
    assert manifest["images"] == {
        "source/train": 4, "source/test": 2, "target/train": 2, "target/test": 2, "third/train": 4,
    }  # fmt: skip
    assert manifest["total_people"] == sum(manifest["people"].values())
    assert manifest["people"]["third/train"] == sum(len(scene_of("third", index).people) for index in range(4))
    assert manifest["files"]["source/segs"] == 6 and manifest["files"]["third/Images"] == 4


def test_fitting_world_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ensure_mini_world(tmp_path / "mini", settings=TINY, progress=False)
    monkeypatch.setattr(mini_world, "_write_world", lambda *_: pytest.fail("made again"))
    assert ensure_mini_world(root, settings=TINY, progress=False) == root


def test_a_world_made_at_another_time_is_the_same_one(
    tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "asctime", lambda *_: "Mon Jan  1 00:00:00 2001")  # scipy dates a .mat by it
    again = ensure_mini_world(tmp_path / "again", settings=TINY, progress=False)
    worlds = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tiny_world, again)
    ]
    assert worlds[0] == worlds[1]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["seed", "settings", "version", "missing file", "broken settings"])
def test_world_that_does_not_fit_is_made_again(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ensure_mini_world(tmp_path / "mini", settings=TINY, progress=False)
    before = json.loads((root / "manifest.json").read_text())
    seed, settings = 0, TINY
    if change == "seed":
        seed = 1
    elif change == "settings":
        settings = replace(TINY, target_test=3)
    elif change == "version":
        monkeypatch.setattr(mini_world, "VERSION", mini_world.VERSION + 1)
    elif change == "missing file":
        next((root / "source").rglob("*.raw")).unlink()
    else:
        (root / "manifest.json").write_text(json.dumps({"generator": before["generator"]}))
    ensure_mini_world(root, seed=seed, settings=settings, progress=False)
    after = json.loads((root / "manifest.json").read_text())
    assert mini_world.is_whole(root, seed, settings)
    assert (after["geometry"] == before["geometry"]) == (change not in ("seed", "settings"))
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]


@pytest.mark.parametrize("manifest", [None, "{", '{"generator": "mine"}', "[]"])
def test_foreign_folder_is_refused_untouched(tmp_path: Path, manifest: str | None) -> None:
    root = tmp_path / "mini"
    root.mkdir()
    (root / "holiday.jpg").write_bytes(b"mine")
    if manifest is not None:
        (root / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match="not a mini world"):
        ensure_mini_world(root, settings=TINY, progress=False)
    assert (root / "holiday.jpg").read_bytes() == b"mine"


def test_a_file_in_the_way_and_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="not a mini world"):
        ensure_mini_world(tmp_path / "file", settings=TINY, progress=False)
    with pytest.raises(InputError, match="cannot make"):
        ensure_mini_world(tmp_path / "file" / "mini", settings=TINY, progress=False)
    (tmp_path / "empty").mkdir()
    assert mini_world.is_whole(ensure_mini_world(tmp_path / "empty", settings=TINY, progress=False), 0, TINY)


@pytest.mark.parametrize("mine", ["notes.txt", "runs/se/model.safetensors", "target/part_B/test_data/images/IMG_1.jpg"])
def test_what_somebody_put_into_a_world_or_changed_there_is_not_lost(
    tmp_path: Path, tiny_world: Path, mine: str
) -> None:
    root = shutil.copytree(tiny_world, tmp_path / "mini")
    (root / mine).parent.mkdir(parents=True, exist_ok=True)
    (root / mine).write_bytes(b"mine")
    assert ensure_mini_world(root, settings=TINY, progress=False) == root  # nothing is missing
    next((root / "source").rglob("*.raw")).unlink()
    with pytest.raises(InputError, match=f"{mine.partition('/')[0]}.* is not the mini world's or was changed"):
        ensure_mini_world(root, settings=TINY, progress=False)
    assert (root / mine).read_bytes() == b"mine"


def test_clutter_of_a_system_does_not_keep_a_world_from_being_made_anew(tmp_path: Path, tiny_world: Path) -> None:
    root = Path(shutil.copytree(tiny_world, tmp_path / "mini"))
    for name in (".DS_Store", "Thumbs.db"):
        (root / name).touch()
        (root / "target/part_B/test_data/images" / name).touch()
    ensure_mini_world(root, seed=5, settings=TINY, progress=False)
    assert mini_world.is_whole(root, 5, TINY)


def test_a_link_to_a_world_stays_one(tmp_path: Path, tiny_world: Path) -> None:
    real = shutil.copytree(tiny_world, tmp_path / "large disk" / "mini")
    (tmp_path / "mini").symlink_to(real)
    ensure_mini_world(tmp_path / "mini", seed=5, settings=TINY, progress=False)
    assert (tmp_path / "mini").readlink() == real and mini_world.is_whole(real, 5, TINY)


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_interruption_leaves_the_old_world_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | BaseException
) -> None:
    root = ensure_mini_world(tmp_path / "mini", settings=TINY, progress=False)
    made = 0

    def stop_half_way(*arguments: object) -> None:
        nonlocal made
        made += 1
        if made == 2:
            raise error

    monkeypatch.setattr(mini_world, "write_shanghaitech", stop_half_way)
    with pytest.raises((KeyboardInterrupt, InputError)):
        ensure_mini_world(root, seed=1, settings=TINY, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]
    assert mini_world.is_whole(root, 0, TINY)


@pytest.mark.slow
def test_leftovers_of_a_killed_run_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".mini.making-abc" / "new" / "source").mkdir(parents=True)
    ensure_mini_world(tmp_path / "mini", settings=TINY, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]


@pytest.mark.slow
def test_callers_at_once_share_one_world(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ensure_mini_world, tmp_path / "mini", settings=TINY, progress=False) for _ in range(4)]
        assert {call.result() for call in calls} == {tmp_path / "mini"}
    assert mini_world.is_whole(tmp_path / "mini", 0, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]


@pytest.mark.slow
def test_worker_processes_make_the_same_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_world, "_FEW", 8)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    root = ensure_mini_world(tmp_path / "mini", settings=TINY, progress=False)
    assert json.loads((root / "manifest.json").read_text())["geometry"] == TINY_GEOMETRY


def dying_worker(image: tuple[Domain, str, int]) -> tuple[None, int, str]:
    if multiprocessing.parent_process() is not None:
        time.sleep(0.01)
        if image[2] == 3:
            os._exit(1)
    return None, image[2], ""


def test_a_worker_that_dies_leaves_the_images_to_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the pool's thread, slowed down here, has no image taken from it while it deals with that: no traceback."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    told = Future.set_exception
    monkeypatch.setattr(Future, "set_exception", lambda image, error: (time.sleep(0.01), told(image, error)))
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    images = [("source", "train", index) for index in range(100)]
    made = mini_world._run(dying_worker, images, 2, progress=False)
    assert made == [(None, index, "") for index in range(100)]
    assert not faults


# --- ended from outside -----------------------------------------------------------------------------------------------
def family(parent: int) -> list[int]:
    """The processes that a process has started, and theirs, as Linux knows them."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    children = [int(number) for task in tasks for number in task.read_text().split()]
    return [*children, *(further for child in children for further in family(child))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(
    ("how", "to_all", "code"),
    [
        (signal.SIGKILL, False, -signal.SIGKILL),
        (signal.SIGTERM, False, 143),
        (signal.SIGTERM, True, 143),  # as `timeout` and a cluster send it
        (signal.SIGHUP, True, 129),  # as a terminal that is closed
        (signal.SIGINT, True, 130),  # as a terminal does at Ctrl-C
    ],
)
def test_who_ends_the_command_ends_its_workers(tmp_path: Path, how: int, to_all: bool, code: int) -> None:
    """And nothing stays of the world in the making; after a kill the next one clears it away."""
    package = str(Path(mini_world.__file__).parents[2])
    program = (
        "import os, signal; os.cpu_count = lambda: 2\n"
        "from sdcda_tutorial.cli import main\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    main(['data', 'mini', '--root', 'world'])\n"
    )
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "here").mkdir()
    command = subprocess.Popen(
        [sys.executable, "../program.py"], cwd=tmp_path / "here", env={**os.environ, "PYTHONPATH": package},
        start_new_session=True, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started: list[int] = []
    try:
        until(lambda: next((tmp_path / "here").rglob("*.jpg"), None))  # they are at work
        started = family(command.pid)
        assert len(started) >= 2
        (os.killpg if to_all else os.kill)(command.pid, how)
        _, err = command.communicate(timeout=30)
        assert command.returncode == code
        until(lambda: not any(alive(pid) for pid in started), seconds=5)
        if how == signal.SIGKILL:
            ensure_mini_world(tmp_path / "here/world", settings=TINY, progress=False)
            assert [path.name for path in (tmp_path / "here").iterdir()] == ["world"]
        else:
            assert list((tmp_path / "here").iterdir()) == []
            last = err.replace("\r", "\n").splitlines()[-1]
            assert last.startswith("sdcda: interrupted") and "Traceback" not in err
    finally:
        command.kill()
        for pid in filter(alive, started):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_script_without_a_main_guard_still_gets_its_world(tmp_path: Path) -> None:
    """Worker processes import the caller's script anew; that must neither hang nor start over and over."""
    script = tmp_path / "careless.py"
    script.write_text(
        "import os; os.cpu_count = lambda: 2\n"
        "from sdcda_tutorial.mini_world import MiniWorldSettings, ensure_mini_world, world\n"
        "world._CHUNK = 2\n"
        f"ensure_mini_world({str(tmp_path / 'mini')!r}, settings={TINY!r}, progress=False)\n"
    )
    package = str(Path(mini_world.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": package}
    run = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert mini_world.is_whole(tmp_path / "mini", 0, TINY)


def test_what_another_world_of_a_similar_name_is_drawn_in_stays(tmp_path: Path) -> None:
    drawn = tmp_path / ".w1.making-abc"
    drawn.mkdir()
    left = tmp_path / ".w[1].making-abc"
    left.mkdir()
    ensure_mini_world(tmp_path / "w[1]", settings=TINY, workers=1, progress=False)
    assert drawn.is_dir() and not left.exists()


def test_a_world_in_the_home_of_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert ensure_mini_world("~/world", settings=TINY, workers=1, progress=False) == tmp_path / "world"
