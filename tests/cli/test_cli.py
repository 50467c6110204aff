"""The command line as a user meets it: the tour of the README on a world of a few images, and all that goes wrong.

Commands run in this process (`main([...])`), where torch is imported once; a few in a Python of their own.

Real files: set SDCDA_REAL_DATA to a folder with `unity_crowd` and `shanghaitech_sample/part_B`.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from command_line import Done, files, ran, refused, run, small_home
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdcda_tutorial import masks, places
from sdcda_tutorial.cli import doctor
from sdcda_tutorial.datasets.images import read_image
from sdcda_tutorial.evaluation.results import Results, predict_density
from sdcda_tutorial.experiments import presets
from sdcda_tutorial.training.checkpoints import load, load_counter, save

COMMANDS = ["doctor", "data mini", "data make", "masks", "train", "evaluate", "predict", "benchmark", "demo"]
MODEL = "runs/mini/{}/model.safetensors"
MODELS = {method: MODEL.format(method) for method in ("noadapt", "se", "fd", "se+fd")}
PHOTOS = "data/mini/target/part_B/test_data/images"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in."""
    with small_home(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.fixture(scope="module")
def trained(home: Path) -> dict[str, str]:
    """What the first commands of the tour print, with all four methods trained in runs/mini."""
    printed = {"data": ran("data", "mini"), "masks": ran("masks")}
    return printed | {method: ran("train", "--method", method) for method in MODELS}


def photograph(path: Path, size: tuple[int, int] = (40, 56), seed: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


# --- help and the cost of looking at it -------------------------------------------------------------------------------
def test_a_python_of_its_own_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy; sys.argv = ['sdcda', '--help']\n"
        "try: runpy.run_module('sdcda_tutorial', run_name='__main__')\n"
        "finally: print('loaded:', {'torch', 'matplotlib', 'numpy', 'lightning_fabric'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0 and done.stderr == ""
    assert "loaded: set()" in done.stdout
    assert set(re.findall(r"^  ([a-z]+)  ", done.stdout, flags=re.M)) == {name.split()[0] for name in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    text = ran(*command.split(), "--help")
    assert text.startswith(f"Usage: sdcda {command} ")
    options = re.findall(r"^  --[a-z-]+.*(?:\n {10,}.*)*", text, flags=re.M)
    assert options and all(len(option.split()) > 2 for option in options), "an option without a word of help"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("demo", "folder for runs and results"),
        ("evaluate", "labelled data set to measure on, such as shanghaitech-b:ROOT"),
        ("benchmark", "results.json covers the seeds of this call"),
    ],
)
def test_the_help_says_what_is_so(command: str, says: str) -> None:
    assert says in " ".join(ran(command, "--help").split())


def test_the_bare_command_shows_the_help() -> None:
    assert run() == Done(0, ran("--help"), "")


# --- the tour ---------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_mini_world_is_made_where_one_says_and_once(tmp_path: Path) -> None:
    root = tmp_path / "world"
    assert ran("data", "mini", "--root", root, "--seed", 5) == f"the mini world is in {root}\n"
    made = files(root)
    assert {str(root / "manifest.json"), str(root / "source/train.txt")} <= made.keys()
    ran("data", "mini", "--root", root, "--seed", 5)
    assert files(root) == made
    for other in ([], ["--seed", 6]):  # the world may have been learnt from
        complaint = refused("data", "mini", "--root", root, *other)
        assert f"{root} is the world of seed 5; give --seed 5, or another --root" in complaint


@pytest.mark.slow
def test_masks_are_one_picture_an_image(trained: dict[str, str]) -> None:
    assert trained["masks"] == "the pseudo-masks are in runs/mini/masks\n"
    assert {path.name for path in Path("runs/mini/masks").iterdir()} == {
        *(f"IMG_{number}.png" for number in range(1, 5)),
        "provenance.json",
    }
    assert masks.read_png("runs/mini/masks/IMG_1.png").shape == (96, 112)


def test_masks_takes_its_options_from_the_command_line(trained: dict[str, str], tmp_path: Path) -> None:
    given = ("--steps", 1, "--scale", "0.5,2", "--threshold", 0.9, "--size", "64x80", "--seed", 3)
    ran("masks", "--target", "mini-target:data/mini", "--boxes", "mini-third:data/mini", "--out", tmp_path, *given)
    config = json.loads((tmp_path / "segmenter/config.json").read_text())
    assert (config["steps"], config["augmentation"]["scale"], config["seed"]) == (1, [0.5, 2], 3)
    assert json.loads((tmp_path / "masks/provenance.json").read_text())["threshold"] == 0.9
    assert masks.read_png(tmp_path / "masks/IMG_1.png").shape == (64, 80)


def test_train_makes_the_networks_that_the_method_asks_for(trained: dict[str, str]) -> None:
    terms = {}
    for method, path in MODELS.items():
        assert trained[method] == f"the model is {path}\n"
        load_counter(path)
        lines = [json.loads(line) for line in Path(path).with_name("metrics.jsonl").read_text().splitlines()]
        terms[method] = set().union(*lines) - {"step", "validation"}
    se, fd = {"seg_source", "seg_target"}, {"adversarial", "discriminator", "D_accuracy"}
    assert terms == {
        "noadapt": {"density"}, "se": {"density"} | se, "fd": {"density"} | fd, "se+fd": {"density"} | se | fd
    }  # fmt: skip
    weights = [Path(path).read_bytes() for path in MODELS.values()]
    assert len(set(weights)) == len(weights)


def test_train_takes_its_options_from_the_command_line(trained: dict[str, str], tmp_path: Path) -> None:
    ran("train", "--method", "fd", "--out", tmp_path, "--steps", 1, "--warm-steps", 0, "--batch-size", 1,
        "--lambda-d", 0.5, "--seed", 7, "--precision", "32-true", "--size", "64x80")  # fmt: skip
    config = json.loads((tmp_path / "fd/config.json").read_text())
    assert config["weights"] == {"seg_source": 0, "seg_target": 0, "adversarial": 0.5}
    assert (config["steps"], config["batch_size"], config["seed"]) == (1, 1, 7)
    assert config["source_data"]["size"] == config["target_data"]["size"] == [64, 80]
    assert [path.name for path in tmp_path.iterdir()] == ["fd"], "no warm start was asked for"


def test_options_that_change_nothing_and_say_so_are_taken(trained: dict[str, str], tmp_path: Path) -> None:
    asked = ("train", "--method", "noadapt", "--warm-steps", 0, "--lambda-t", 0, "--lambda-d", 0, "--steps", 1)
    ran(*asked, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["noadapt"]


@pytest.mark.slow
def test_train_goes_on_where_it_was(trained: dict[str, str]) -> None:
    before = files("runs")
    assert "already holds a run; pass --resume" in refused("train", "--method", "se")
    assert ran("train", "--method", "se", "--resume") == trained["se"]
    assert files("runs") == before, "a finished run is not trained again"
    assert "steps = 2, not 3" in run("train", "--method", "se", "--resume", "--steps", 3).complaint
    assert files("runs") == before


@pytest.fixture(scope="module")
def evaluated(trained: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("evaluation")
    two = ("--checkpoint", MODELS["noadapt"], "--checkpoint", MODELS["se+fd"])
    return out, ran("evaluate", *two, "--out", out)


def test_evaluate_writes_rows_and_a_panel_and_prints_a_table(evaluated: tuple[Path, str]) -> None:
    out, printed = evaluated
    names = {f"{method}.{ending}" for method in ("noadapt", "se+fd") for ending in ("json", "csv")} | {"panel.png"}
    assert {path.name for path in out.iterdir()} == names
    for method in ("noadapt", "se+fd"):
        results = Results.from_json(out / f"{method}.json")
        assert [row.name for row in results.rows] == [f"IMG_{number}" for number in range(1, 6)]
        counter, _ = load_counter(MODELS[method])
        for row in results.rows:
            predicted = predict_density(counter, read_image(f"{PHOTOS}/{row.name}.jpg")).sum()
            assert row.predicted == pytest.approx(float(predicted), rel=1e-5)
        assert f"| {method:7} | {results.mae:.2f} | {results.mse:.2f} | " in printed
        assert len((out / f"{method}.csv").read_text().splitlines()) == 1 + 5
        about = results.about
        assert (about["title"], about["split"], about["data"]["size"]) == (method, "test", None)
        assert about["kernel"]["sigma"] == 2.0 and len(about["weights_sha256"]) == 16
    with Image.open(out / "panel.png") as panel:
        assert panel.format == "PNG"
        assert panel.info["Description"].count("se+fd predicts") == 3
    assert f"5 images, {results.mean_count:.1f} people each" in printed
    assert f"rows and panel are in {out}" in printed


@pytest.mark.slow
def test_evaluate_again_replaces_the_old_files_and_leaves_others(trained: dict[str, str], tmp_path: Path) -> None:
    for name in ("noadapt.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    command = ("evaluate", "--checkpoint", MODELS["se"], "--out", tmp_path)
    ran(*command)
    ran(*command, "--size", "80x90", "--variant", "authors")
    results = Results.from_json(tmp_path / "se.json")
    assert results.about["data"]["size"] == [80, 90] and results.about["variant"] == "authors"
    assert (tmp_path / "se.csv").read_text().startswith("name,count,predicted,")
    assert (tmp_path / "panel.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "noadapt.json").read_text() == (tmp_path / "notes.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["se.json", "se.csv", "panel.png"])
def test_evaluate_replaces_nothing_that_is_not_an_evaluation(
    name: str, trained: dict[str, str], tmp_path: Path
) -> None:
    if name == "panel.png":  # a picture of the user's own
        about = PngInfo()
        about.add_text("Description", "my holiday")
        Image.new("RGB", (4, 4)).save(tmp_path / name, pnginfo=about)
    else:
        (tmp_path / name).write_text("my notes")
    mine = (tmp_path / name).read_bytes()
    said = refused("evaluate", "--checkpoint", MODELS["se"], "--out", tmp_path)
    assert f"{tmp_path / name} " in said and "would be lost; move it away" in said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {name: mine}


@pytest.mark.slow
def test_evaluate_tells_checkpoints_of_one_name_apart(trained: dict[str, str], tmp_path: Path) -> None:
    kept = shutil.copy(MODELS["fd"], tmp_path / "fd.safetensors")  # a model that is known by its own name
    same = ["--checkpoint", MODELS["fd"], "--checkpoint", kept, "--checkpoint", MODELS["fd"]]
    printed = ran("evaluate", *same, "--out", tmp_path / "out")
    assert re.findall(r"^\| (fd\S*) ", printed, flags=re.M) == ["fd", "fd-2", "fd-3"]
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {"fd.json", "fd-2.json", "fd-3.json"}


@pytest.fixture
def tell(trained: dict[str, str], tmp_path: Path) -> Any:
    """`tell(photo, ...)` predicts and gives {photo: (people, overlay)} as printed."""

    def predict(*photos: Path, options: tuple[object, ...] = ()) -> dict[Path, tuple[str, Path]]:
        out = () if "--out" in options else ("--out", tmp_path / "out")
        printed = ran("predict", *photos, "--checkpoint", MODELS["se+fd"], *out, *options)
        lines = [re.fullmatch(r"(.+): ([\d.]+) people, (.+)", line) for line in printed.splitlines()]
        return {Path(line[1]): (line[2], Path(line[3])) for line in lines if line}

    return predict


@pytest.mark.slow
def test_predict_takes_any_photograph(tell: Any, tmp_path: Path) -> None:
    sideways = Image.Exif()
    sideways[0x0112] = 6  # orientation: to be turned by a quarter
    photos = [
        photograph(tmp_path / "a.jpg"),
        photograph(tmp_path / "b.png", (37, 53)),
        photograph(tmp_path / "c.jpg", (64, 80), exif=sideways),
        photograph(tmp_path / "d.webp", (9, 200)),
    ]
    with Image.open(photos[1]) as image:
        image.convert("L").save(tmp_path / "e.jpg")
    with Image.open(photos[1]) as image:
        image.convert("RGBA").save(tmp_path / "f.PNG")
    photos += [tmp_path / "e.jpg", tmp_path / "f.PNG"]
    told = tell(*photos)
    assert list(told) == photos
    counter, _ = load_counter(MODELS["se+fd"])
    for photo, (people, overlay) in told.items():
        image = read_image(photo, upright=True)
        assert people == f"{float(predict_density(counter, image).sum()):.1f}"
        assert overlay == tmp_path / "out" / f"{photo.stem}.png"
        with Image.open(overlay) as picture:
            assert picture.info["Description"] == f"{photo.name} with the predicted density: {people} people"
            assert picture.width / picture.height == pytest.approx(image.shape[1] / image.shape[0], rel=0.03)
    assert read_image(told[photos[2]][1]).shape[0] > read_image(told[photos[2]][1]).shape[1], "not turned upright"


@pytest.mark.slow
def test_predict_shrinks_on_request(tell: Any, tmp_path: Path) -> None:
    photo = photograph(tmp_path / "large.png", (60, 120))
    with Image.open(photo) as image:
        image.resize((40, 20), Image.Resampling.BILINEAR).save(tmp_path / "small.png")
    small = tell(tmp_path / "small.png")[tmp_path / "small.png"][0]
    assert tell(photo, options=("--max-side", 40))[photo][0] == small
    assert tell(photo, options=("--max-side", 500))[photo][0] == tell(photo)[photo][0] != small


@pytest.mark.slow
def test_predict_overwrites_nothing_but_its_own_earlier_overlay(tell: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    one, two = photograph(tmp_path / "one/p.jpg", seed=1), photograph(tmp_path / "two/p.jpg", seed=2)
    theirs = photograph(out / "p.png", seed=3)  # a photograph in the folder that the overlays go to
    before = theirs.read_bytes()
    told = tell(one, two, theirs)
    assert [overlay.name for _, overlay in told.values()] == ["p-2.png", "p-3.png", "p-4.png"]
    assert theirs.read_bytes() == before
    assert tell(theirs, two, one) == told, "the same photographs again take the same names"
    assert {path.name for path in out.iterdir()} == {"p.png", "p-2.png", "p-3.png", "p-4.png"}


# --- doctor -----------------------------------------------------------------------------------------------------------
def test_doctor_finds_everything() -> None:
    lines = ran("doctor").splitlines()
    assert all(line.startswith("[ OK ] ") for line in lines)
    assert [line.split()[3] for line in lines[: len(doctor.PACKAGES) + 1]] == ["Python", *doctor.PACKAGES]
    assert "mini world" in lines[-1] and "trained models" in lines[-2] and "bfloat16" in lines[-3]
    assert "GOMP_SPINCOUNT=" in lines[-5]


def test_doctor_says_how_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.version(name)

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setitem(sys.modules, "seaborn", None)  # installed, and cannot be imported
    done = run("doctor")
    assert (done.code, done.err) == (1, "")
    failures = [line for line in done.out.splitlines() if not line.startswith("[ OK ] ")]
    assert failures[0] == "[FAIL] scipy is not installed -> pip install scipy"
    assert re.fullmatch(r"\[FAIL\] seaborn \S+ does not import: .+ -> pip install seaborn", failures[1])
    assert len(failures) == 2


def test_doctor_looks_for_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ())  # a matter of other tests
    ran("data", "mini")
    assert ran("doctor").endswith("[ OK ] the mini world is in data/mini\n")
    monkeypatch.chdir("data")
    assert ran("doctor").endswith(f"[ OK ] the mini world is in {Path.cwd() / 'mini'}\n")


def outside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder in no clone; the place of the mini world of a user who works there."""
    (folder / "own").mkdir()
    monkeypatch.chdir(folder / "own")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder / "cache" / "sdcda_tutorial" / "mini"


def test_doctor_without_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ())
    mini = outside(tmp_path, monkeypatch)
    *_, models, clone, world = ran("doctor").splitlines()
    folder = Path(__file__).parents[2] / "data" / "checkpoints"
    assert models == f"[ OK ] trained models (se+fd, noadapt, segmenter) are in {folder}"
    assert clone == "[ OK ] not in a clone: all commands work; notebooks and measured results are in the repository"
    assert world == f"[ OK ] the mini world will be drawn into {mini} by the first command that needs it"

    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "site" / "sdcda_tutorial")
    (tmp_path / "cache").write_text("a file where a folder should be")
    done = run("doctor")
    *_, models, _, world = done.out.splitlines()
    assert done.code == 1
    missing = f"the model se+fd is missing from {tmp_path / 'site' / 'sdcda_tutorial' / 'models'}"
    assert models == f"[FAIL] {missing} -> reinstall sdcda-tutorial"
    assert (
        world.startswith(f"[FAIL] cannot write in {mini}: ")
        and " -> draw it elsewhere: sdcda data mini --root " in world
    )
    photograph(Path("p.png"))
    assert refused("predict", "p.png") == f"sdcda: {missing}; reinstall sdcda-tutorial"


@pytest.mark.slow
def test_without_a_clone_the_world_goes_to_the_users_cache_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini = outside(tmp_path, monkeypatch)
    complaint = refused("data", "check", "mini")
    assert f"{mini / 'source'} is not a folder; make the mini world with `sdcda data mini`" in complaint
    assert "nowhere/source is not a folder" in refused("data", "check", "mini:nowhere")
    assert f"{mini} is the world of seed 0" in refused("data", "mini", "--seed", 5)
    for note in (f"note: the mini world is drawn into {mini}\n", ""):
        done = run("evaluate", "--checkpoint", "se+fd", "--checkpoint", "noadapt", "--out", "figures")
        assert done.code == 0 and done.err.partition("100%")[0].startswith(note)
        assert done.err.count("the mini world is drawn") == bool(note)
    assert "mini world, 5 images" not in done.out  # the card of a bundled model is left as it is
    assert (mini / "manifest.json").is_file() and os.listdir() == ["figures"]
    assert ran("data", "mini") == f"the mini world is in {mini}\n"


@pytest.mark.slow
def test_bundled_models_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside(tmp_path, monkeypatch)
    folder = Path(__file__).parents[2] / "data" / "checkpoints"
    photograph(Path("p.png"))
    counts = [ran("predict", "p.png", *given) for given in ((), ("--checkpoint", folder / "se+fd.safetensors"))]
    assert counts[0] == counts[1] != ran("predict", "p.png", "--checkpoint", "noadapt")
    err = run("predict", "p.png").err
    assert err.endswith("note: se+fd was trained on synthetic scenes only; do not rely on its counts of photographs\n")
    assert f"model card of {folder / 'se+fd.safetensors'} " in err
    assert "  source    mini world, 400 images" in err and "GCC" not in err and "ShanghaiTech" not in err

    photograph(Path("photos", "q.png"))
    ran("masks", "--target", "images:photos", "--segmenter", "segmenter", "--out", "runs")
    assert masks.path_of(Path("runs", "masks"), "q.png").is_file()
    Path("noadapt").write_text("no model")  # a file of the user's comes first
    assert "checkpoint noadapt " in refused("predict", "p.png", "--checkpoint", "noadapt")
    assert "checkpoint se does not exist" in refused("predict", "p.png", "--checkpoint", "se")


def test_doctor_survives_the_want_of_what_the_package_itself_needs() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from sdcda_tutorial import cli; cli.doctor.PACKAGES = ('numpy',); cli.main(['doctor'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    note = "note: PyTorch is asked about the device, which takes a few seconds\n"  # where nothing else knows it
    assert done.returncode == 1 and done.stderr in ("", note)
    assert re.search(r"^\[FAIL\] numpy .+ -> pip install numpy$", done.stdout, flags=re.M)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is always text")
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_names_and_signs_leave_the_program_on_every_machine(encoding: str, tmp_path: Path) -> None:
    """A Western Windows writes cp1252; a name from an old disk is no UTF-8."""
    root = Path(__file__).parents[2]
    names = ["人群.jpg".encode(), b"caf\xe9.jpg", "λ×.jpg".encode()]
    for name in names:
        Image.new("RGB", (64, 64), "gray").save(tmp_path / "new.jpg")
        os.rename(tmp_path / "new.jpg", os.path.join(os.fsencode(tmp_path), name))
    done = subprocess.run(
        [sys.executable, "-m", "sdcda_tutorial", "predict", *sorted(tmp_path.glob("*.jpg")), "--out", tmp_path / "out",
         "--checkpoint", root / "data" / "checkpoints" / "se+fd.safetensors"],
        capture_output=True, cwd=root, env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert done.stdout.count(b" people, ") == 3
    assert {os.path.splitext(os.fsencode(path.name))[0] for path in (tmp_path / "out").iterdir()} == {
        os.path.splitext(name)[0] for name in names
    }


# --- bad input: options -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("nosuch", "No such command 'nosuch'"),
        ("data", "Missing command"),
        ("train --nosuch", "No such option: --nosuch"),
        ("train --method", "'--method' requires an argument"),
        ("train extra", "unexpected extra argument"),
        ("evaluate", "Missing option '--checkpoint'"),
        ("predict --checkpoint x", "Missing argument"),
        ("train --method nosuch", "unknown method 'nosuch'; known are noadapt, se, fd, se+fd"),
        ("train --preset nosuch", "unknown preset 'nosuch'; known are"),
        ("masks --preset nosuch", "unknown preset 'nosuch'; known are"),
        ("train --precision 8", "precision is one of auto, 32-true"),
        ("masks --precision 8", "precision is one of auto, 32-true"),
        ("train --devices 0", "--devices"),
        ("train --steps 0", "--steps"),
        ("train --warm-steps -1", "--warm-steps"),
        ("train --batch-size 0", "--batch-size"),
        ("train --seed -1", "--seed"),
        ("train --seed 99999999999999999999", "--seed"),
        ("train --seed x", "--seed"),
        ("demo --seed -1", "--seed"),
        ("data mini --seed -1", "--seed"),
        ("train --lambda-s -0.1", "wrong λ: seg_source is from 0 up"),
        ("train --lambda-d nan", "wrong λ: adversarial is from 0 up"),
        ("train --size 384x", "--size is HEIGHTxWIDTH"),
        ("train --weights vgg.pth", "--weights: everything starts from random weights here"),
        ("masks --preset paper --random-weights --weights vgg.pth", "--weights: everything starts from random"),
        ("masks --preset paper --segmenter se+fd --weights vgg.pth", "--weights is of a training"),
        ("benchmark --weights vgg.pth", "--weights: everything starts from random weights here"),
        ("train --method se --segmenter nowhere", "checkpoint nowhere does not exist"),
        ("masks --segmenter nowhere", "checkpoint nowhere does not exist"),
        ("evaluate --checkpoint nowhere", "checkpoint nowhere does not exist"),
        ("train --size 0x10", "--size is HEIGHTxWIDTH"),
        ("masks --size ²x10", "--size is HEIGHTxWIDTH"),
        ("evaluate --checkpoint se+fd --size 10x10x10", "--size is HEIGHTxWIDTH"),
        ("train --size 99999x99999", "a size of 99999×99999 is over 100,000,000 pixels"),
        ("evaluate --checkpoint x --variant nosuch", "variant is standard or authors"),
        ("evaluate --checkpoint se+fd --split nosuch", "no split 'nosuch'"),
        ("predict x --checkpoint x --max-side 0", "--max-side"),
        ("masks --threshold 2", "--threshold"),
        ("masks --steps 0", "--steps"),
        ("masks --scale 0.5", "--scale is LOW,HIGH"),
        ("masks --scale 1,0.5", "--scale is LOW,HIGH"),
        ("masks --scale 0,nan", "--scale is LOW,HIGH"),
        ("benchmark --seeds 1,x", "seeds are whole numbers"),
        ("benchmark --seeds -1", "seeds are whole numbers"),
        ("benchmark --seeds 1,,2", "seeds are whole numbers"),
        ("benchmark --methods se,nosuch", "unknown method 'nosuch'; known are noadapt-early"),
        ("train --preset paper --warm-steps 500", "--warm-steps: this preset has no warm start"),
        ("train --method noadapt --lambda-t 5", "--lambda-t: the method noadapt switches this λ off"),
        ("train --method fd --lambda-s 5", "--lambda-s: the method fd switches this λ off"),
        ("train --method se --lambda-d 5", "--lambda-d: the method se switches this λ off"),
        ("train --method fd --masks runs/mini/masks", "--masks: λt is 0 here"),
        (f"train --method noadapt --segmenter {MODEL.format('segmenter')}", "--segmenter: λt is 0 here"),
        ("train --lambda-t 0 --masks runs/mini/masks", "--masks: λt is 0 here"),
        ("train --method se --masks a --segmenter b", "--masks makes --segmenter useless"),
        ("train --method se --masks a --boxes mini", "--masks makes --boxes useless"),
        ("train --method se --segmenter a --boxes mini", "--segmenter makes --boxes useless"),
        ("masks --segmenter a --boxes mini", "--boxes is of a training, but the mask model of --segmenter is ready"),
        ("masks --segmenter a --steps 5", "--steps is of a training"),
        ("masks --segmenter a --scale 0.5,1", "--scale is of a training"),
        ("data mini --seed 5", "data/mini is the world of seed 0; give another --root and name it mini-target:ROOT"),
        ("data mini --root data/../data/mini --seed 5", "data/mini is the world of seed 0"),
        ("train --target mini:x", "'mini:x': plain mini takes no folder; write mini-target:x"),
        ("train --target nosuch:x", "mini-third, mini"),
        ("train --source nosuch:x", "unknown data set 'nosuch' in 'nosuch:x'; known are gcc"),
        ("train --source gcc", "does not say where the data is; write gcc:FOLDER"),
        ("train --source gcc:nowhere", "nowhere is not a folder"),
        ("evaluate --checkpoint se+fd --target shanghaitech-b:nowhere", "nowhere is not a folder"),
        (f"train --source images:{PHOTOS}", "has no labels to learn from"),
        (f"masks --boxes images:{PHOTOS}", "has no labels to learn from"),
        (f"train --method se --target images:{PHOTOS} --out new", "needs pseudo-masks"),
    ],
)
def test_bad_options_are_one_line(trained: dict[str, str], command: str, says: str) -> None:
    assert says in refused(*command.split())


@pytest.mark.slow
def test_bad_input_in_a_python_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("not a mini world")
    for command, says in [
        (("train", "--nosuch"), "No such option"),
        (("data", "mini", "--root", str(tmp_path)), f"{tmp_path} exists and is not a mini world"),
        (("predict", "x.jpg", "--checkpoint", str(tmp_path / "mine.txt")), "mine.txt is broken"),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "sdcda_tutorial", *command],
            capture_output=True, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("sdcda: ") and done.stderr.count("\n") == 1 and says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_warning_is_one_line_without_a_path() -> None:
    """In a Python of its own: pytest catches the warnings of this one."""
    code = """
import warnings
from sdcda_tutorial import cli
from sdcda_tutorial.cli import doctor
doctor.examine = lambda imports: warnings.warn("old", FutureWarning) or warnings.warn("of two\\nlines") or []
cli.main(["doctor"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "FutureWarning: old\nUserWarning: of two lines\n"


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(imports: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "examine", examine)
    done = run("doctor")
    assert done.code == 130
    assert done.complaint.startswith("sdcda: interrupted")


# --- bad input: files -------------------------------------------------------------------------------------------------
@pytest.fixture
def broken(trained: dict[str, str], home: Path) -> Iterator[Path]:
    """A copy of the target to break, in the folder that `refused` watches, in ShanghaiTech's layout."""
    folder = home / "broken"
    shutil.copytree("data/mini/target", folder)
    yield folder
    shutil.rmtree(folder)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def spoil_points(mat: Path) -> None:
    info = np.empty((1, 1), dtype=[("location", "O"), ("number", "O")])
    info["location"][0, 0], info["number"][0, 0] = np.array([[1.0, 2.0], [np.nan, 3.0]]), 2
    scipy.io.savemat(mat, {"image_info": info})


DAMAGE = {
    "without-mat": (lambda data: (data / "ground-truth/GT_IMG_2.mat").unlink(), "GT_IMG_2.mat is missing"),
    "truncated-jpeg": (lambda data: truncate(data / "images/IMG_2.jpg"), "IMG_2.jpg cannot be decoded"),
    "no-image": (lambda data: (data / "images/IMG_2.jpg").write_text("x"), "IMG_2.jpg cannot be decoded"),
    "mat-without-key": (
        lambda data: scipy.io.savemat(data / "ground-truth/GT_IMG_2.mat", {"points": 1}),
        "GT_IMG_2.mat has no 'image_info' (found: points)",
    ),
    "truncated-mat": (lambda data: truncate(data / "ground-truth/GT_IMG_2.mat"), "GT_IMG_2.mat is not a readable"),
    "nan-points": (lambda data: spoil_points(data / "ground-truth/GT_IMG_2.mat"), "1 of 2 points are NaN"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_evaluate_refuses_broken_data_and_writes_nothing(broken: Path, damage: str) -> None:
    harm, says = DAMAGE[damage]
    harm(broken / "part_B/test_data")
    before = files()
    done = run("evaluate", "--checkpoint", MODELS["se"], "--target", f"shanghaitech-b:{broken}")
    assert done.code == 2 and says in done.complaint and done.out == ""
    assert files() == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_train_refuses_broken_data_and_goes_on_when_it_is_mended(broken: Path, tmp_path: Path, damage: str) -> None:
    """Of the source. Images are read as they come up, so the run may have begun: then it is whole, and resumes."""
    harm, says = DAMAGE[damage]
    harm(broken / "part_B/train_data")
    asked = (
        "train", "--method", "noadapt", "--source", f"shanghaitech-b:{broken}", "--out", tmp_path, "--warm-steps", 0
    )  # fmt: skip
    done = run(*asked)
    assert done.code == 2 and says in done.complaint and done.out == ""
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"config.json", "metrics.jsonl", "last.safetensors", "model.safetensors"}
    shutil.rmtree(broken)
    shutil.copytree("data/mini/target", broken)
    ran(*asked, "--resume")


def test_a_mask_of_another_size_is_refused_before_any_training(trained: dict[str, str], home: Path) -> None:
    folder = home / "small_masks"
    shutil.copytree("runs/mini/masks", folder)
    for path in folder.glob("*.png"):
        masks.write_png(path, masks.read_png(path)[:50, :60])
    asked = ("train", "--method", "se", "--out", "runs/new", "--masks")
    assert "IMG_1.png is 60x50 but its image is 112x96" in refused(*asked, folder)
    (folder / "IMG_2.png").unlink()
    assert "1 of 4 pseudo-masks are missing" in refused(*asked, folder)
    assert "4 of 4 pseudo-masks are missing in nowhere" in refused(*asked, "nowhere")
    assert not Path("runs/new").exists()


@pytest.mark.parametrize("damage", ["size", "cut", "JPEG"])
def test_every_mask_is_looked_at_before_any_training(trained: dict[str, str], tmp_path: Path, damage: str) -> None:
    folder = Path(shutil.copytree("runs/mini/masks", tmp_path / "masks"))
    path = folder / "IMG_3.png"
    if damage == "size":
        masks.write_png(path, masks.read_png(path)[:50, :60])
    elif damage == "cut":
        truncate(path)
    else:
        Image.new("L", (112, 96)).save(path, "JPEG")
    words = {"size": "is 60x50 but its image", "cut": "cannot be read", "JPEG": "it is a JPEG, not a PNG"}[damage]
    complaint = refused("train", "--method", "se", "--out", "runs/new", "--masks", folder)
    assert str(path) in complaint and words in complaint


def test_masks_that_cannot_be_gone_on_with_are_told_before_a_mask_model_is_trained(
    trained: dict[str, str], tmp_path: Path
) -> None:
    Path(shutil.copytree("runs/mini/masks", tmp_path / "own/masks"), "provenance.json").unlink(missing_ok=True)
    remedy = "to learn from these, name the folder as --masks"
    complaint = refused("train", "--method", "se", "--out", tmp_path / "own")
    assert "own/masks holds something else than masks" in complaint and complaint.endswith(remedy)
    ran("masks", "--out", tmp_path / "other", "--threshold", 0.6)
    complaint = refused("train", "--method", "se", "--out", tmp_path / "other")
    assert "holds masks made with threshold = 0.6, not" in complaint and complaint.endswith(remedy)
    assert "--masks of `sdcda train`" in refused("masks", "--out", tmp_path / "other")


def test_a_warm_start_that_the_run_had_not_is_told_before_it_is_trained(tmp_path: Path) -> None:
    asked = ("train", "--method", "noadapt", "--out", tmp_path, "--steps", 2)
    ran(*asked, "--warm-steps", 0)
    complaint = refused(*asked, "--resume")
    assert complaint.endswith("noadapt was started without a warm start; go on without one: --warm-steps 0")


def test_a_silhouette_of_another_size_is_refused(trained: dict[str, str], home: Path) -> None:
    shutil.copytree("data/mini/source", home / "gcc", dirs_exist_ok=True)
    for path in (home / "gcc").glob("*/segs/*.raw"):
        truncate(path)
    done = run("evaluate", "--checkpoint", MODELS["se"], "--target", "gcc:gcc")
    assert done.code == 2 and "is a mask of another size" in done.complaint
    assert not Path("build/evaluation").exists()


@pytest.mark.slow
def test_bad_checkpoints_are_refused_before_anything_is_written(trained: dict[str, str], home: Path) -> None:
    (home / "text.safetensors").write_text("no checkpoint")
    truncated = shutil.copy(MODELS["se"], home / "truncated.safetensors")
    truncate(Path(truncated))
    os.mkfifo(home / "pipe.safetensors")
    for path, says in [
        ("nowhere.safetensors", "checkpoint nowhere.safetensors does not exist"),
        ("text.safetensors", "checkpoint text.safetensors is broken"),
        ("truncated.safetensors", "checkpoint truncated.safetensors is broken"),
        (MODEL.format("segmenter"), "is of another architecture: counter.C"),
        ("runs/mini/se/last.safetensors", "to go on from; use the model.safetensors beside it"),
        ("data", "checkpoint data is a folder; name a .safetensors file in it"),
        ("pipe.safetensors", "pipe.safetensors is a pipe, a socket or a device; name a file"),
    ]:
        assert says in refused("evaluate", "--checkpoint", MODELS["se"], "--checkpoint", path)
        assert says in refused("predict", f"{PHOTOS}/IMG_1.jpg", "--checkpoint", path)
    other = ("--segmenter", MODELS["fd"])  # a counter without S is no mask model
    assert "is of another architecture: S." in refused("train", "--method", "se", "--out", "runs/new", *other)
    assert "is of another architecture: S." in refused("masks", "--out", "runs/new", *other)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"config": None}, "NoneType"),
        ({"config": {}}, "it has no 'kernel'"),
        ({"config": {"kernel": {"sigmas": 2}}}, "sigmas"),
        ({"config": {"kernel": {"kernel_size": 4}}}, "odd"),
        ({"chosen": ...}, "it has no 'chosen'"),
        ({"config": ...}, "it has no 'config'"),
    ],
    ids=str,
)
def test_evaluate_refuses_a_card_of_another_version(
    trained: dict[str, str], home: Path, change: dict[str, Any], says: str
) -> None:
    tensors, card = load(MODELS["se"])
    changed = {key: value for key, value in {**card, **change}.items() if value is not ...}
    save(home / "other.safetensors", tensors, changed)
    complaint = refused("evaluate", "--checkpoint", MODELS["se"], "--checkpoint", "other.safetensors")
    assert "checkpoint other.safetensors is of another version of this package (" in complaint and says in complaint


def test_evaluate_refuses_photographs_without_labels(trained: dict[str, str]) -> None:
    says = refused("evaluate", "--checkpoint", MODELS["se"], "--target", f"images:{PHOTOS}")
    assert f"images:{PHOTOS} has no labels to learn from or to measure against" in says


def test_predict_reads_all_photographs_before_it_writes_one(trained: dict[str, str], home: Path) -> None:
    good, bad = photograph(home / "good.jpg"), photograph(home / "bad.jpg")
    truncate(bad)
    os.mkfifo(home / "pipe.jpg")
    (home / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(90))
    Image.fromarray(np.full((9, 9), 4095, np.uint16)).save(home / "bits.png")
    for path, says in [
        (bad, "cannot be decoded as an image"),
        ("nowhere.jpg", "does not exist"),
        ("data", "data is a folder"),
        ("pipe.jpg", "pipe.jpg is a pipe"),
        ("x.heic", "HEIC cannot be read; save it as JPEG"),
        ("bits.png", "bits.png is almost black"),
    ]:
        assert says in refused("predict", good, path, "--checkpoint", MODELS["se"])


TRAINS = "sdcda_tutorial.training.loop.Training.finish"


@pytest.mark.parametrize(
    ("command", "long_work"),
    [
        (f"evaluate --checkpoint {MODELS['se']} --out mine", "sdcda_tutorial.evaluation.comparison.evaluate"),
        ("masks --out mine", TRAINS),
        ("masks --out half", TRAINS),
        ("train --method se --out mine/below", TRAINS),
        ("train --method se --out half", TRAINS),
        ("train --method cyclegan --out half", TRAINS),
        ("train --method noadapt --out half", TRAINS),
        ("train --method noadapt --dry-run --out mine", TRAINS),
        ("benchmark --seeds 1 --methods noadapt --out mine", "sdcda_tutorial.experiments.benchmark.mini_data"),
        ("benchmark --seeds 1 --methods noadapt --keep mine", "sdcda_tutorial.experiments.benchmark.mini_data"),
        ("demo --out mine", "sdcda_tutorial.experiments.demo.mini_data"),
        ("data mini --root mine", "sdcda_tutorial.mini_world.world._write_world"),
        ("data mini --root mine/below", "sdcda_tutorial.mini_world.world._write_world"),
    ],
)
def test_a_file_in_the_place_of_a_folder_is_told_before_the_long_work(
    trained: dict[str, str], home: Path, command: str, long_work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_: object, **__: object) -> None:
        raise AssertionError("the long work began")

    (home / "mine").write_text("dear")
    (home / "half").mkdir(exist_ok=True)
    for part in ("masks", "noadapt", "cyclegan-source"):  # what comes first could be made
        (home / "half" / part).write_text("dear")
    monkeypatch.setattr(long_work, begin)
    assert re.search(
        r"(mine|half\S*) (is not a folder|exists and is not)|cannot make .* in mine", refused(*command.split())
    )
    shutil.rmtree(home / "half")
    (home / "mine").unlink()


def test_a_foreign_folder_is_not_made_a_world(home: Path) -> None:
    (home / "mine").mkdir()
    (home / "mine/letter.txt").write_text("dear")
    assert "mine exists and is not a mini world" in refused("data", "mini", "--root", "mine")


# --- what is known of labels and files --------------------------------------------------------------------------------
def relabel(data: Path, change: Callable[[np.ndarray], np.ndarray]) -> list[int]:
    """Change the points of every annotation; the number of points in each."""
    numbers = []
    for mat in sorted(data.rglob("GT_*.mat")):
        points = change(scipy.io.loadmat(mat)["image_info"][0, 0][0, 0]["location"])
        info = np.empty((1, 1), dtype=[("location", "O"), ("number", "O")])
        info["location"][0, 0], info["number"][0, 0] = points, len(points)
        scipy.io.savemat(mat, {"image_info": info})
        numbers.append(len(points))
    return numbers


def all_but_one_outside(points: np.ndarray) -> np.ndarray:
    moved: np.ndarray = points + 500 * (np.arange(len(points)) > 0)[:, None]
    return moved


def notes(done: Done) -> list[str]:
    assert done.code == 0, done.err
    return [line for line in done.err.replace("\r", "\n").split("\n") if line.startswith("note: ")]


TELLING = {
    "evaluate": (f"--checkpoint {MODELS['se']} --target shanghaitech-b:broken", ["test"]),
    "train": ("--method noadapt --warm-steps 0 --source shanghaitech-b:broken", ["train"]),
    "masks": ("--boxes shanghaitech-b:broken --target mini-target:data/mini", ["train"]),
    "benchmark": (
        "--seeds 1 --methods noadapt --source shanghaitech-b:broken --target shanghaitech-b:broken --boxes mini",
        ["train", "test"],  # of the target's part to adapt to no label is read
    ),
}


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=[pytest.mark.slow] * (name == "benchmark")) for name in TELLING]
)
def test_points_that_are_not_counted_are_told_once(broken: Path, tmp_path: Path, command: str) -> None:
    options, parts = TELLING[command]
    numbers = [relabel(broken / f"part_B/{part}_data", all_but_one_outside) for part in parts]
    done = run(command, *options.split(), "--out", tmp_path / "out")
    told = notes(done)
    expected = [f"{part}_data: {sum(n) - len(n)} of {sum(n)}" for part, n in zip(parts, numbers, strict=True)]
    assert [line.partition(" points lie outside")[0].rpartition("/")[2] for line in told] == expected
    assert all("and are not counted" in line and "GT_IMG_1.mat" in line for line in told)
    outside = sum(numbers[-1]) - len(numbers[-1])
    assert (f"without {outside} annotated points" in done.out) == (command == "evaluate")


