"""The check for a GPU, without one: no part can spoil the others or the report, and all of them run on a CPU."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gpu_check
import gpu_parts
import pytest
import torch
from gpu_parts import Bench, Found, NotHere, Part

ROOT = Path(__file__).parents[1]
MACHINE = {"hardware": {"gpu": "Card A", "gpu_memory_gib": 15.0}, "versions": {"torch": "2.9"}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "work").mkdir()
    return Bench(tmp_path / "work", "cpu", small=True)


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of the check in a process of its own."""
    command = [sys.executable, "tools/gpu_check.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    return done.returncode, done.stderr


# --- parts, as another process imports them ---------------------------------------------------------------------------
def measures(bench: Bench, found: Found) -> None:
    found.figures(people=12.34567, maps={"largest": 0.1})
    found.check("difference", 0.5, 1)


def is_wrong(bench: Bench, found: Found) -> None:
    found.check("difference", math.nan, 1)
    found.check("another", 1, 1)


def fails(bench: Bench, found: Found) -> None:
    found.figures(before=1)
    print("what it printed last")
    raise RuntimeError("out of memory\nTried to allocate 20 GiB")


def is_killed(bench: Bench, found: Found) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def cannot(bench: Bench, found: Found) -> None:
    raise NotHere("this card has no bfloat16")


def hangs(bench: Bench, found: Found) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    found.figures(other=other.pid)
    time.sleep(600)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()  # ended, and nobody has asked how


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither SIGKILL nor sessions")
def test_a_part_that_fails_is_recorded_and_the_others_go_on(bench: Bench, tmp_path: Path) -> None:
    works = [measures, is_wrong, fails, is_killed, cannot, measures]
    parts = [Part(f"{place}", "?", 120, work) for place, work in enumerate(works)]
    report = gpu_check.check(parts, bench, tmp_path, 60, {}, ())
    good, wrong, failed, killed, not_here, after = report["parts"].values()
    assert good["status"] == after["status"] == "passed"
    assert good["figures"] == {"people": 12.35, "maps": {"largest": 0.1}} and good["checks"][0]["value"] == 0.5
    assert wrong["status"] == "failed" and [check["passed"] for check in wrong["checks"]] == [False, True]
    assert failed["status"] == "error" and failed["figures"] == {"before": 1}
    assert failed["error"] == "RuntimeError: out of memory Tried to allocate 20 GiB"
    assert "in fails" in failed["traceback"] and "what it printed last" in failed["output"]
    assert killed["status"] == "error" and "exit code -9; it printed nothing" in killed["error"]
    assert not_here["status"] == "not on this card" and not_here["error"] == "this card has no bfloat16"
    assert json.loads((tmp_path / "report.json").read_text()) == report


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_part_that_hangs_is_ended_with_all_that_it_started(bench: Bench) -> None:
    began = time.monotonic()
    done = gpu_check.run_part(Part("hangs", "?", 20, hangs), bench, 20)
    assert done["status"] == "out of time" and done["error"] == "ended after 20 s"
    assert 20 <= time.monotonic() - began < 60
    assert not runs(done["figures"]["other"])  # found before it hung


# --- the report -------------------------------------------------------------------------------------------------------
PARTS = [Part(name, f"What of {name}?", 60, measures) for name in ("machine", "data", "speed", "tiles")]


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the parts that are done; doing one is only noted, but for `tiles`, which fails."""
    names: list[str] = []

    def run_part(part: Part, bench: Bench, limit: float) -> dict[str, Any]:
        names.append(part.name)
        status = "error" if part.name == "tiles" else "passed"
        return {"status": status, "seconds": 1.0, "checks": [], "figures": MACHINE if part.name == "machine" else {}}

    monkeypatch.setattr(gpu_check, "run_part", run_part)
    return names


def test_the_report_is_written_after_every_part(bench: Bench, tmp_path: Path, done: list[str]) -> None:
    stored = []
    write = gpu_check.write_json
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            gpu_check, "write_json", lambda path, report: (write(path, report), stored.append(path.read_text()))
        )
        gpu_check.check(PARTS, bench, tmp_path, 8, {}, ("machine", "data"))
    assert [list(json.loads(text)["parts"]) for text in stored] == [done[: place + 1] for place in range(4)]


def test_what_did_not_pass_is_done_again(bench: Bench, tmp_path: Path, done: list[str]) -> None:
    first = gpu_check.check(PARTS, bench, tmp_path, 8, {}, ("machine", "data"))
    assert done == ["machine", "data", "speed", "tiles"]
    done.clear()
    again = gpu_check.check(PARTS, bench, tmp_path, 8, first, ("machine", "data"))
    assert done == ["machine", "data", "tiles"]  # the data was in a folder that is gone
    assert list(again["parts"]) == list(first["parts"])


def test_data_that_was_late_is_made_when_it_goes_on(bench: Bench, tmp_path: Path, done: list[str]) -> None:
    stored = gpu_check.check(PARTS, bench, tmp_path, 8, {}, ("machine", "data"))
    for name in ("machine", "data"):
        stored["parts"][name]["status"] = "out of time"
    done.clear()
    gpu_check.check(PARTS, bench, tmp_path, 8, stored, ("machine", "data"))
    assert done == ["machine", "data", "tiles"]


def test_a_report_is_of_one_card(bench: Bench, tmp_path: Path, done: list[str]) -> None:
    first = gpu_check.check(PARTS, bench, tmp_path, 8, {}, ())
    text = json.dumps(first).replace("Card A", "Card B")
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(gpu_check.InputError, match=r"begun on Card B, and this is Card A; choose another --out"):
        gpu_check.check(PARTS, bench, tmp_path, 8, json.loads(text), ("machine",))
    assert (tmp_path / "report.json").read_text() == text  # of the one card still


def test_what_the_time_does_not_suffice_for_is_named(bench: Bench, tmp_path: Path, done: list[str]) -> None:
    report = gpu_check.check(PARTS, bench, tmp_path, 0.1, {}, ())
    assert done == [] and {part["status"] for part in report["parts"].values()} == {"skipped"}
    text = gpu_check.as_text(report)
    assert "0 of 4 parts are good" in text and text.count("the 0.1 minutes were over; --resume goes on") == 4


def test_without_its_data_no_part_is_tried(bench: Bench, tmp_path: Path, done: list[str]) -> None:
    parts = [Part("tiles", "", 60, measures), Part("speed", "", 60, measures)]  # `tiles` fails here
    report = gpu_check.check(parts, bench, tmp_path, 8, {}, ("tiles",))
    assert done == ["tiles"] and report["parts"]["speed"]["error"] == "it needs what tiles makes"


def test_the_text_tells_what_the_json_holds() -> None:
    checks = [{"what": "difference", "value": 0.2, "at_most": 0.1, "passed": False}]
    figures = {"seconds": 0.25, "sizes": [1, 2], "counts": {"gpu": 3.0}}
    report = {
        "seconds": 61.4,
        "provenance": MACHINE,
        "parts": {
            "machine": {"status": "passed", "seconds": 2.0, "question": "Which?", "checks": [], "figures": MACHINE},
            "tiles": {"status": "failed", "seconds": 9.6, "question": "Whole?", "checks": checks, "figures": figures},
            "speed": {
                "status": "error",
                "seconds": 1,
                "question": "Fast?",
                "checks": [],
                "figures": {},
                "error": "Oh: no",
            },
        },
    }
    assert gpu_check.as_text(report).splitlines() == [
        "GPU check on Card A, 15.0 GiB, torch 2.9, driver none",
        "1 of 3 parts are good; 61 s",
        "",
        "PASSED       machine  (2 s)  Which?",
        "",
        "FAILED       tiles  (10 s)  Whole?",
        "    BAD difference: 0.2 (at most 0.1)",
        "        seconds: 0.25",
        "        sizes: 1, 2",
        "        counts: gpu 3.0",
        "",
        "ERROR        speed  (1 s)  Fast?",
        "    Oh: no",
    ]
    assert "0 of 0 parts are good" in gpu_check.as_text({"parts": {}})


# --- what is refused --------------------------------------------------------------------------------------------------
def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert gpu_check.main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("gpu_check: ") and said.err.count("\n") == 1
    return said.err


def test_without_a_gpu_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "sees no NVIDIA GPU" in refused(capsys, "--out", tmp_path / "new")
    assert "add --small" in refused(capsys, "--out", tmp_path / "new", "--device", "cpu")
    assert not (tmp_path / "new").exists()


def test_a_report_is_never_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, small = tmp_path / "report.json", ["--out", tmp_path, "--device", "cpu", "--small"]
    for text, more, said in [
        ('{"asked": {"device": "cpu", "small": true}}', [], "go on with it by --resume, or choose another --out"),
        ('{"asked": {"device": "cuda", "small": false}}', ["--resume"], "begun with {'device': 'cuda'"),
        ("{", ["--resume"], "is not readable JSON"),
    ]:
        report.write_text(text)
        assert said in refused(capsys, *small, *more)
        assert report.read_text() == text


# --- the parts --------------------------------------------------------------------------------------------------------
def test_the_tolerance_is_that_of_the_notebook() -> None:
    text = (ROOT / "notebooks/text/08_adversarial_training.py").read_text(encoding="utf-8")
    (stored,) = re.findall(r'# %% sdcda={"tolerance": (.+)}\nstored = notebook.result\("laboratory"\)', text)
    assert json.loads(stored) == gpu_parts.NOTEBOOK_TOLERANCE


def test_the_gap_between_tensors_is_relative_and_of_all_together() -> None:
    a = {"x": torch.tensor([3.0, 0.0]), "y": torch.tensor([0.0, 4.0])}
    b = {"x": torch.tensor([3.0, 1.0]), "y": torch.tensor([0.0, 4.0])}
    assert gpu_parts.gap(a, a) == 0 and gpu_parts.gap(a, b) == pytest.approx(1 / 5)
    assert math.isnan(gpu_parts.gap(a, {"x": a["x"]}))


def test_parts_have_names_of_their_own_and_those_that_others_need_come_first() -> None:
    names = [part.name for part in gpu_parts.PARTS]
    assert len(set(names)) == len(names) and tuple(names[:2]) == gpu_parts.NEEDED


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(tmp_path: Path) -> None:
    """With tiny networks and few images: whether it runs at all, so that it does at the first try on a GPU."""
    code, said = run("--device", "cpu", "--small", "--out", str(tmp_path), "--minutes", "20")
    report = json.loads((tmp_path / "report.json").read_text())
    ends = {name: part["status"] for name, part in report["parts"].items()}
    ends.pop("compile")  # where there is no compiler it is left out
    assert set(ends.values()) == {"passed"} and code == 0, (ends, said)
    assert list(report["parts"]) == [part.name for part in gpu_parts.PARTS]
    assert report["provenance"]["versions"]["torch"].startswith(torch.__version__.partition("+")[0])
    text = (tmp_path / "report.txt").read_text()
    assert text == gpu_check.as_text(report) and "BAD" not in text
