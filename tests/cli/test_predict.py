"""`sdcda predict` as another program meets it: records, regions, maps, names, pipes, and places it cannot write to."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import files, ran, refused, run
from PIL import Image

from sdcda_tutorial.datasets import open_dataset
from sdcda_tutorial.datasets.images import read_image
from sdcda_tutorial.datasets.transforms import resize_image
from sdcda_tutorial.evaluation import overlay
from sdcda_tutorial.evaluation.overlay import save_overlay
from sdcda_tutorial.evaluation.regions import count_in
from sdcda_tutorial.files import in_one_line
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.training import checkpoints, hardware
from sdcda_tutorial.training.checkpoints import load, load_counter, save, weights_digest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "data/checkpoints/se+fd.safetensors"
OTHER = ROOT / "data/checkpoints/fd.safetensors"
ODD = ['a, "b".png', "new\nline\r.png", "=1+2.png", "人群 λ.png", "caf\udce9.png"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes, /proc, /dev/full")


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def photograph(path: str, size: tuple[int, int] = (40, 56), seed: int = 0, **options: Any) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return Path(path)


def predict(*arguments: object) -> str:
    return ran("predict", "--checkpoint", MODEL, "--out", "out", *arguments)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- records ----------------------------------------------------------------------------------------------------------
@linux
@pytest.mark.slow
def test_records_hold_what_is_printed_whatever_the_name() -> None:
    photos = [photograph(name, seed=number) for number, name in enumerate(ODD)]
    printed = predict(*photos, "--json", "new/a.json", "--csv", "a.csv")
    records = json.loads(Path("new/a.json").read_text("ascii"))
    rows = read_csv(Path("a.csv").read_bytes().decode("utf-8"))
    assert [record["photo"] for record in records] == ODD
    assert [row["photo"] for row in rows] == [*ODD[:-1], "caf\\udce9.png"]
    counter, _ = load_counter(MODEL)
    for record, row, photo in zip(records, rows, photos, strict=True):
        count = float(predict_density(counter, read_image(photo)).double().sum())
        assert record["count"] == pytest.approx(count, rel=1e-6) == float(row["count"])
        assert (record["height"], record["width"]) == (40, 56) and Path(record["overlay"]).is_file()
        assert record["weights_sha256"] == row["weights_sha256"] == weights_digest(MODEL)
        assert f"{in_one_line(photo)}: {count:.1f} people, {in_one_line(record['overlay'])}\n" in printed


def test_a_record_can_be_all_that_is_printed() -> None:
    photo = photograph("a.png")
    asked = ("predict", photo, "--checkpoint", MODEL, "--out", "out")
    for option, read in (("--json", json.loads), ("--csv", read_csv)):
        done = run(*asked, option, "-")
        assert done.code == 0
        (record,) = read(done.out)
        assert record["overlay"] == "out/a.png" and f"a.png: {float(record['count']):.1f} people, " in done.err


def test_records_replace_earlier_ones_and_nothing_else() -> None:
    photo = photograph("a.png")
    predict(photo, "--json", "a.json", "--csv", "a.csv")
    before = Path("a.json").read_bytes(), Path("a.csv").read_bytes()
    Path("a.csv").write_text("")  # as mktemp makes one
    predict(photo, "--json", "a.json", "--csv", "a.csv")
    assert (Path("a.json").read_bytes(), Path("a.csv").read_bytes()) == before
    asked = ("predict", photo, "--checkpoint", MODEL, "--out", "out2")
    for option, file, says in [
        ("--json", "a.png", "a.png holds something else, which would be lost"),
        ("--json", "a.csv", "a.csv holds something else"),
        ("--csv", "a.json", "a.json holds something else"),
        ("--csv", ".", "is not a file that can be replaced"),
        ("--json", os.devnull, "is not a file that can be replaced"),
        ("--json", "a.png/b.json", "a.png is not a folder"),
        ("--json", "x" * 300, "a name of 300 bytes is longer than this disk allows"),
    ]:
        assert says in refused(*asked, option, file)
    assert "--json and --csv are both x" in refused(*asked, "--json", "x", "--csv", "x")
    assert not Path("out2").exists()


def test_what_a_killed_command_left_half_written_goes() -> None:
    left = [Path(f"{folder}/.tmp-0123456789abcdef.{ending}") for folder, ending in (("out", "png"), ("new", "json"))]
    for path in left:
        path.parent.mkdir()
        path.write_text("half")
    predict(photograph("a.png"), "--json", "new/a.json")
    assert sorted(map(str, files())) == ["a.png", "new/a.json", "out/a.png"]


def test_a_count_that_is_no_number_is_refused() -> None:
    tensors, card = load(MODEL)
    tensors["counter.C.head.bias"].fill_(float("nan"))
    save("broken.safetensors", tensors, card)
    photo = photograph("a.png")
    says = refused("predict", photo, "--checkpoint", "broken.safetensors", "--json", "-")
    assert "the count of a.png is nan: the weights of the model are broken" in says


def test_half_precision_is_refused_where_the_hardware_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "computes_in_float16", lambda device: False)
    assert "computes in float16; leave --half out" in refused("predict", photograph("a.png"), "--half", "--out", "out")
    assert not Path("out").exists()


def test_counts_in_half_precision_stay_within_a_thousandth_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "computes_in_float16", lambda device: device == "cpu")  # here it is emulated
    photo = photograph("a.png", (128, 160))
    predict(photo, "--json", "full.json")
    predict(photo, "--json", "half.json", "--half")
    (full,), (half,) = (json.loads(Path(f"{name}.json").read_text()) for name in ("full", "half"))
    assert "precision" not in full and half["precision"] == "float16"
    assert 0 < abs(half["count"] - full["count"]) < 1e-3 * full["count"]


# --- regions ----------------------------------------------------------------------------------------------------------
def test_people_in_a_region_of_the_photograph_as_it_is_stored_and_upright() -> None:
    sideways = Image.Exif()
    sideways[0x0112] = 6  # a quarter: stored 60x90, upright 90x60
    photo = photograph("a.png", (60, 90), exif=sideways)
    counter, _ = load_counter(MODEL)
    image = read_image(photo, upright=True)
    assert image.shape == (90, 60, 3)
    corners = np.array([(10, 5), (60, 80.5), (20, 90)])
    asked = ("--region", "10,5 60,80.5 20,90", "--area", "2.5", "--json", "-")
    for side, size in ((None, (90, 60)), (45, (45, 30))):
        (record,) = json.loads(predict(photo, *asked, *(() if side is None else ("--max-side", side))))
        density = predict_density(counter, resize_image(image, size))
        wanted = count_in(density, corners * (size[0] / 90))
        assert (record["height"], record["width"]) == size
        assert record["region_count"] == pytest.approx(wanted, rel=1e-6)
        assert record["people_per_m2"] == pytest.approx(wanted / 2.5, rel=1e-6)
        assert 0 < record["region_count"] < record["count"] and record["region"] == "10,5 60,80.5 20,90"
    whole = predict(photo, "--region", "0,0,60,90")
    count = float(predict_density(counter, image).sum())
    assert whole == f"a.png: {count:.1f} people, {count:.1f} in the region, out/a.png\n"


def test_a_senseless_region_is_refused_before_anything_is_counted() -> None:
    asked = ("predict", photograph("a.png"), photograph("b.png", (56, 40)), "--checkpoint", MODEL)
    for options, says in [
        (("--region", "1,2"), "--region is a box x0,y0,x1,y1"),
        (("--region", "0,0,50,40"), "corner 50,0 of --region is not in b.png, which is 40x56 pixels"),
        (("--region", "-1,0,5,4"), "corner -1,0 of --region is not in a.png"),
        (("--area", "5"), "--area is the square metres, a millionth or more, of a --region"),
        (("--region", "0,0,5,5", "--area", "0"), "--area is the square metres, a millionth or more"),
        (("--region", "0,0,5,5", "--area", "nan"), "--area is the square metres, a millionth or more"),
    ]:
        assert says in refused(*asked, *options)


# --- maps -------------------------------------------------------------------------------------------------------------
def test_the_map_is_written_for_programs_and_for_eyes() -> None:
    photo = photograph("a.png", (41, 57))
    (record,) = json.loads(predict(photo, "--save-map", "--json", "-"))
    assert (record["map"], record["map_png"]) == ("out/a.npy", "out/a-map.png")
    density = np.load("out/a.npy")
    assert density.dtype == np.float32 and density.shape == (41, 57)
    assert density.sum(dtype=np.float64) == pytest.approx(record["count"], rel=1e-9)
    with Image.open("out/a-map.png") as picture:
        assert picture.mode.startswith("I") and picture.size == (57, 41)
        pixels, scale = np.asarray(picture).astype(np.float64), float(picture.info["Scale"])
    assert pixels.sum() * scale == pytest.approx(record["count"], abs=scale)
    assert np.abs(pixels * scale - density).max() <= scale * 1.001 and pixels.max() > 65000


def test_maps_replace_only_maps_of_the_same_photograph() -> None:
    one = photograph("a.png", seed=1)
    predict(one, "--save-map")
    predict(one, "--save-map")
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "a.npy", "a-map.png"}
    two, three = photograph("b.png", seed=2), photograph("c.png", seed=3)
    Path("out/b.npy").write_text("mine")
    Path("out/c-map.png").write_text("mine")
    same = Path("a-map.png")  # a copy of `one`, whose overlay would have the name of the map of `one`
    same.write_bytes(one.read_bytes())
    records = json.loads(predict(two, three, same, "--save-map", "--json", "-"))
    assert [Path(record["map"]).name for record in records] == ["b-2.npy", "c-2.npy", "a-map-2.npy"]
    assert Path("out/b.npy").read_text() == Path("out/c-map.png").read_text() == "mine"


def test_a_map_of_another_count_does_not_stay_beside_the_overlay() -> None:
    photo = photograph("a.png")
    predict(photo, "--save-map")
    (record,) = json.loads(ran("predict", photo, "--checkpoint", OTHER, "--out", "out", "--json", "-"))
    assert float(np.load("out/a.npy").sum(dtype=np.float64)) == pytest.approx(record["count"], rel=1e-6)
    assert record["map"] == "out/a.npy"
    predict(photograph("0.png", seed=1), photo, "--csv", "r.csv")  # of the first there is no map
    assert [row["map"] for row in read_csv(Path("r.csv").read_text())] == ["", "out/a.npy"]


def test_overlays_and_maps_are_no_photographs() -> None:
    one, two = photograph("mine/a.jpg", seed=1), photograph("mine/b.png", seed=2)
    ran("predict", one, two, "--checkpoint", MODEL, "--out", "mine", "--save-map")
    drawn = ["a-map.png", "a.png", "b-2-map.png", "b-2.png"]
    assert {path.name for path in Path("mine").glob("*.png")} == {"b.png", *drawn}
    data = open_dataset("images:mine")
    assert data.names == ["a.jpg", "b.png"]
    assert [Path(left.path).name for left in data.leftovers if left.path.endswith(".png")] == drawn
    done = run("predict", *Path("mine").glob("*.png"), "--checkpoint", MODEL, "--out", "out", "--json", "-")
    assert [record["photo"] for record in json.loads(done.out)] == ["mine/b.png"]
    assert all(f"note: mine/{name} is not counted" in done.err for name in drawn)
    assert "is an overlay or a map that this command has drawn" in refused("predict", "mine/a.png")


def test_what_somebody_has_added_to_records_is_not_lost() -> None:
    photo = photograph("a.png")
    predict(photo, "--json", "a.json", "--csv", "a.csv")
    record = json.loads(Path("a.json").read_text())[0]
    Path("a.json").write_text(json.dumps([record | {"by_hand": 3}], indent=1) + "\n")
    heading, row = Path("a.csv").read_text().splitlines()
    Path("a.csv").write_text(f'{heading},"by_hand"\n{row},3\n')
    Path("row.csv").write_text(f'{heading}\n{row}\n"my own row",1,2\n')
    Path("other.csv").write_text(f"{heading}\n{row}\n{row.replace(record['weights_sha256'], 16 * '0')}\n")
    Path("wide.csv").write_text('"photo","count",' + 200_000 * "x")  # no reader takes such a field
    Path("r.csv").write_text('"photo","count","rater"\n"a.png",23,"Ada"\n')  # as R writes one
    Path("hand.json").write_text(json.dumps([{"photo": "a.png", "count_by_hand": 23}], indent=1))
    before = {
        path: path.read_bytes()
        for path in map(Path, ["a.json", "a.csv", "row.csv", "other.csv", "wide.csv", "r.csv", "hand.json"])
    }
    for path in before:
        said = refused("predict", photo, "--checkpoint", MODEL, "--out", "out", f"--{path.suffix[1:]}", path)
        assert f"{path} holds something else, which would be lost" in said
    assert before == {path: path.read_bytes() for path in before}


def test_of_several_pictures_in_a_file_the_first_is_counted_and_that_is_said() -> None:
    page = Image.fromarray(np.full((40, 60, 3), 200, np.uint8))
    page.save("two.tif", save_all=True, append_images=[page])
    page.save("moving.gif", save_all=True, append_images=[Image.new("RGB", (60, 40))])
    photograph("one.png")
    Path("cut.gif").write_bytes(Path("moving.gif").read_bytes()[:-12])  # its first picture is whole
    assert run("predict", "cut.gif", "--checkpoint", MODEL, "--out", "out").code == 0
    done = run("predict", "two.tif", "moving.gif", "one.png", "--checkpoint", MODEL, "--out", "out")
    notes = [line for line in done.err.splitlines() if "pictures" in line]
    assert done.code == 0
    assert notes == [f"note: {name} holds 2 pictures, and the first is counted" for name in ("two.tif", "moving.gif")]


def test_what_is_read_only_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = photograph("a.png")
    predict(photo, "--json", "a.json", "--save-map")
    before = {path: path.read_bytes() for path in [Path("a.json"), *Path("out").iterdir()]}
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in before)  # who tests may be root
    asked = ("predict", photo, "--checkpoint", OTHER, "--out", "out", "--save-map")
    assert "a.json is read-only" in refused(*asked, "--json", "a.json")
    (record,) = json.loads(ran(*asked[:-1], "--json", "-"))
    assert record["overlay"] == "out/a-2.png" and "map" not in record
    (record,) = json.loads(ran(*asked, "--json", "-"))
    assert record["overlay"] == "out/a-2.png" and record["map"] == "out/a-2.npy"
    assert before == {path: path.read_bytes() for path in before}


def test_a_link_to_records_stays_a_link() -> None:
    photo = photograph("a.png")
    predict(photo, "--json", "real.json")
    Path("link.json").symlink_to("real.json")
    ran("predict", photo, "--checkpoint", OTHER, "--out", "out", "--json", "link.json")
    assert Path("link.json").is_symlink()
    assert json.loads(Path("real.json").read_text())[0]["weights_sha256"] == weights_digest(OTHER)


def test_the_card_is_that_of_the_model_that_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = photograph("a.png")
    Path("m.safetensors").write_bytes(MODEL.read_bytes())

    def counted(*arguments: Any, **options: Any) -> Any:
        Path("m.safetensors").unlink()  # a training that keeps few epochs does
        return save_overlay(*arguments, **options)

    monkeypatch.setattr(overlay, "save_overlay", counted)
    done = run("predict", photo, "--checkpoint", "m.safetensors", "--out", "out")
    assert done.code == 0 and f"(weights {weights_digest(MODEL)})" in done.err


def test_a_model_that_a_training_saves_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, load = photograph("a.png"), checkpoints.load_counter
    Path("m.safetensors").write_bytes(MODEL.read_bytes())

    def slow(path: Path) -> Any:
        read = load(path)
        os.link(OTHER, "new")
        os.replace("new", path)
        monkeypatch.setattr(checkpoints, "load_counter", load)
        return read

    monkeypatch.setattr(checkpoints, "load_counter", slow)
    done = run("predict", photo, "--checkpoint", "m.safetensors", "--out", "out", "--json", "-")
    (record,) = json.loads(done.out)
    expected = float(predict_density(load(OTHER)[0], read_image(photo)).double().sum())
    assert record["count"] == pytest.approx(expected, rel=1e-6)
    assert record["weights_sha256"] == weights_digest(OTHER) and f"(weights {weights_digest(OTHER)})" in done.err


def test_a_folder_of_the_name_is_no_model() -> None:
    Path("se+fd").mkdir()
    assert "a.png: " in ran("predict", photograph("a.png"), "--out", "out")


# --- names ------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("stem", ["x" * 250, "λ" * 125, "𝔸" * 62 + "xx"])
def test_long_names_are_written_and_longer_ones_are_told_before(stem: str) -> None:
    photo, two = photograph(f"one/{stem}.png", seed=1), photograph(f"two/{stem}.png", seed=2)
    predict(photo)
    assert [path.name for path in Path("out").iterdir()] == [f"{stem}.png"]
    says = run("predict", two, "--checkpoint", MODEL, "--out", "out").complaint
    assert "a name of 256 bytes is longer than this disk allows" in says and f"{stem}-2.png" in says
    asked = ("predict", photograph("a.png"), photo, "--checkpoint", MODEL, "--out", "new/folder", "--save-map")
    assert "a name of 258 bytes is longer than this disk allows" in refused(*asked)


def test_one_name_twice_in_a_call_gives_two_overlays() -> None:
    one, two = photograph("a/p.png", seed=1), photograph("b/p.png", seed=2)
    assert [line.rpartition(", ")[2] for line in predict(one, two).splitlines()] == ["out/p.png", "out/p-2.png"]


@pytest.mark.slow
def test_another_model_replaces_the_overlay_of_the_same_photograph() -> None:
    photo = photograph("a.png")
    predict(photo)
    before = Path("out/a.png").read_bytes()
    ran("predict", photo, "--checkpoint", OTHER, "--out", "out")
    assert Path("out/a.png").read_bytes() != before and len(list(Path("out").iterdir())) == 1


# --- places that cannot be written to ---------------------------------------------------------------------------------
@linux
@pytest.mark.parametrize("place", ["file", "file/below", "/proc/new", "x" * 300])
def test_a_place_that_cannot_be_is_told_before_the_counting(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("counted first")

    Path("file").write_text("mine")
    photo = photograph("a.png")
    monkeypatch.setattr("sdcda_tutorial.prediction.predict_density", never)
    monkeypatch.setattr("sdcda_tutorial.evaluation.overlay.predict_density", never)
    says = refused("predict", photo, "--checkpoint", MODEL, "--out", place)
    assert says.startswith("sdcda: cannot write ") and place[:20] in says
    assert {*files()} == {"file", "a.png"}


# --- pipes ------------------------------------------------------------------------------------------------------------
def program(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sdcda_tutorial", *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, **options)


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_reads_one_line_gets_all_the_overlays(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    photos = [photograph(f"{name}.png") for name in "abc"]
    process = program("predict", *photos, "--checkpoint", MODEL, "--out", "out", stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b"a.png: ")
    process.stdout.close()
    told = process.stderr.read()
    assert process.wait() == 0 and told.startswith(b"model card of "), told
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "b.png", "c.png"}


@linux
@pytest.mark.slow
def test_a_full_disk_behind_the_output_is_told_when_all_is_done() -> None:
    photos = [photograph(f"{name}.png") for name in "ab"]
    with open("/dev/full", "w") as full:
        process = program("predict", *photos, "--checkpoint", MODEL, "--out", "out", stdout=full)
        told = process.communicate()[1].decode()
    last = told.splitlines()[-1]
    assert process.returncode == 2 and "Traceback" not in told
    assert last == "sdcda: all is done, but not all could be printed: No space left on device"
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "b.png"}


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("--help >&-", 0, ""),
        ("--help | true", 0, ""),
        ("--help >/dev/full", 2, "sdcda: all is done, but not all could be printed: No space left on device\n"),
        ("--help 2>&-", 0, ""),
        ("nosuch 2>/dev/full", 2, ""),
        ("nosuch 2>&- >&-", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full(command: str, code: int, told: str) -> None:
    words, redirection = command.split(" ", 1)
    line = f'"{sys.executable}" -m sdcda_tutorial {words} {redirection}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stderr) == (code, told)


def test_records_and_areas_that_would_lose_something_are_refused(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "a.jpg")
    asked = ("predict", photo, "--checkpoint", MODEL, "--out", tmp_path / "out")
    assert "name two files" in refused(*asked, "--json", tmp_path / "r.x", "--csv", f"{tmp_path}/./r.x")
    assert "overlay or a map" in refused(*asked, "--json", tmp_path / "out/a.png")
    for name, files_of in (("json", "csv"), ("csv", "json")):
        for record in ("out", "new/folder"):
            out = ("--out", tmp_path / "new/folder/out") if record != "out" else asked[-2:]
            said = refused(*asked[:-2], *out, f"--{name}", tmp_path / record)
            assert f"--{name} {tmp_path / record} would be the folder of other files" in said
        said = refused(*asked, f"--{name}", tmp_path / "r", f"--{files_of}", tmp_path / "r/s")
        assert f"--{name} {tmp_path / 'r'} would be the folder of other files" in said
    assert "--area" in refused(*asked, "--region", "0,0,10,10", "--area", "1e-320", "--json", tmp_path / "r.json")
    assert "cross or touch" in refused(*asked, "--region", "0,0 10,10 20,20")


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
def test_no_name_commands_the_terminal(tmp_path: Path) -> None:
    photo, model = photograph(tmp_path / "n\n\x1b[31mRED.jpg"), tmp_path / "m\nsdcda: \x1b[31m.safetensors"
    model.write_bytes(MODEL.read_bytes())
    done = run("predict", photo, "--checkpoint", model, "--out", tmp_path / "out")
    assert done.out.count("\n") == 1 and "\x1b" not in done.out and "x1b[31mRED" in done.out
    assert "x1b[31m" in done.err and "\x1b" not in done.err and "\nsdcda: " not in done.err


@linux
def test_home_is_meant_where_the_shell_left_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    photograph("home/~/a.png")  # such a folder is reached by ./~
    Path("home/a.png").write_bytes(Path("home/~/a.png").read_bytes())
    monkeypatch.setenv("HOME", str(home))
    ran("predict", "~/a.png", "--checkpoint", MODEL, "--out=~/out", "--json=~/a.json", "--csv", "~/a.csv")
    assert [path.name for path in (home / "out").iterdir()] == ["a.png"]
    assert (home / "a.json").exists() and (home / "a.csv").exists() and not Path("~").exists()
    monkeypatch.chdir(home)
    ran("predict", "./~/a.png", "--checkpoint", MODEL, "--out", "./~/out", "--json", "~.json")
    assert [path.name for path in (home / "~" / "out").iterdir()] == ["a.png"]
    assert (home / "~.json").exists()  # only ~ and ~/ are read so


def test_a_counter_of_drawn_scenes_says_so_under_any_name(tmp_path: Path) -> None:
    photograph("a.png")
    tensors, card = load(MODEL)
    mini = {"world": "mini world"}
    note = "was trained on synthetic scenes only; do not rely on its counts of photographs"
    for name, source, target, told in (
        ("mini", mini, mini, True), ("alone", mini, None, True),
        ("photos", mini, {"format": "ImageFolder"}, False), ("real", {"format": "GCC"}, None, False),
        ("old", None, None, False),
    ):  # fmt: skip
        save(
            f"{name}.safetensors",
            tensors,
            card | {"config": card["config"] | {"source_data": source, "target_data": target}},
        )
        done = run("predict", "a.png", "--checkpoint", f"{name}.safetensors", "--out", name)
        assert done.code == 0 and (note in done.err) == told, (name, done.err)