def test_of_sound_data_nothing_is_told(trained: dict[str, str], tmp_path: Path) -> None:
    assert notes(run("evaluate", "--checkpoint", MODELS["se"], "--out", tmp_path / "evaluation")) == []
    assert notes(run("train", "--method", "fd", "--warm-steps", 0, "--out", tmp_path / "runs")) == []


def test_labels_of_the_target_are_not_read_for_training(broken: Path, tmp_path: Path) -> None:
    for mat in broken.rglob("GT_*.mat"):
        mat.write_bytes(b"")
    target = ("--target", f"shanghaitech-b:{broken}")
    assert notes(run("train", "--method", "fd", "--warm-steps", 0, *target, "--out", tmp_path)) == []


def test_where_nobody_is_there_is_nothing_to_learn(broken: Path, tmp_path: Path) -> None:
    relabel(broken, lambda points: np.zeros((0, 2)))
    data = f"shanghaitech-b:{broken}"
    for command in (("train", "--method", "noadapt", "--source", data), ("masks", "--boxes", data)):
        says = refused(*command, "--out", "new")
        assert f"{broken}" in says and "nobody is labelled in its 4 images" in says
    (line,) = notes(run("evaluate", "--checkpoint", MODELS["se"], "--target", data, "--out", tmp_path))
    assert "nobody is labelled, in 5 of 5 images" in line


