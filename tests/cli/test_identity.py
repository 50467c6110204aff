"""What was made belongs to the data it was made of, and to the run in whose folder it lies; names prove neither."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from command_line import files, ran, refused, run, small_home
from PIL import Image

from sdcda_tutorial import masks
from sdcda_tutorial.datasets import CrowdDataset, ImageFolder, open_dataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import model_card
from sdcda_tutorial.experiments import pipeline
from sdcda_tutorial.experiments.control_masks import write_control_masks
from sdcda_tutorial.guards.provenance import CONTENTS, IMAGES, forgetting_contents
from sdcda_tutorial.training import checkpoints, saving
from sdcda_tutorial.training.counter_training import AdaptationOnDevice
from sdcda_tutorial.training.mask_model import MASKS, PROVENANCE, refuse_unfit_masks, write_pseudo_masks
from sdcda_tutorial.training.saving import read_log

DEEP = b'{"a":' * 900 + b"1" + b"}" * 900  # Python reads it, and stumbles later
SE = ("train", "--method", "se", "--warm-steps", 0, "--out")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_home(tmp_path_factory.mktemp("home")) as folder:
        ran("data", "mini")
        ran("masks", "--out", "made")
        ran(*SE, "made")
        yield folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A copy of a mask model, its masks, and a finished run."""
    return Path(shutil.copytree("made", tmp_path / "out"))


def complaint_of(*arguments: object) -> str:
    """As `refused`, below what else is told."""
    before, done = files(), run(*arguments)
    assert done.code == 2 and done.out == "" and files() == before, done.err
    return done.complaint


def other_frames(folder: Path, of: Path = Path("data/mini/target/part_B/train_data/images")) -> Path:
    """The same names, and other pictures of the same size."""
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(of.iterdir())):
        with Image.open(path) as image:
            noise = np.random.default_rng(number).integers(0, 256, (image.height, image.width, 3), np.uint8)
        Image.fromarray(noise).save(folder / path.name)
    return folder


def other_world(folder: Path) -> Path:
    """The mini world with a darker source and target: no name and no label differs."""
    shutil.copytree("data/mini", folder)
    for path in (path for part in ("source", "target") for path in (folder / part).rglob("*.jpg")):
        with Image.open(path) as image:
            darker = image.point(lambda value: value // 2)
        darker.save(path)
    return folder


# --- of which data ----------------------------------------------------------------------------------------------------
def test_masks_of_one_video_are_not_those_of_another(tmp_path: Path) -> None:
    first, second = (other_frames(tmp_path / name) for name in ("first", "second"))
    Image.fromarray(np.zeros((96, 112, 3), np.uint8)).save(second / "IMG_2.jpg")
    asked = ("masks", "--segmenter", "made/segmenter/model.safetensors", "--out", tmp_path / "out", "--target")
    ran(*asked, f"images:{first}")
    ran(*asked, f"images:{first}")  # the same again is welcome
    complaint = refused(*asked, f"images:{second}")
    assert f"{tmp_path / 'out' / 'masks'} holds masks made with target: other contents" in complaint
    (second / "IMG_2.jpg").unlink()  # a part of another video, whose masks are all there
    own = ("--masks", tmp_path / "out/masks", "--target", f"images:{second}")
    assert ran(*SE, tmp_path / "part", *own)
    Image.fromarray(np.zeros((96, 112, 3), np.uint8)).save(second / "IMG_2.jpg")
    complaint = refused(*SE, tmp_path / "run", *own)
    assert "holds masks of other images than" in complaint and "1 of 4, first IMG_2.jpg" in complaint
    assert not (tmp_path / "run").exists()


def test_a_run_is_of_its_images_and_of_the_labels_it_learnt_from(out: Path, tmp_path: Path) -> None:
    world = Path(shutil.copytree("data/mini", tmp_path / "world"))
    own = ("--source", f"mini-source:{world}", "--target", f"mini-target:{world}", "--masks", out / "masks", "--resume")
    ran(*SE, out, *own)  # another copy of the same data is the same data
    labels = next(iter(sorted((world / "target/part_B/train_data").glob("ground*/*.mat"))))
    labels.write_bytes(b"the target's labels are nobody's business")
    ran(*SE, out, *own)
    mat = next(iter(sorted((world / "source").glob("*/mats/*.mat"))))
    corrected = scipy.io.loadmat(mat)
    corrected["image_info"]["location"][0, 0] = np.array([[3, 4]])
    scipy.io.savemat(mat, {key: value for key, value in corrected.items() if not key.startswith("__")})
    assert f"{out}/se/config.json was started with source_data: other contents" in complaint_of(*SE, out, *own)


def test_what_methods_share_is_not_shared_between_data(tmp_path: Path) -> None:
    asked = ("train", "--method", "noadapt", "--out", tmp_path / "out")
    ran(*asked)
    world = other_world(tmp_path / "world")
    complaint = refused("train", "--method", "fd", "--out", tmp_path / "out", "--source", f"mini-source:{world}")
    assert "warm_start/config.json was started with source_data: other contents" in complaint


def test_a_change_that_leaves_size_and_time_as_they_were_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sdcda_tutorial.datasets.contents.WORTH_KEEPING", 1)
    monkeypatch.setattr("sdcda_tutorial.datasets.contents._SETTLED", 0)
    data = ImageFolder(other_frames(tmp_path / "images"))
    before, path = data.describe(), data.image_paths[1]
    opened: list[Path] = []
    digest = "sdcda_tutorial.datasets.contents.file_digest"
    read = lambda path: (opened.append(path), checkpoints.hashlib.sha256(path.read_bytes()).hexdigest()[:16])[1]  # noqa: E731
    monkeypatch.setattr(digest, read)
    assert data.describe() == before and not opened, "known"
    times, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-3] + b"abc")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_mtime_ns == times.st_mtime_ns and path.stat().st_size == times.st_size
    assert data.describe()["contents_sha256"] != before["contents_sha256"] and opened == [path]
    path.write_bytes(content)
    assert data.describe() == before
    for damage in ("", "{", "[1]", '{"a": 1}', '{"a": [[1], 2, 3]}'):
        next((tmp_path / "cache").rglob("contents_*.json")).write_text(damage)
        assert data.describe() == before


