"""The rows of Table 1 beside the paper's method: SFCN as the counter, CycleGAN's images as the source, and both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import files, ran, refused, small_home

from sdcda_tutorial.datasets import GCC
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.experiments import pipeline as experiment
from sdcda_tutorial.experiments.benchmark_rows import GROUPS, METHOD_TITLES
from sdcda_tutorial.experiments.presets import COUNTERS, METHODS, MINI, PAPER, PHOTOS, split_run_name
from sdcda_tutorial.guards.provenance import without_contents
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.paper import TABLE_1
from sdcda_tutorial.rivals.sfcn import SFCN
from sdcda_tutorial.rivals.translation import TRANSLATIONS, Translation
from sdcda_tutorial.training import AdaptationConfig, checkpoints

pytestmark = pytest.mark.slow

RUNS = Path("runs/mini")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in."""
    with small_home(tmp_path_factory.mktemp("home")) as folder:
        yield folder


@pytest.fixture(scope="module")
def rivals(home: Path) -> dict[str, str]:
    """What was printed by each training, all of them in one folder."""
    asked = [("sfcn", "noadapt"), ("sfcn", "se+fd"), ("paper", "cyclegan"), ("sfcn", "cyclegan"), ("paper", "noadapt")]
    return {f"{c}, {m}": ran("train", "--counter", c, "--method", m) for c, m in asked}


def model(name: str) -> Path:
    return RUNS / name / "model.safetensors"


# --- names ------------------------------------------------------------------------------------------------------------
def test_a_run_is_called_by_its_counter_and_its_method() -> None:
    for counter in COUNTERS:
        preset = PAPER.counter(counter)
        for method in (*METHODS, *TRANSLATIONS):
            assert split_run_name(preset.run_name(method)) == (counter, method)
    assert [PAPER.counter(c).run_name("se+fd") for c in COUNTERS] == ["se+fd", "authors-se+fd", "sfcn-se+fd"]


def test_another_counter_changes_nothing_else() -> None:
    for preset in (MINI, PAPER, PHOTOS):
        other = preset.counter("sfcn")
        assert (other.segmenter, other.translation) == (preset.segmenter, preset.translation)
        assert (other.warm_start is None) == (preset.warm_start is None)
        for ours, theirs in ((preset.adaptation, other.adaptation), (preset.warm_start, other.warm_start)):
            if ours is not None and theirs is not None:
                assert (theirs.counter, theirs.stride) == ("sfcn", 8)
                assert theirs.learning_rate == min(ours.learning_rate, 5e-4)  # above it SFCN learns zeros for ever
                same = {"counter": ours.counter, "stride": ours.stride, "learning_rate": ours.learning_rate}
                assert replace(theirs, **same) == ours
        assert preset.counter("paper") == preset
    assert PAPER.counter("authors").adaptation.stride == 16


def test_the_benchmark_knows_every_row_of_table_1() -> None:
    ours = {
        "NoAdpt [16]": "SFCN, NoAdapt",
        "Cycle GAN [26]": "SFCN, CycleGAN",
        "SE Cycle GAN [16]": "SFCN, SE CycleGAN",
        "NoAdpt (ours)": "NoAdapt",
        "SE+FD": "SE+FD",
    }
    assert list(ours) == list(dict.fromkeys(score.method for score in TABLE_1))
    titles = [METHOD_TITLES[name] for name in GROUPS["table-1"]]
    assert set(ours.values()) <= set(titles)
    assert [title.removeprefix("SFCN, ") for title in titles[:4]] == titles[4:]  # its methods with either counter
    for method in (*METHODS, *TRANSLATIONS):  # both counters on all of them
        assert {method, f"sfcn-{method}"} <= set(GROUPS["all"])


# --- SFCN -------------------------------------------------------------------------------------------------------------
def test_sfcn_is_trained_as_the_counter_of_the_paper_is(rivals: dict[str, str]) -> None:
    assert rivals["sfcn, se+fd"] == f"the model is {model('sfcn-se+fd')}\n"
    for name in ("sfcn-noadapt", "sfcn-se+fd", "sfcn-warm_start", "sfcn-cyclegan"):
        counter, card = checkpoints.load_counter(model(name))
        assert type(counter) is SFCN and card["config"]["counter"] == "sfcn"
    assert type(checkpoints.load_counter(model("noadapt"))[0]) is CrowdCounter
    # The warm start is what the run began with; the mask model is no counter, and there is one for both.
    config = json.loads((RUNS / "sfcn-se+fd/config.json").read_text())
    assert config["init"] == checkpoints.weights_digest(model("sfcn-warm_start")) and config["pseudo_masks"]
    assert sorted(RUNS.glob("*segmenter*")) == [RUNS / "segmenter"]