def test_photographs_left_out_are_told(trained: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    photograph(folder / "a.jpg", (128, 128))
    for name in ("b.heic", "c.heic", "d.tif"):
        shutil.copy(folder / "a.jpg", folder / name)
    target = ("--target", f"images:{folder}", "--out", tmp_path / "out")
    for command in (("train", "--method", "fd", "--warm-steps", 0), ("masks", "--boxes", "mini")):
        (line,) = notes(run(*command, *target))
        assert (
            "1 images are used; files left out: 3: b.heic and 1 more (" in line and "`sdcda data check` lists" in line
        )
    checked = ran("data", "check", f"images:{folder}")
    assert all(f"{folder / name} " in checked for name in ("b.heic", "c.heic", "d.tif"))


def test_a_picture_that_predict_turns_and_evaluate_does_not_is_told(broken: Path, tmp_path: Path) -> None:
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    picture = broken / "part_B/test_data/images/IMG_2.jpg"
    with Image.open(picture) as image:
        image.copy().save(picture, exif=upside_down)
    target = ("--target", f"shanghaitech-b:{broken}")
    (line,) = notes(run("evaluate", "--checkpoint", MODELS["se"], *target, "--out", tmp_path))
    assert f"(EXIF orientation 3) and used as they are stored, in 1 of 5 images, first {picture};" in line
    assert "`sdcda predict`" in line


# --- failures on the way ----------------------------------------------------------------------------------------------
@contextlib.contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No file can grow beyond so many bytes: writing fails as on a full disk, in whichever library it happens."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "command",
    [
        f"evaluate --checkpoint {MODELS['se']} --out full",
        f"predict {PHOTOS}/IMG_1.jpg --checkpoint {MODELS['se']} --out full",
        "data mini --root full/world",
        "masks --out full",
        "train --method fd --out full",
        "benchmark --seeds 1 --methods noadapt --out full",
    ],
)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(trained: dict[str, str], command: str) -> None:
    before = files()
    with full_disk(after=100):
        done = run(*command.split())
    assert done.code == 2
    assert re.search(r"cannot (write|make the mini world in) full", done.complaint)
    assert files() == before