def test_every_label_counts_and_only_labels_that_are_read(tmp_path: Path) -> None:
    world = Path(shutil.copytree("data/mini", tmp_path / "world"))
    seen = set()
    for domain, pattern in (("source", "*/mats/*.mat"), ("source", "*/segs/*.raw"), ("third", "*.odgt")):
        data = lambda domain=domain: open_dataset(f"mini-{domain}:{world}", "train")  # noqa: E731
        images, all_of_it = (data().describe(labelled=labelled)["contents_sha256"] for labelled in (False, True))
        path = next(iter(sorted((world / domain).glob(pattern))))
        text = path.read_bytes()
        path.write_bytes(text.replace(b'"person"', b'"mask"', 1) if domain == "third" else b"\0" + text[1:] + b"\0")
        assert data().describe(labelled=False)["contents_sha256"] == images
        assert data().describe()["contents_sha256"] not in {all_of_it, images} | seen
        seen |= {images, all_of_it}
        path.write_bytes(text)


def test_a_run_from_before_contents_were_recorded_goes_on(out: Path) -> None:
    for name in ("se", "segmenter"):
        path = out / name / "config.json"
        config = json.loads(path.read_text())
        config = {k: {a: b for a, b in v.items() if a != "contents_sha256"} if "_data" in k and v else v
                  for k, v in config.items()}  # fmt: skip
        path.write_text(json.dumps(config))
    ran(*SE, out, "--resume")
    assert "contents_sha256" in (out / "se/config.json").read_text(), "from now on they are"


def test_a_run_goes_on_with_the_same_images_elsewhere_and_its_card_says_what_they_are(
    out: Path, tmp_path: Path
) -> None:
    """A copy without the manifest of a mini world holds the same; and 0.1.0 did not say what is of a mini world."""
    copy = tmp_path / "copy"
    shutil.copytree("data/mini", copy, ignore=shutil.ignore_patterns("manifest.json"))
    config = out / "se" / "config.json"
    assert json.loads(config.read_text())["source_data"]["world"] == "mini world"
    elsewhere = ("--source", f"mini-source:{copy}", "--target", f"mini-target:{copy}", "--boxes", f"mini-third:{copy}")
    ran(*SE, out, *elsewhere, "--resume")
    assert "world" not in json.loads(config.read_text())["source_data"]
    ran(*SE, out, "--resume")
    assert json.loads(config.read_text())["source_data"]["world"] == "mini world"


@pytest.mark.slow
def test_figures_are_of_the_model_and_the_data_that_are_there(tmp_path: Path) -> None:
    asked = ("benchmark", "--methods", "noadapt", "--seeds", 1, "--out", tmp_path)
    table = ran(*asked)
    run = tmp_path / "seed_1/noadapt"
    for name in ("target.json", "alignment.json"):
        stored = json.loads((run / name).read_text())
        about = stored.get("about", stored)
        about["weights_sha256"] = "of the model that was here before"
        stored |= {"totals": {}, "rows": [{**row, "predicted": 1e6} for row in stored.get("rows", [])]}
        (run / name).write_text(json.dumps(stored))
    assert ran(*asked) == table