def test_sfcn_is_gone_on_with_evaluated_and_shown(rivals: dict[str, str], tmp_path: Path) -> None:
    before = files(RUNS)
    assert ran("train", "--counter", "sfcn", "--method", "noadapt", "--resume") == rivals["sfcn, noadapt"]
    assert files(RUNS) == before
    both = [part for name in ("noadapt", "sfcn-noadapt") for part in ("--checkpoint", model(name))]
    printed = ran("evaluate", *both, "--out", tmp_path)
    assert re.search(r"network +SFCN, stride 8, width 0.03125$", printed, flags=re.M)
    assert re.search(r"network +E and C, stride 8, width 0.03125, kernels: paper$", printed, flags=re.M)
    assert len(list(tmp_path.glob("*.json"))) >= 2


def test_a_counter_does_not_begin_with_another_ones_weights(rivals: dict[str, str]) -> None:
    tensors, card = checkpoints.load(model("sfcn-noadapt"))
    wanted = CrowdCounter(8, 1 / 32, label_factor=10.0).architecture
    with pytest.raises(InputError, match="counter is sfcn, not paper"):
        checkpoints.refuse_other_architecture(card, wanted, model("sfcn-noadapt"))
    assert any(name.startswith("counter.C.spatial_encoder") for name in tensors)


# --- CycleGAN ---------------------------------------------------------------------------------------------------------
def test_rivals_learn_no_mask_from_the_first_step_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, AdaptationConfig] = {}

    def catch(self: Any, run: str, translation: Any, target: Any, config: AdaptationConfig, **_: Any) -> Path:
        asked[run] = config
        return tmp_path

    monkeypatch.setattr(experiment.Experiment, "_adapt", catch)
    photos = experiment.Experiment(tmp_path, PHOTOS, source=None)  # type: ignore[arg-type]  # nothing is opened
    for translation in (None, "cyclegan"):
        photos.warm_start(translation)
    assert asked["warm_start"] == PHOTOS.warm_start and asked["warm_start"].weights.seg_source > 0
    assert asked["cyclegan-warm_start"] == replace(asked["warm_start"], weights=LossWeights())


def test_the_counter_is_trained_on_the_translated_source(rivals: dict[str, str]) -> None:
    translation = checkpoints.weights_digest(model("cyclegan-translation"))
    plain = json.loads((RUNS / "noadapt/config.json").read_text())
    for name in ("cyclegan", "cyclegan-warm_start", "sfcn-cyclegan", "sfcn-cyclegan-warm_start"):
        config = json.loads((RUNS / name / "config.json").read_text())
        own = config["source_data"].pop("contents_sha256")
        assert config["source_data"] | {"contents_sha256": own} != plain["source_data"]
        origin = {"translated_by": translation, "world": "mini world"}  # which it still is
        assert config["source_data"] == without_contents(plain["source_data"]) | origin
        assert config["target_data"] is None and config["weights"] == plain["weights"]
    source = GCC("data/mini/source", "train")
    there = GCC(RUNS / "cyclegan-source")
    assert sorted(there.names) == sorted(source.names)
    place = {name: index for index, name in enumerate(there.names)}
    for index, name in enumerate(source.names):
        before, after = source[index], there[place[name]]
        np.testing.assert_array_equal(before.points, after.points)
        assert before.size == after.size and not np.array_equal(before.image, after.image)