def test_a_disk_that_fills_up_leaves_the_earlier_evaluation(evaluated: tuple[Path, str]) -> None:
    out, _ = evaluated
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with full_disk(after=before["noadapt.json"].__len__() // 2):
        done = run("evaluate", "--checkpoint", MODELS["noadapt"], "--out", out, "--variant", "authors")
    assert done.code == 2 and f"cannot write {out / 'noadapt.json'}" in done.complaint
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_run_that_met_a_full_disk_goes_on(trained: dict[str, str], tmp_path: Path) -> None:
    asked = ("train", "--method", "se+fd", "--out", tmp_path, "--masks", "runs/mini/masks")
    with full_disk(after=20_000):  # enough for what is asked, not for the weights
        done = run(*asked)
    assert done.code == 2 and re.search(r"cannot write \S+\.safetensors", done.complaint)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".") or path.suffix == ".safetensors"]
    ran(*asked, "--resume")
    gone_on, unbroken = (load(path)[0] for path in (tmp_path / "se+fd/model.safetensors", MODELS["se+fd"]))
    assert gone_on.keys() == unbroken.keys() and all(bool((gone_on[n] == unbroken[n]).all()) for n in unbroken)


@pytest.mark.slow
def test_a_training_that_diverges_stops_with_one_line(
    trained: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = presets.PRESETS["mini"]
    wild = replace(preset, adaptation=replace(preset.adaptation, learning_rate=1e30, steps=5))
    monkeypatch.setitem(presets.PRESETS, "mini", wild)
    done = run("train", "--method", "noadapt", "--out", tmp_path)
    assert done.code == 1 and done.out == ""
    assert re.search(r" not finite (at|after) step \d", done.complaint)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


# --- real files -------------------------------------------------------------------------------------------------------
REAL = os.environ.get("SDCDA_REAL_DATA")


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="set SDCDA_REAL_DATA to a folder with the real files")
def test_from_real_photographs_to_an_evaluation(tmp_path: Path) -> None:
    target = f"shanghaitech-b:{REAL}/shanghaitech_sample"
    source = f"shanghaitech:{REAL}/unity_crowd"  # has points only: they make its masks, and those of the mask model
    for method in ("noadapt", "se+fd"):
        ran("train", "--method", method, "--source", source, "--target", target, "--boxes", source, "--size", "96x128",
            "--steps", 2, "--warm-steps", 1, "--out", tmp_path / "runs")  # fmt: skip
    assert len(list((tmp_path / "runs/masks").glob("*.png"))) == 120
    checkpoints = [f"--checkpoint={tmp_path}/runs/{method}/model.safetensors" for method in ("noadapt", "se+fd")]
    printed = ran("evaluate", *checkpoints, "--target", target, "--size", "96x128", "--out", tmp_path / "out")
    for method in ("noadapt", "se+fd"):
        results = Results.from_json(tmp_path / f"out/{method}.json")
        assert len(results.rows) == 80 and sum(row.count for row in results.rows) == 10_495
        assert all(np.isfinite((row.predicted, row.psnr, row.ssim)).all() for row in results.rows)
        assert f"{results.mae:.2f}" in printed
    with Image.open(tmp_path / "out/panel.png") as panel:
        assert panel.info["Description"].count("se+fd predicts") == 3


def test_a_set_without_the_part_says_which_is_there(trained: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("image,x,y\na.png,5,6\n")
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    ran("data", "make", tmp_path / "points.csv", tmp_path, tmp_path / "set")
    complaint = refused("evaluate", "--checkpoint", MODELS["se"], "--target", f"shanghaitech:{tmp_path / 'set'}")
    assert "test_data is not a folder, only train_data is there; take --split train, or" in complaint
    assert complaint.endswith("add one with `sdcda data make` and its --split test")
    ran("evaluate", "--checkpoint", MODELS["se"], "--target", f"shanghaitech:{tmp_path / 'set'}", "--split", "train",
        "--out", tmp_path / "out")  # fmt: skip