# --- a finished run is opened before it is believed -------------------------------------------------------------------
def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 255  # a weight
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": cut,
    "garbled": garble,
    "of another run": lambda path: shutil.copy(path.parent.parent / "segmenter" / path.name, path),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["model.safetensors", "last.safetensors"])
def test_a_damaged_model_or_checkpoint_is_named(name: str, damage: str, out: Path) -> None:
    path = out / "se" / name
    DAMAGE[damage](path)
    complaint = complaint_of(*SE, out, "--resume")
    if name == "last.safetensors" and damage == "missing":
        assert f"{out}/se/model.safetensors is there, but not {name}" in complaint and "restore that" in complaint
        return
    assert str(path) in complaint and ("restore it" in complaint or "choose another --out" in complaint)


@pytest.mark.parametrize("part", ["se", "segmenter"])
def test_a_model_that_lies_where_a_run_would_be_is_not_replaced(part: str, out: Path, tmp_path: Path) -> None:
    asked = (*SE, tmp_path / "new") if part == "se" else ("masks", "--out", tmp_path / "new")
    (tmp_path / "new" / part).mkdir(parents=True)
    for name in ("model.safetensors", "epoch_0001.safetensors", "metrics.jsonl"):
        path = tmp_path / "new" / part / name
        shutil.copy(out / part / name.replace("epoch_0001", "model"), path)
        assert f"{path} is of no run that is known here; move it away or choose another --out" in complaint_of(*asked)
        path.unlink()
    path = tmp_path / "new/warm_start/model.safetensors"  # before the parts that come before it
    path.parent.mkdir()
    shutil.copy(out / part / "model.safetensors", path)
    assert f"{path} is of no run" in complaint_of("train", "--method", "fd", "--out", tmp_path / "new")


def test_a_part_that_methods_share_is_not_trained_anew_for_want_of_its_checkpoint(out: Path) -> None:
    (out / "segmenter/last.safetensors").unlink()
    complaint = complaint_of("masks", "--out", out)
    assert f"{out}/segmenter/model.safetensors is there, but not last.safetensors" in complaint


def test_control_masks_are_of_their_images_too(tmp_path: Path, out: Path) -> None:
    target, other = (open_dataset(f"images:{other_frames(tmp_path / name)}") for name in ("first", "second"))
    path = tmp_path / "second/IMG_2.jpg"
    Image.fromarray(np.zeros((96, 112, 3), np.uint8)).save(path)
    predicted = write_pseudo_masks(out / "segmenter/model.safetensors", target, tmp_path / "predicted")
    folder = write_control_masks("dilated", target, predicted, tmp_path / "dilated")
    assert write_control_masks("dilated", target, predicted, folder) == folder
    asked = (*SE, tmp_path / "run", "--masks", folder, "--target")
    assert "holds masks of other images than" in refused(*asked, f"images:{tmp_path / 'second'}")
    for kind in ("dilated", "perfect"):  # of earlier versions, which noted no images: theirs are welcome
        old = write_control_masks(kind, target, predicted, tmp_path / f"old_{kind}") / PROVENANCE
        stored = json.loads(old.read_text())
        old.write_text(json.dumps({k: v for k, v in stored.items() if k not in (IMAGES, MASKS)}))
        for part in (target, target.subset([0, 1])):
            refuse_unfit_masks(old.parent, part)
    stored = json.loads((folder / PROVENANCE).read_text())
    (folder / PROVENANCE).write_text(json.dumps({k: v for k, v in stored.items() if k not in (IMAGES, MASKS)}))
    assert "holds control masks of another target" in refused(
        *asked, f"images:{tmp_path / 'second'}"
    )  # of old versions
    (folder / PROVENANCE).write_text(json.dumps(stored))
    masks.write_png(folder / "IMG_2.jpg.png", 1 - masks.read_png(folder / "IMG_2.jpg.png"))
    with pytest.raises(InputError, match=r"IMG_2\.jpg\.png is not the mask that was written there"):
        write_control_masks("dilated", target, predicted, folder)
    (folder / PROVENANCE).write_text(json.dumps(stored | {MASKS: {}}))  # killed before it was noted
    with pytest.raises(InputError, match=r"IMG_2\.jpg\.png is not the mask that was written there"):
        write_control_masks("dilated", target, predicted, folder)
    with pytest.raises(InputError, match="holds masks made with target: other contents"):
        write_control_masks("dilated", other, predicted, folder)