def test_the_same_images_are_held_out(rivals: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(experiment, "adapt", lambda source, *_, **__: seen.append(source))
    for method in ("noadapt", "cyclegan"):
        ran("train", "--method", method, "--resume")
    assert len({tuple(source.names) for source in seen}) == 1


def test_what_is_done_stays_done_and_a_killed_translation_goes_on(
    rivals: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(RUNS)
    for counter in ("paper", "sfcn"):
        ran("train", "--counter", counter, "--method", "cyclegan", "--resume")
    assert files(RUNS) == before

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    asked = ("train", "--method", "se-cyclegan", "--warm-steps", 0)
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="interrupted"):
        patch.setattr(Translation, "step", killed)
        ran(*asked)
    ran(*asked)
    config = json.loads((RUNS / "se-cyclegan-translation/config.json").read_text())
    assert config["weights"]["structure"] == 1.0 and not (RUNS / "se-cyclegan-warm_start").exists()


def test_a_dry_run_rehearses_the_translation_too(home: Path) -> None:
    ran("data", "mini")  # whoever is first draws it, and a dry run may
    before = files()
    printed = ran("train", "--method", "cyclegan", "--out", "new", "--dry-run", "--checkpoint-activations")
    assert re.findall(r"^(\S.*): \d+ steps of", printed, flags=re.M) == [
        "dry run of cyclegan", "translation", "warm start", "cyclegan",
    ]  # fmt: skip
    assert "translated source: 8 images are still to be translated" in printed
    assert files() == before


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("--counter nosuch", "unknown counter 'nosuch'; known are paper, authors, sfcn"),
        ("--method cyclegan --source mini-target:data/mini --out new", "GCC's layout"),
        ("--method cyclegan --devices 2 --out new", "one device"),
        ("--method cyclegan --accumulate 2 --out new", "one device"),
        ("--method se-cyclegan --lambda-t 1", "--lambda-t: the method se-cyclegan switches this λ off"),
        ("--method cyclegan --masks runs/mini/masks", "--masks: λt is 0 here"),
        ("--method se --translation-steps 5", "--translation-steps: the method se translates nothing"),
        ("--method cyclegan", "runs/mini/cyclegan already holds a run"),
        (
            "--method cyclegan --resume --translation-steps 5",
            "was started with steps = 2, not 5",
        ),
    ],
)
def test_bad_options_are_one_line(rivals: dict[str, str], command: str, says: str) -> None:
    assert says in refused("train", *command.split())


# --- the benchmark ----------------------------------------------------------------------------------------------------
def test_counter_and_adaptation_have_rows_of_their_own(tmp_path: Path) -> None:
    methods = "sfcn-noadapt,cyclegan,sfcn-se-cyclegan"
    asked = ("benchmark", "--seeds", 3, "--methods", methods, "--out", tmp_path, "--keep", tmp_path / "kept")
    printed = ran(*asked)
    table, _, differences = printed.partition("mean ± standard deviation")
    assert re.findall(r"^\| (\S.*?) +\| +\d", table, flags=re.M) == ["SFCN, NoAdapt", "CycleGAN", "SFCN, SE CycleGAN"]
    # CycleGAN's own baseline was not asked for.
    assert re.findall(r"^\| (\S.*?) +\| +(\S.*?) +\| +[+-]", differences, flags=re.M) == [
        ("SFCN, SE CycleGAN", "SFCN, NoAdapt")
    ]
    stored = json.loads((tmp_path / "results.json").read_text())
    assert {cell["method"] for cell in stored["cells"]} == set(methods.split(","))
    assert {"cyclegan-translation", "sfcn-se-cyclegan", "sfcn-warm_start"} <= set(stored["seconds"]["3"])
    assert stored["translation"]["3"].keys() == {"cyclegan", "se-cyclegan"}
    assert 0 <= stored["translation"]["3"]["cyclegan"]["source"]["cycle_ssim"] <= 1
    assert stored["alignment"]["3"].keys() == {"sfcn-noadapt"}  # the others have never seen the source as it is
    trained = {path: stamp for path, stamp in files(tmp_path / "seed_3").items() if path.endswith(".safetensors")}
    assert ran(*asked) == printed
    assert trained.items() <= files(tmp_path / "seed_3").items()
    kept = {path.stem for path in (tmp_path / "kept").iterdir()}  # no mask model: none of them has learnt from it
    assert kept == {*methods.split(","), "cyclegan-translation", "se-cyclegan-translation"}
    for name in methods.split(","):
        counter, card = checkpoints.load_counter(tmp_path / "kept" / f"{name}.safetensors")
        assert card["method"] == name and isinstance(counter, SFCN) == name.startswith("sfcn")
        assert ("translated_by" in card["config"]["source_data"]) == ("cyclegan" in name)
