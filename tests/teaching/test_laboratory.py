"""The laboratory: settings, kept runs, interrupted runs, the reader's own functions, the form."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from sdcda_tutorial import __version__
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.teaching import laboratory, notebook
from sdcda_tutorial.teaching.laboratory import Laboratory
from sdcda_tutorial.teaching.laboratory_form import Form
from sdcda_tutorial.teaching.laboratory_questions import QUESTIONS
from sdcda_tutorial.teaching.laboratory_run import DEFAULTS, MASKS, Run, Settings
from sdcda_tutorial.training.counter_training import AdaptationOnDevice

ROOT = Path(__file__).parents[2]
DENSITY = "# Your answer to exercise 4.2, kept on 2026-01-01. Function mine replaces losses.density_loss.\n"


@pytest.fixture
def lab(
    tmp_path: Path, source: CrowdDataset, target: CrowdDataset, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Laboratory]:
    """Makes a laboratory on a tiny world in the same folder each time, as after a restart."""
    monkeypatch.chdir(ROOT)
    return lambda: Laboratory(
        tmp_path / "runs", source=source, target=target, test=target.subset([0, 1]), own=tmp_path / "answers"
    )


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoints that a test may replace, in place of the project's."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("noadapt-early", "segmenter", "se"):
        shutil.copy(ROOT / "data/checkpoints" / f"{name}.safetensors", folder)
    monkeypatch.setattr(notebook, "CHECKPOINTS", folder)
    return folder


def run_of(**changed: Any) -> Run:
    return Run(Settings(**changed), mae=12.34, background=5.0, crowd=-1.0, seconds=20.0, about={"date": "2026-01-01"})


# Settings -------------------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_methods_own() -> None:
    assert DEFAULTS.config().weights == LossWeights(0.01, 0.01, 0.001)
    assert str(DEFAULTS) == "SE+FD, nothing changed"
    assert str(Settings(lambda_t=0, masks="shuffled", seed=2)) == "λt = 0, masks = shuffled, seed = 2"


def test_equal_settings_have_one_key_and_others_another() -> None:
    assert Settings(lambda_t=0).key == Settings(lambda_t=0.0).key == Settings(lambda_t=-0.0).key
    own = {"own": {"losses.total_loss": "0"}}
    others = [Settings(**changed) for changed in [*QUESTIONS.values(), {"seed": 1}, own]]
    assert len({settings.key for settings in others}) == len(others)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lambda_t": -1}, "lambda_t is from 0 up"),
        ({"lambda_t": "much"}, "lambda_t is a number"),
        ({"lambda_t": float("nan")}, "lambda_t is from 0 up"),
        ({"lambda_d": True}, "lambda_d is a number"),
        ({"learning_rate": 0}, "learning_rate is above 0"),
        ({"learning_rate": 2}, "at most 1"),
        ({"masks": "best"}, "masks is one of predicted, perfect"),
        ({"D_sees": "image"}, "D_sees is one of features"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"steps": 0}, "steps is above 0"),
        ({"steps": 1001}, "steps is at most 1000"),
        ({"D_sees": "mask", "lambda_s": 0, "lambda_t": 0}, "only where there is an S"),
        ({"lambda": 1}, "there is no setting lambda; known are lambda_s"),
    ],
)
def test_impossible_settings_are_one_line(changed: dict[str, Any], message: str, lab: Callable[[], Laboratory]) -> None:
    with pytest.raises(InputError, match=message) as raised:
        lab().train(**changed)
    assert "\n" not in str(raised.value)


def test_what_has_no_effect_is_said() -> None:
    assert "masks have no effect" in Settings(masks="none", lambda_t=0).without_effect()[0]
    assert "there is no D" in Settings(D_sees="density", lambda_d=0).without_effect()[0]
    assert Settings(masks="none").without_effect() == []


# Kept runs ------------------------------------------------------------------------------------------------------------


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = run_of(lambda_t=0, seed=3)
    made.to_json(path := tmp_path / f"{made.settings.key}.json")
    assert Run.from_json(path) == made
    assert repr(made).startswith("λt = 0, seed = 3: MAE 12.3, background error 5.0, crowd error -1.0")


def broken(kind: str) -> str:
    made = run_of()
    whole = {"settings": asdict(made.settings), "figures": {"mae": 1, "background": 1, "crowd": 1}, "seconds": 1}
    return {
        "no JSON": "{",
        "a list": "[]",
        "another file": '{"settings": {}}',
        "an unknown setting": json.dumps({**whole, "settings": {"lambda": 1}}),
        "not finite": json.dumps({**whole, "figures": {"mae": float("inf"), "background": 1, "crowd": 1}}),
        "of other settings": json.dumps({**whole, "settings": {"seed": 9}}),
        "no figures": json.dumps({**whole, "figures": {}}),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["no JSON", "a list", "another file", "an unknown setting", "not finite", "of other settings", "no figures"],
)
def test_a_broken_or_foreign_file_is_left_out_with_one_line(
    kind: str, lab: Callable[[], Laboratory], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab()
    here.folder.mkdir(parents=True)
    (here.folder / f"{DEFAULTS.key}.json").write_text(broken(kind))
    good = run_of(seed=4)
    good.to_json(here.folder / f"{good.settings.key}.json")
    here.table()
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "is left out" in line] == said[:1]
    assert here.runs()[0] == [good]


def test_an_edited_row_is_left_out_and_one_without_a_digest_is_shown(lab: Callable[[], Laboratory]) -> None:
    made, here = run_of(), lab()
    made.to_json(path := here.folder / f"{DEFAULTS.key}.json")
    stored = json.loads(path.read_text())
    stored["figures"]["mae"] = 0.1
    path.write_text(json.dumps(stored))
    assert here.runs() == ([], [f"{path} is left out: its figures are not those that were measured"])
    del stored["figures_sha256"]  # as earlier versions wrote it
    path.write_text(json.dumps(stored))
    assert [run.mae for run in here.runs()[0]] == [0.1]


@pytest.mark.slow
def test_an_edited_row_is_made_again_with_a_line(lab: Callable[[], Laboratory]) -> None:
    first, lines = lab().train(steps=1, lambda_t=0, lambda_d=0)
    assert lines == []
    path = lab().folder / f"{first.settings.key}.json"
    path.write_text(path.read_text().replace(f'"mae": {first.mae}', '"mae": 0.1'))
    again, lines = lab().train(steps=1, lambda_t=0, lambda_d=0)
    assert again.figures == first.figures
    assert lines == [f"{path} is made again: its figures are not those that were measured"]


@pytest.mark.slow
@pytest.mark.parametrize(("replaced", "lambda_t"), [("noadapt-early", 0), ("segmenter", 0.01)])
def test_a_row_of_other_weights_is_not_shown_beside_the_new_ones(
    replaced: str, lambda_t: float, lab: Callable[[], Laboratory], weights: Path
) -> None:
    first, _ = lab().train(steps=1, lambda_t=lambda_t, lambda_d=0)
    old, _ = lab().train(steps=1, lambda_t=lambda_t, lambda_d=0, seed=1)
    lab().ask("better", steps=1, lambda_t=lambda_t, lambda_d=0)
    here = lab()
    assert here.train(steps=1, lambda_t=lambda_t, lambda_d=0, seed=1)[0] == old
    shutil.copy(weights / "se.safetensors", weights / f"{replaced}.safetensors")
    assert here.runs()[0] == [] and all("made with other weights than data" in line for line in here.runs()[1])
    again, lines = here.train(steps=1, lambda_t=lambda_t, lambda_d=0)
    assert any("is made again: it was made with other weights" in line for line in lines)
    assert again.figures != first.figures and again.about["prediction"] == "better"
    assert here.made == here.runs()[0] == [again] and len(here.runs()[1]) == 1
    assert here.train(steps=1, lambda_t=lambda_t, lambda_d=0)[0] == again


def test_the_mask_model_concerns_only_runs_with_masks(lab: Callable[[], Laboratory], weights: Path) -> None:
    with_masks, without = ({"start": laboratory._start(masks)} for masks in (True, False))
    shutil.copy(weights / "se.safetensors", weights / "segmenter.safetensors")
    here = lab()
    for changed, about in (({"lambda_t": 0}, without), ({"seed": 1}, {}), ({"seed": 2}, with_masks)):
        made = Run(Settings(**changed), mae=1, background=1, crowd=0, seconds=1, about=about)  # type: ignore[arg-type]
        made.to_json(here.folder / f"{made.settings.key}.json")
    shown, (line,) = here.runs()
    assert {str(run.settings) for run in shown} == {"λt = 0", "seed = 1"} and Settings(seed=2).key in line


def test_a_folder_may_be_named_by_a_string(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # of Windows
    here = Laboratory("runs/lab2", own="~/answers")  # type: ignore[arg-type]
    assert (here.folder, here.own) == (Path("runs/lab2"), tmp_path / "answers")


def test_rows_are_in_the_order_in_which_they_were_made(lab: Callable[[], Laboratory]) -> None:
    here = lab()
    for place, seed in enumerate((5, 1, 3)):
        made = run_of(seed=seed)
        made.to_json(path := here.folder / f"{made.settings.key}.json")
        os.utime(path, (place, place))
    assert [run.settings.seed for run in here.runs()[0]] == [5, 1, 3]
    table = here.markdown(here.runs()[0]).splitlines()
    assert [line for line in table if "five seeds" in line and "8.9 ± 0.8" in line]
    assert [line for line in table if line.startswith("| **seed = ")] == table[-3:]


@pytest.mark.slow
def test_a_run_is_made_once_and_shown_again(
    lab: Callable[[], Laboratory], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab().run(steps=2, lambda_d=0)
    assert (lab().folder / f"{first.settings.key}.json").exists()
    capsys.readouterr()
    monkeypatch.setattr(AdaptationOnDevice, "step", None)  # would fail
    again = lab()
    assert again.run(steps=2, lambda_d=0) == first
    said = capsys.readouterr().out
    assert "is shown again" in said and "by version" not in said
    monkeypatch.setattr(laboratory, "__version__", "9.9")
    assert again.run(steps=2, lambda_d=0) == first
    assert f"by version {__version__} and is shown again" in capsys.readouterr().out
    assert isinstance(again.figure(first), Figure)
    with pytest.raises(TypeError):
        again.run(steps=2, lambda_d=0, again=True)
    assert again.runs() == ([first], [])


@pytest.mark.slow
def test_a_question_waits_for_a_prediction_and_keeps_it(
    lab: Callable[[], Laboratory], capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab().ask("  ", steps=1, lambda_d=0) is None and lab().runs() == ([], [])
    assert capsys.readouterr().out.startswith("… Write your prediction")
    found = lab().ask("nothing happens", steps=1, lambda_d=0)
    assert "Your prediction: nothing happens" in capsys.readouterr().out
    assert lab().runs()[0] == [found] and found is not None and found.about["prediction"] == "nothing happens"
    assert lab().ask("it gets worse", steps=1, lambda_d=0) == found  # now that the reader knows
    assert "your first prediction stays" in capsys.readouterr().out
    assert lab().log(found)[-1]["step"] == 1


@pytest.mark.slow
def test_every_kind_of_mask_and_of_D_trains(lab: Callable[[], Laboratory]) -> None:
    found = {lab().train(steps=1, masks=masks)[0].mae for masks in MASKS}
    found |= {lab().train(steps=1, D_sees=sees, lambda_d=1)[0].mae for sees in ("mask", "density")}
    assert len(found) == 6
    assert len(lab().runs()[0]) == 6


@pytest.fixture
def interrupted(
    lab: Callable[[], Laboratory], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, list[int]]]:
    """`interrupted(**settings)` stops a run in its fourth step; its folder, and a list that grows with later steps."""
    monkeypatch.setattr("sdcda_tutorial.teaching.laboratory_run.SAVE_EVERY", 2)
    step, before, after = AdaptationOnDevice.step, [], []

    def counted(self: Any, source: Any, target: Any) -> Any:
        if len(before) < 4:
            before.append(1)
            if len(before) == 4:
                raise KeyboardInterrupt
        else:
            after.append(1)
        return step(self, source, target)

    def train(**changed: Any) -> tuple[Path, list[int]]:
        monkeypatch.setattr(AdaptationOnDevice, "step", counted)
        with pytest.raises(KeyboardInterrupt):
            lab().train(**changed)
        return lab().folder / Settings(**changed).key, after

    return train


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".sdcda-lock"}


@pytest.mark.slow
def test_an_interrupted_run_goes_on(lab: Callable[[], Laboratory], interrupted: Callable[..., Any]) -> None:
    _, steps = interrupted(steps=5, lambda_d=0)
    assert lab().runs() == ([], [])
    resumed, lines = lab().train(steps=5, lambda_d=0)
    assert len(steps) == 3 and any("goes on where it was saved" in line for line in lines)
    unbroken, _ = lab().train(steps=5, lambda_d=0, again=True)
    assert (unbroken.mae, unbroken.background) == (resumed.mae, resumed.background)


@pytest.mark.slow
def test_an_interrupted_run_stays_while_another_process_writes_there(
    lab: Callable[[], Laboratory], interrupted: Callable[..., Any]
) -> None:
    few: dict[str, Any] = {"steps": 5, "lambda_t": 0, "lambda_d": 0}
    folder, steps = interrupted(**few)
    before = contents(folder)
    for again in (False, True):
        with ThreadPoolExecutor(1) as pool, one_writer(folder):  # a thread is as another process
            with pytest.raises(InputError, match="another process is writing to"):
                pool.submit(lab().train, again=again, **few).result()
            assert contents(folder) == before and steps == []
    lab().train(**few)
    assert len(steps) == 3


@pytest.mark.slow
def test_an_interrupted_run_stays_where_beginning_anew_fails_too(
    lab: Callable[[], Laboratory], interrupted: Callable[..., Any], weights: Path
) -> None:
    folder, steps = interrupted(steps=5, lambda_t=0, lambda_d=0)
    before, start = contents(folder), weights / "noadapt-early.safetensors"
    whole = start.read_bytes()
    start.write_bytes(whole[:-4])  # a download that broke off
    with pytest.raises(InputError, match=r"noadapt-early\.safetensors is broken"):
        lab().train(steps=5, lambda_t=0, lambda_d=0)
    assert contents(folder) == before
    start.write_bytes(whole)
    lab().train(steps=5, lambda_t=0, lambda_d=0)
    assert len(steps) == 3


@pytest.mark.slow
def test_a_readers_own_files_stay_beside_a_run(
    lab: Callable[[], Laboratory], interrupted: Callable[..., Any], weights: Path
) -> None:
    few: dict[str, Any] = {"steps": 5, "lambda_t": 0, "lambda_d": 0}
    folder, steps = interrupted(**few)
    (folder / "my_plot.png").write_text("mine")
    shutil.copy(weights / "se.safetensors", weights / "noadapt-early.safetensors")
    _, lines = lab().train(**few)
    assert "starts anew" in lines[0] and len(steps) == 5
    lab().train(again=True, **few)
    assert sorted(contents(folder)) == ["config.json", "metrics.jsonl", "model.safetensors", "my_plot.png"]


@pytest.mark.slow
def test_a_run_on_other_data_is_not_shown_for_it(lab: Callable[[], Laboratory], source: CrowdDataset) -> None:
    first, _ = lab().train(steps=1, lambda_t=0, lambda_d=0)
    other = lab()
    other.test = source.subset([0, 1])
    with pytest.raises(InputError, match="is a run on other data; keep these in a folder of their own"):
        other.train(again=True, steps=1, lambda_t=0, lambda_d=0)
    runs, lines = other.runs()
    assert runs == [] and "is left out: it is a run on other data" in lines[0]
    assert lab().runs()[0] == [first] and lab().figure(first) is not None


@pytest.mark.slow
def test_a_run_whose_file_is_gone_is_made_again(lab: Callable[[], Laboratory]) -> None:
    first, _ = lab().train(steps=1, lambda_t=0, lambda_d=0)
    (lab().folder / f"{first.settings.key}.json").unlink()
    again, _ = lab().train(steps=1, lambda_t=0, lambda_d=0)
    assert again.figures == first.figures


def test_each_set_that_is_given_is_taken(source: CrowdDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    mine = source.subset([0])
    here = Laboratory(test=mine)
    assert here.data[2] is mine and [len(data) for data in here.data[:2]] == [400, 100]


@pytest.mark.slow
def test_a_prediction_stays_with_its_run(lab: Callable[[], Laboratory]) -> None:
    lab().ask("less", steps=1, lambda_t=0, lambda_d=0)
    again, _ = lab().train(again=True, steps=1, lambda_t=0, lambda_d=0)
    assert again.about["prediction"] == "less" == lab().runs()[0][0].about["prediction"]


@pytest.mark.slow
def test_a_folder_that_cannot_be_used_is_made_anew_with_a_line(lab: Callable[[], Laboratory]) -> None:
    here = lab()
    folder = here.folder / Settings(steps=2, lambda_d=0).key
    folder.mkdir(parents=True)
    (folder / "last.safetensors").write_bytes(b"broken")
    (folder / "config.json").write_text("{}")
    _, lines = here.train(steps=2, lambda_d=0)
    assert any("starts anew" in line for line in lines)


# The reader's own functions -------------------------------------------------------------------------------------------


def test_without_an_own_function_the_reader_is_told(
    lab: Callable[[], Laboratory], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="no function of yours is kept yet"):
        lab().train(own=True)
    lab().mine()
    assert capsys.readouterr().out.count("the package's") == 9


@pytest.mark.slow
def test_a_run_takes_the_readers_function(lab: Callable[[], Laboratory], capsys: pytest.CaptureFixture[str]) -> None:
    here = lab()
    here.own.mkdir()
    (here.own / "4.2.py").write_text(DENSITY + "def mine(pred, truth):\n    return ((pred - truth) ** 2).mean() / 2\n")
    found = here.run(own=True, steps=3)
    said = capsys.readouterr().out
    assert "losses.density_loss                yours, from exercise 4.2" in said
    assert "called 3 times: your losses.density_loss" in said
    package, _ = here.train(steps=3)
    assert found.mae == pytest.approx(package.mae, rel=0.02)
    assert found.settings.key != package.settings.key and "own functions (1, version " in repr(found)


@pytest.mark.slow
def test_the_readers_mistake_is_shown_with_its_line(lab: Callable[[], Laboratory]) -> None:
    here = lab()
    here.own.mkdir()
    (here.own / "4.2.py").write_text(DENSITY + "def mine(pred, truth):\n    return pred[9]\n")
    with pytest.raises(InputError, match=r"your losses.density_loss .*line 3, `return pred\[9\]`"):
        here.train(own=True, steps=2)


# The form -------------------------------------------------------------------------------------------------------------


def form_of(lab: Laboratory) -> Form:
    return Form(lab.train, lab.figure, lab.rows)


@pytest.mark.slow
def test_the_form_trains_reports_and_adds_a_row(lab: Callable[[], Laboratory]) -> None:
    form = form_of(lab())
    before = form.rows.value.count("<tr>")
    form.inputs["steps"].value, form.inputs["lambda_d"].value = 2, 0.0
    form.button.click()
    assert form.said.value.endswith("people per image") and "Done." in form.said.value
    assert (form.progress.value, form.progress.max) == (2, 2)
    assert form.rows.value.count("<tr>") == before + 1 and "λd = 0, steps = 2" in form.rows.value
    assert form.image.value[:2] == b"\xff\xd8"
    assert form_of(lab()).rows.value == form.rows.value


def test_the_form_says_an_error_in_one_line(lab: Callable[[], Laboratory]) -> None:
    form = form_of(lab())
    form.inputs["D_sees"].value = "mask"
    form.inputs["lambda_s"].value = form.inputs["lambda_t"].value = 0.0
    form.button.click()
    assert form.said.value.startswith("D can look at the mask only") and not form.button.disabled


def test_every_control_has_a_label(lab: Callable[[], Laboratory]) -> None:
    assert all(control.description for control in form_of(lab()).inputs.values())


# The stored answers ---------------------------------------------------------------------------------------------------


def test_the_stored_answers_are_of_the_questions_and_their_means() -> None:
    stored = json.loads((ROOT / "data/results/laboratory.json").read_text(encoding="utf-8"))
    assert list(stored["summary"]) == list(QUESTIONS) and len(stored["seeds"]) == 3
    for number, mean in stored["summary"].items():
        cells = [cell for cell in stored["cells"] if cell["question"] == number]
        assert [cell["seed"] for cell in cells] == stored["seeds"]
        assert all(cell["changed"] == QUESTIONS[number] for cell in cells)
        for name, value in mean.items():
            assert value == pytest.approx(sum(cell[name] for cell in cells) / len(cells), abs=1e-3)