def test_the_card_says_whose_masks_they_were(out: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(out / "masks", tmp_path / "masks"))
    masks.write_png(changed / "IMG_2.png", 1 - masks.read_png(changed / "IMG_2.png"))
    ran(*SE, tmp_path / "changed", "--masks", changed)
    assert ", 1 of them changed since" in model_card.text(tmp_path / "changed/se/model.safetensors")
    target = open_dataset("mini-target:data/mini")
    perfect = write_control_masks("perfect", target, out / "masks", tmp_path / "perfect")
    ran(*SE, tmp_path / "control", "--masks", perfect)
    text = model_card.text(tmp_path / "control/se/model.safetensors")
    assert re.search(r"target .*; pseudo-masks [0-9a-f]{16}, a control: perfect", text)


def test_masks_of_another_size_are_told_before_the_training(out: Path, tmp_path: Path) -> None:
    photos = other_frames(tmp_path / "photos")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(photos / "A.jpg")  # the first is of one size with its mask
    asked = ("masks", "--segmenter", out / "segmenter/model.safetensors", "--target", f"images:{photos}")
    ran(*asked, "--size", 64, "--out", tmp_path / "small")
    complaint = refused(*SE, tmp_path / "run", "--masks", tmp_path / "small/masks", "--target", f"images:{photos}")
    assert "is 64x55 and its image here 112x96; give the --size that the masks were made at" in complaint
    assert not (tmp_path / "run").exists()


def test_a_broken_image_makes_a_run_forget_its_own_set_only(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = out / "se/config.json"
    then = json.loads(config.read_text())
    with pytest.raises(InputError), forgetting_contents(config, data="target_data"):
        raise InputError("an image is broken")
    now = json.loads(config.read_text())
    assert CONTENTS not in now["target_data"] and now["source_data"] == then["source_data"]
    done = run(*SE, out, "--resume")
    assert done.code == 0 and "goes on with" not in done.err  # it holds what it held
    assert json.loads(config.read_text()) == then


def test_a_run_that_goes_on_with_mended_data_says_so_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its model is not chosen by errors on the old, and the warm start, which met nothing broken, goes with it."""
    world = Path(shutil.copytree("data/mini", tmp_path / "world"))
    pictures = open_dataset(f"mini-source:{world}", "train").image_paths
    whole = [path.read_bytes() for path in pictures]
    asked = ("train", "--method", "noadapt", "--out", tmp_path / "out", "--source", f"mini-source:{world}", "--resume")
    folder, save = tmp_path / "out/noadapt", saving.RunFolder.save

    def breaking(self: saving.RunFolder, step: int, *often: int) -> None:
        save(self, step, *often)
        for path in pictures if self.folder == folder and step == 1 else ():
            cut(path)

    monkeypatch.setattr(saving, "SAVE_AFTER", 0.0)  # after every step
    monkeypatch.setattr(CrowdDataset, "cache_if_small", lambda self: self)
    with monkeypatch.context() as patch:
        patch.setattr(saving.RunFolder, "save", breaking)
        assert "cannot be decoded" in complaint_of_masks(*asked)
    state = checkpoints.read_card(folder / "last.safetensors")["state"]
    then = state["contents"]["source_data"]
    for path, content in zip(pictures, whole, strict=True):
        with Image.open(io.BytesIO(content)) as image:
            image.save(path, quality=80)
    done = run(*asked)
    assert done.code == 0 and state["step"] == 1
    assert f"{folder} goes on with the source as it is now; the 1 steps before had another" in done.err
    before = checkpoints.read_card(folder / "last.safetensors")["state"]["contents_before"]
    assert before == [{"until_step": 1, "source_data": then}]
    card = checkpoints.read_card(folder / "model.safetensors")  # chosen by what the source holds now
    assert card["chosen"]["step"] == 2 and card["contents_before"] == before
    assert f"; until step 1 contents {then}" in model_card.text(folder / "model.safetensors")
    assert "goes on with" not in run(*asked).err  # it is said, and known from now on


def test_a_checkpoint_of_other_data_of_the_same_names_is_not_this_runs(tmp_path: Path) -> None:
    asked = ("train", "--method", "noadapt", "--warm-steps", 0, "--resume", "--out")
    world = other_world(tmp_path / "world")
    ran(*asked, tmp_path / "first")
    ran(*asked, tmp_path / "second", "--source", f"mini-source:{world}")
    for name in ("last.safetensors", "model.safetensors", "metrics.jsonl"):
        shutil.copy(tmp_path / "second/noadapt" / name, tmp_path / "first/noadapt" / name)
    complaint = refused(*asked, tmp_path / "first")
    assert "last.safetensors is of a run on other contents of the source_data; restore it" in complaint


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbled"])
def test_the_last_model_is_written_again_from_the_checkpoint(damage: str, out: Path) -> None:
    path = out / "segmenter/model.safetensors"
    weights = checkpoints.weights_digest(path)
    DAMAGE[damage](path)
    ran("masks", "--out", out)
    assert checkpoints.weights_digest(path) == weights
    shutil.copy(out / "se/model.safetensors", path)
    assert f"{path} is not the model of this run" in complaint_of("masks", "--out", out)


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbled"])
def test_a_damaged_mask_is_made_again(damage: str, out: Path) -> None:
    path = out / "masks/IMG_2.png"
    whole = masks.read_png(path)
    DAMAGE[damage](path)
    ran("masks", "--out", out)
    assert np.array_equal(masks.read_png(path), whole)


def test_a_mask_that_was_changed_is_not_taken_for_the_one_that_was_made(out: Path) -> None:
    path = out / "masks/IMG_2.png"
    whole = path.read_bytes()
    masks.write_png(path, 1 - masks.read_png(path))
    assert f"{path} is not the mask that was written there; remove it" in complaint_of("masks", "--out", out)
    ran(*SE, out.parent / "another", "--masks", out / "masks")  # masks of one's own are no fault
    path.unlink()
    ran("masks", "--out", out)
    assert path.read_bytes() == whole


def test_a_mask_that_a_kill_left_unnoted_is_compared_with_its_prediction(out: Path) -> None:
    """It may have been changed since, by somebody whose work must not be lost either."""
    provenance = out / "masks/provenance.json"
    noted = json.loads(provenance.read_text())
    path = next((out / "masks").rglob("*.png"))
    whole = path.read_bytes()
    provenance.write_text(json.dumps(noted | {"masks_sha256": {}}))
    ran("masks", "--out", out)
    assert path.read_bytes() == whole and json.loads(provenance.read_text()) == noted
    masks.write_png(path, 1 - masks.read_png(path))
    changed = path.read_bytes()
    provenance.write_text(json.dumps(noted | {"masks_sha256": {}}))
    assert f"{path} is not the mask that was written there" in complaint_of("masks", "--out", out)
    assert path.read_bytes() == changed
    path.unlink()
    ran("masks", "--out", out)
    assert path.read_bytes() == whole and json.loads(provenance.read_text()) == noted


def test_masks_of_a_model_that_is_not_here_are_told_before_one_is_trained(out: Path) -> None:
    shutil.rmtree(out / "segmenter")
    shutil.rmtree(out / "se")
    complaint = complaint_of_masks(*SE, out)
    assert "holds masks of a mask model that is not here; to learn from these, name the folder as --masks" in complaint
    assert not (out / "segmenter").exists()


def test_a_checkpoint_without_its_configuration_is_told_with_what_to_do(out: Path) -> None:
    (out / "se/config.json").unlink()
    assert "by which last.safetensors is known, is gone; restore it or choose another" in complaint_of(
        *SE, out, "--resume"
    )


@pytest.mark.slow
def test_damaged_files_of_a_run_are_named(out: Path) -> None:
    log = out / "se/metrics.jsonl"
    last = out / "se/last.safetensors"
    tensors, card = checkpoints.load(last)
    lines = log.read_text().splitlines()
    damages: list[tuple[Path, bytes | None]] = [
        (log, "\n".join([lines[0], damaged, *lines[1:]]).encode("utf-8", "surrogateescape"))
        for damaged in ("", "{", "[]", "1", '"a"', "null", '{"density": 1}', '{"step": "1"}', '{"step": [1]}',
                        '{"step": 1, "density": "x"}', "\udcff", "[" * 100_000)
    ]  # fmt: skip
    damages += [
        (log, None),
        *((out / "se/config.json", text) for text in (b"", b"{", b"[1]", b"null", b'"a"', b"\xff", DEEP)),
    ]
    damages += [(out / "masks/provenance.json", text) for text in (b"", b"[]", b"1")]
    for path, content in damages:
        whole = path.read_bytes()
        path.unlink() if content is None else path.write_bytes(content)
        complaint = complaint_of(*SE, out, "--resume")
        assert str(path) in complaint and ("damaged" in complaint or "restore" in complaint), content
        if path == log and content is not None:
            assert "is damaged in line 2;" in complaint
        path.write_bytes(whole)
    for key, values in {
        "state": [None, [], "x"], "step": ["x", None, [], -3, 10**6], "seconds": ["x"],
        "best": [None, 1, {}, {"step": 1, "validation": math.nan}], "hardware": [[{"device": {}}]],
        "contents_before": [[{"source_data": 5}], [{"until_step": "a"}]],
    }.items():  # fmt: skip
        for value in values:
            state = value if key == "state" else {**card["state"], "log_sha256": None, key: value}
            checkpoints.save(last, tensors, {**card, "state": state})
            assert str(last) in complaint_of(*SE, out, "--resume"), (key, value)


def test_no_remedy_is_to_delete_what_a_run_needs(out: Path) -> None:
    (out / "se/config.json").write_text("{")
    assert "restore it, or move the folder away to train anew" in complaint_of(*SE, out, "--resume")


def test_a_card_that_was_changed_is_seen(out: Path) -> None:
    last = out / "se/last.safetensors"
    content = last.read_bytes()
    assert content.count(rb"\"step\": 2, ") == 1
    last.write_bytes(content.replace(rb"\"step\": 2, ", rb"\"step\": 1, "))
    assert "its card is not the one that was written" in complaint_of(*SE, out, "--resume")


@pytest.mark.slow
def test_damaged_results_of_a_benchmark_are_named(tmp_path: Path) -> None:
    asked = ("benchmark", "--methods", "noadapt", "--seeds", 1, "--out", tmp_path)
    table = ran(*asked)
    beside = tmp_path / "seed_1/noadapt"
    broken = [b"", b"[]", b'{"rows": [], "about": {}}', b'{"rows": [{}], "about": {}, "seeds": 1}']
    for path in (
        tmp_path / "results.json",
        beside / "target.json",
        beside / "alignment.json",
        tmp_path / "cells.jsonl",
    ):
        whole = path.read_bytes()
        for content in broken:
            path.write_bytes(content)
            before, done = files(tmp_path), run(*asked)
            if done.code == 0:  # what says nothing of what is asked is measured again
                assert done.out == table
            else:
                assert done.code == 2 and str(path) in done.complaint and files(tmp_path) == before, (path, content)
            path.write_bytes(whole)


def test_the_log_that_demos_replay_names_a_damaged_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "density": 0.5}\n{"step": 2,\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged in line 2"):
        read_log(tmp_path / "metrics.jsonl")


# --- what an attack found ---------------------------------------------------------------------------------------------
def test_masks_of_the_images_before_are_not_kept_beside_a_broken_one(tmp_path: Path) -> None:
    first, second = (other_frames(tmp_path / name) for name in ("first", "second"))
    for path in sorted(second.iterdir())[:3]:
        Image.fromarray(np.zeros((96, 112, 3), np.uint8)).save(path)
    asked = ("masks", "--segmenter", "made/segmenter/model.safetensors", "--out", tmp_path / "out", "--target")
    last = sorted(first.iterdir())[-1]
    whole = last.read_bytes()
    cut(last)
    assert str(last) in complaint_of_masks(*asked, f"images:{first}")
    shutil.copytree(first, tmp_path / "kept")
    for path in second.iterdir():
        shutil.copy(path, first)
    assert "other contents" in refused(*asked, f"images:{first}") or "images_sha256" in refused(
        *asked, f"images:{first}"
    )
    for path in (tmp_path / "kept").iterdir():
        shutil.copy(path, first)
    last.write_bytes(whole)  # mended: it goes on
    ran(*asked, f"images:{first}")


def complaint_of_masks(*arguments: object) -> str:
    done = run(*arguments)
    assert done.code == 2
    return done.complaint


@pytest.mark.slow
def test_a_translated_source_that_is_damaged_says_how_to_go_on(tmp_path: Path) -> None:
    asked = ("train", "--method", "cyclegan", "--out", tmp_path)
    ran(*asked)
    picture = sorted((tmp_path / "cyclegan-source").glob("*/jpgs/*.jpg"))[0]
    picture.unlink()
    complaint = complaint_of(*asked, "--resume")
    assert (
        f"{tmp_path / 'cyclegan-source'} is damaged" in complaint
        and "remove it, and it is translated again" in complaint
    )


@pytest.mark.slow
def test_an_edited_picture_of_a_translated_source_is_no_translation(tmp_path: Path) -> None:
    ran("train", "--method", "cyclegan", "--out", tmp_path)
    for part in ("cyclegan", "cyclegan-warm_start"):  # whoever trains anew would learn from it
        shutil.rmtree(tmp_path / part)
    asked = ("train", "--method", "cyclegan", "--out", tmp_path, "--resume")
    for pattern in ("*/jpgs/*.jpg", "*/mats/*.mat"):
        file = sorted((tmp_path / "cyclegan-source").glob(pattern))[0]
        before = file.read_bytes()
        shutil.copy(sorted((tmp_path / "cyclegan-source").glob(pattern))[1], file)
        name = f"{file.parts[-3]}/{file.stem}"
        assert f"1 images or their labels were changed, first {name}); remove it" in complaint_of(*asked)
        file.write_bytes(before)
    ran(*asked)


@pytest.mark.slow
def test_a_source_that_breaks_while_it_is_translated_can_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Path(shutil.copytree("data/mini", tmp_path / "world"))
    asked = ("train", "--method", "cyclegan", "--out", tmp_path / "out", "--source", f"mini-source:{world}")
    picture = open_dataset(f"mini-source:{world}", "train").image_paths[3]
    translate, whole = pipeline.translate, picture.read_bytes()

    def breaking(*arguments: object, **options: object) -> Path:
        cut(picture)
        return translate(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(CrowdDataset, "cache_if_small", lambda self: self)  # which would still have it
    monkeypatch.setattr(pipeline, "translate", breaking)
    assert f"{picture} cannot be decoded" in complaint_of_masks(*asked)
    monkeypatch.setattr(pipeline, "translate", translate)
    with Image.open(io.BytesIO(whole)) as image:
        image.save(picture, quality=80)  # a copy of it, but not the same bytes
    done = run(*asked)
    assert done.code == 0 and "goes on with the source as it is now" in done.err


def test_masks_of_another_model_or_target_are_told_before_a_mask_model_is_trained(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_: object, **__: object) -> None:
        raise AssertionError("the mask model is trained")

    monkeypatch.setattr(pipeline, "train_segmenter", begin)
    frames = other_frames(tmp_path / "frames")
    complaint = refused("train", "--method", "se+fd", "--out", out, "--target", f"images:{frames}", "--boxes", "mini")
    assert f"{out / 'masks'} holds masks made with target:" in complaint
    other = out / "other.safetensors"
    tensors, card = checkpoints.load(out / "segmenter/model.safetensors")
    checkpoints.save(other, {name: tensor + 1 for name, tensor in tensors.items()}, card)
    complaint = refused("train", "--method", "se+fd", "--out", out, "--segmenter", other)
    assert f"{out / 'masks'} holds masks made with weights_sha256 = " in complaint


def test_an_interrupted_dry_run_promises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing that `--resume` could go on from."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AdaptationOnDevice, "step", interrupted)
    for more in ((), ("--dry-run",)):
        done = run(*SE, tmp_path / f"{len(more)}", "--masks", "made/masks", *more)
        assert done.code == 130 and "sdcda: interrupted" in done.err
        assert ("--resume goes on where it was" in done.err) == (not more)


def test_a_run_that_goes_on_in_another_way_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (*SE, tmp_path, "--masks", "made/masks")
    step, done_steps = AdaptationOnDevice.step, 0

    def interrupted(self: AdaptationOnDevice, *batch: Any) -> dict[str, Any]:
        nonlocal done_steps
        done_steps += 1
        if done_steps == 2:
            raise KeyboardInterrupt
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(AdaptationOnDevice, "step", interrupted)
        patch.setattr(saving, "SAVE_AFTER", 0.0)  # after every step
        assert run(*asked, "--precision", "32-true").code != 0
    shutil.copytree(tmp_path / "se", tmp_path / "same")
    ran(*asked, "--precision", "32-true", "--resume")
    card = checkpoints.read_card(tmp_path / "se/model.safetensors")
    assert card["hardware"]["precision"] == "32-true" and "hardware_before" not in card
    done = run(*asked, "--precision", "bf16-mixed", "--accumulate", 2, "--resume")  # it is finished: nothing goes on
    assert done.code == 0 and "note" not in done.err
    shutil.rmtree(tmp_path / "se")
    shutil.move(tmp_path / "same", tmp_path / "se")
    done = run(*asked, "--precision", "bf16-mixed", "--accumulate", 2, "--resume")
    notes = [line for line in done.err.splitlines() if line.startswith("note")]
    assert notes == [
        f"note: {tmp_path / 'se'} goes on with precision bf16-mixed, not 32-true",
        f"note: {tmp_path / 'se'} goes on with micro_batches 2, not 1",
    ]
    card = checkpoints.read_card(tmp_path / "se/model.safetensors")
    assert card["hardware_before"] == [card["hardware"] | {"precision": "32-true", "micro_batches": 1}]
    (made,) = re.findall("^  made +(.*)$", model_card.text(tmp_path / "se/model.safetensors"), flags=re.M)
    device = card["hardware"]["device"]
    assert f" s on {device}, bf16-mixed in 2 micro-batches; begun on {device}, 32-true; " in made


def test_a_demo_of_another_seed_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "demo/noadapt").mkdir(parents=True)
    (tmp_path / "demo/noadapt/config.json").write_text('{"seed": 1}')
    before = files(tmp_path)
    assert f"{tmp_path}/demo/noadapt holds a run of another seed" in refused("demo", "--out", tmp_path / "demo")
    assert files(tmp_path) == before


def test_a_cached_set_is_known_by_what_it_was_read_from(tmp_path: Path) -> None:
    world = Path(shutil.copytree("data/mini", tmp_path / "world"))
    data = open_dataset(f"mini-target:{world}", "test", cache=True)
    sample, before = data[0], data.describe()
    mat, other = sorted((world / "target/part_B/test_data").glob("ground*/*.mat"))[:2]
    whole = mat.read_bytes()
    mat.write_bytes(b"changed")
    assert data.describe() == before and data[0] is sample
    other.write_bytes(whole)  # of a sample that nobody has read yet
    assert data.describe() != before and data[1].count == sample.count
    before = data.describe()
    assert before == data.describe()
    assert open_dataset(f"mini-target:{world}", "test").describe() != before


def test_nobodys_file_in_a_world_is_removed(tmp_path: Path) -> None:
    ran("data", "mini", "--root", tmp_path / "world")
    (tmp_path / "world/target/.DS_Store").touch()
    before = files(tmp_path / "world")
    ran("data", "mini", "--root", tmp_path / "world")
    assert files(tmp_path / "world") == before
    (tmp_path / "world/target/notes.txt").write_text("mine")
    assert "world/target is not the mini world's or" in refused("data", "mini", "--root", tmp_path / "world")


def test_a_model_of_nans_is_not_evaluated(tmp_path: Path) -> None:
    tensors, card = checkpoints.load("made/se/model.safetensors")
    broken = {name: tensor * float("nan") if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    checkpoints.save(tmp_path / "nan.safetensors", broken, card)
    complaint = complaint_of("evaluate", "--checkpoint", tmp_path / "nan.safetensors", "--out", tmp_path / "e")
    assert "nan.safetensors is not a number" in complaint


def test_splits_of_a_set_share_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sdcda_tutorial.datasets.contents.WORTH_KEEPING", 1)
    monkeypatch.setattr("sdcda_tutorial.datasets.contents._SETTLED", 0)
    world = Path(shutil.copytree("data/mini", tmp_path / "world"))
    opened: list[Path] = []
    digest = checkpoints.hashlib.sha256
    read = lambda path: (opened.append(path), digest(path.read_bytes()).hexdigest()[:16])[1]  # noqa: E731
    monkeypatch.setattr("sdcda_tutorial.datasets.contents.file_digest", read)
    for _ in range(2):
        monkeypatch.setattr("sdcda_tutorial.datasets.contents._KNOWN", {})  # another process
        for split in ("train", "test"):
            open_dataset(f"mini-source:{world}", split).describe()
    assert len(opened) == len(set(opened)) == 30


def test_masks_of_scenes_that_are_linked_are_masks(out: Path, tmp_path: Path) -> None:
    """Scenes on another disk: their masks are read, so they are in the digest, and a change of them is seen."""
    disk, target = tmp_path / "disk", ("--target", "mini-source:data/mini")
    ran("masks", *target, "--segmenter", out / "segmenter/model.safetensors", "--out", tmp_path / "m")
    disk.mkdir()
    for scene in [path for path in (tmp_path / "m/masks").iterdir() if path.is_dir()]:
        shutil.move(scene, disk)
        scene.symlink_to(disk / scene.name)
    asked = (*SE, tmp_path / "run", *target, "--masks", tmp_path / "m/masks")
    ran(*asked)
    ran(*asked, "--resume")
    mask = next(disk.rglob("*.png"))
    masks.write_png(mask, 1 - masks.read_png(mask))
    assert "was started with pseudo_masks = " in complaint_of(*asked, "--resume")


def test_a_folder_that_is_called_as_a_bundled_model_is_not_passed_over(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's own run of NoAdapt, evaluated from beside it: the bundled counter was counted with."""
    (tmp_path / "noadapt").mkdir()
    shutil.copy(out / "se/model.safetensors", tmp_path / "noadapt")
    monkeypatch.chdir(tmp_path)
    for name in ("noadapt", "./noadapt", "noadapt/"):
        complaint = refused("evaluate", "--checkpoint", name, "--target", f"shanghaitech-b:{tmp_path}")
        assert "noadapt is a bundled model and a folder here; name noadapt/model.safetensors" in complaint


def test_names_too_long_for_their_masks_are_told_before_the_mask_model_is_trained(tmp_path: Path) -> None:
    photos = other_frames(tmp_path / "photos")
    (photos / "IMG_1.jpg").rename(photos / f"{'x' * 249}.jpg")
    assert "is longer than this disk allows" in refused(
        "masks", "--target", f"images:{photos}", "--boxes", "mini", "--out", tmp_path / "out"
    )
    with pytest.raises(InputError, match="pseudo-masks are missing"):
        refuse_unfit_masks(tmp_path, open_dataset(f"images:{photos}"))
