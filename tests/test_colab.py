"""The set-up cell of the notebooks, and Colab played: its shell, a repository on disk in GitHub's place, and no pip.

The play runs in processes of its own, as sessions do. What it fakes: the module google.colab, the shell's class, the
download of colab.py, /content, and pip, which writes down what it was asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tools_of_notebooks import tool

ROOT = Path(__file__).parents[1]
FETCHED = "https://github.com/ada/crowds/raw/HEAD/colab.py"

SESSION = """
import importlib.metadata, json, os, sys, types, urllib.request
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell

loader, content, cells = sys.argv[1:3] + [json.loads(sys.argv[3])]
Shell = type("Shell", (InteractiveShell,), {"__module__": "google.colab._shell"})
sys.modules["google.colab"] = types.ModuleType("google.colab")
fetched = []

def urlopen(address, *_, **__):
    import io
    fetched.append(address)
    return io.BytesIO(Path(loader).read_text().replace('"/content"', repr(content)).encode())

urllib.request.urlopen = urlopen
shell = Shell.instance()
errors = []
for cell in cells:
    result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    errors.append(f"{type(error).__name__}: {error}" if error else None)
import sdcda_tutorial
print(json.dumps({"fetched": fetched, "errors": errors, "cwd": os.getcwd(), "package": sdcda_tutorial.__file__}))
"""

PIP = """
import json, sys
from pathlib import Path
log = Path(__file__).parents[1] / "pip.jsonl"
constraints = Path(sys.argv[sys.argv.index("--constraint") + 1]).read_text()
with log.open("a") as file:
    file.write(json.dumps([sys.argv[1:], constraints]) + "\\n")
if (log.parent / "pip-updates-toy").exists():
    (log.parent / "toy.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\\nName: toy\\nVersion: 2.0\\n")
if (log.parent / "pip-fails").exists():
    sys.exit("ERROR: ResolutionImpossible")
"""


def git(*command: str, cwd: Path) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *who, *command], cwd=cwd, check=True, capture_output=True)


class Colab:
    """A machine of Colab with an empty /content, and the repository ada/crowds with two branches."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.content, self.loader = folder, folder / "content", ROOT / "colab.py"
        self.content.mkdir()
        (folder / "fake" / "pip").mkdir(parents=True)
        (folder / "fake" / "pip" / "__init__.py").touch()
        (folder / "fake" / "pip" / "__main__.py").write_text(PIP)
        work, hub = folder / "work", folder / "hub" / "ada" / "crowds"
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "sdcda_tutorial", work / "sdcda_tutorial", ignore=unwanted)
        (work / "data" / "results").mkdir(parents=True)
        (work / "data" / "results" / "a.json").write_text("{}")
        git("init", "--quiet", "--initial-branch=main", cwd=work)
        for text in ("first", "second"):
            (work / "text").write_text(text)
            git("add", ".", cwd=work)
            git("commit", "--quiet", "--message", text, cwd=work)
        git("branch", "next", "HEAD~1", cwd=work)
        git("clone", "--quiet", "--bare", str(work), str(hub), cwd=folder)

    def session(self, *cells: str) -> dict[str, Any]:
        """Start a session, run the cells, and tell what came out of it; "said" is what was printed."""
        done = subprocess.run(
            [sys.executable, "-c", SESSION, str(self.loader), str(self.content), json.dumps(cells)],
            cwd=self.content, capture_output=True, text=True, timeout=300,
            env={
                **os.environ, "PYTHONPATH": os.pathsep.join([str(self.folder / "fake"), str(ROOT)]),
                "IPYTHONDIR": str(self.folder / "ipython"), "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{(self.folder / 'hub').as_uri()}/.insteadOf",
                "GIT_CONFIG_VALUE_0": "https://github.com/",
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        *said, last = done.stdout.splitlines()
        return {**json.loads(last), "said": "\n".join(said)}

    @property
    def asked_of_pip(self) -> list[tuple[list[str], str]]:
        log = self.folder / "fake" / "pip.jsonl"
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def colab(tmp_path: Path) -> Colab:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return Colab(tmp_path)


BEGIN = "from sdcda_tutorial.teaching import notebook\nnotebook.begin()"
STAMPED = tool.bootstrap("ada/crowds")
FILLED_IN = tool.bootstrap().replace(
    "name the repository, such as https://github.com/ada/crowds", "https://github.com/ada/crowds"
)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [STAMPED, FILLED_IN], ids=["stamped", "unstamped and filled in"])
def test_a_session_run_twice_and_restarted(cell: str, colab: Colab) -> None:
    first = colab.session(cell, BEGIN, cell, BEGIN)
    clone = colab.content / "crowds"
    assert first["errors"] == [None] * 4 and first["fetched"] == [FETCHED] * 2
    assert Path(first["cwd"]) == clone and Path(first["package"]).is_relative_to(clone)
    assert first["said"].count("Cloning") == first["said"].count("Installing") == 1
    log = subprocess.run(["git", "log", "--format=%s"], cwd=clone, capture_output=True, text=True, check=True)
    assert log.stdout == "second\n", "a shallow clone of the default branch"
    ((words, constraints),) = colab.asked_of_pip
    assert words[0] == "install" and words[-2:] == ["--editable", str(clone)] and "--upgrade" not in words
    import importlib.metadata

    for name in ("torch", "torchvision", "numpy"):
        assert f"{name}=={importlib.metadata.version(name)}\n" in constraints
    assert f"ipywidgets<{int(importlib.metadata.version('ipywidgets').split('.')[0]) + 1}\n" in constraints

    (clone / "text").write_text("an answer of the reader")
    restarted = colab.session(cell, BEGIN)
    assert restarted["errors"] == [None] * 2 and Path(restarted["package"]).is_relative_to(clone)
    assert "Cloning" not in restarted["said"] and "Installing" not in restarted["said"]
    assert len(colab.asked_of_pip) == 1 and (clone / "text").read_text() == "an answer of the reader"


@pytest.mark.slow
def test_another_branch(colab: Colab) -> None:
    colab.loader = colab.folder / "colab.py"
    colab.loader.write_text((ROOT / "colab.py").read_text().replace('BRANCH = ""', 'BRANCH = "next"'))
    session = colab.session(tool.bootstrap("ada/crowds", "next"))
    assert session["errors"] == [None] and session["fetched"] == [FETCHED.replace("HEAD", "next")]
    assert (colab.content / "crowds" / "text").read_text() == "first"


@pytest.mark.slow
def test_what_goes_wrong_is_said_and_can_be_tried_again(colab: Colab) -> None:
    (colab.folder / "fake" / "pip-fails").touch()
    (colab.content / "crowds.partial").mkdir()  # a clone that was interrupted
    failed, unknown = colab.session(STAMPED, STAMPED.replace("ada/crowds", "ada/unknown"))["errors"]
    assert failed.startswith("RuntimeError: ") and "pip install" in failed and failed.endswith("ResolutionImpossible")
    assert unknown.startswith("RuntimeError: git clone") and "ada/unknown" in unknown
    assert sorted(path.name for path in colab.content.glob("[a-z]*")) == ["crowds"]
    (colab.folder / "fake" / "pip-fails").unlink()
    assert colab.session(STAMPED, BEGIN)["errors"] == [None, None]
    assert len(colab.asked_of_pip) == 2


@pytest.mark.slow
@pytest.mark.parametrize("in_use", [True, False])
def test_what_was_updated_while_in_use_needs_a_restart(in_use: bool, colab: Colab) -> None:
    fake = colab.folder / "fake"
    (fake / "toy.dist-info").mkdir()
    (fake / "toy.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: Toy\nVersion: 1.0\n")
    (fake / "toy.py").touch()
    (fake / "pip-updates-toy").touch()
    session = colab.session("import toy" if in_use else "", STAMPED)
    assert session["errors"] == [None, None]
    assert ("Newer versions of toy were installed" in session["said"]) is in_use
    assert ("Restart session" in session["said"]) is in_use
    assert "Restart session" not in colab.session(STAMPED)["said"]


@pytest.mark.slow
def test_an_unstamped_notebook_says_what_it_needs(colab: Colab) -> None:
    session = colab.session(tool.bootstrap())
    assert session["fetched"] == [] and colab.asked_of_pip == []
    assert "name the repository, such as https://github.com/" in session["errors"][0]


@pytest.mark.parametrize("repository", ["", "ada/crowds"])
def test_outside_colab_the_set_up_cell_does_nothing(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    class ZMQInteractiveShell:
        def __str__(self) -> str:
            return "<ipykernel.zmqshell.ZMQInteractiveShell object at 0x7f0123456789>"

        def find_user_code(self, address: str) -> str:
            pytest.fail(f"it fetched {address}")

    names: dict[str, Any] = {"get_ipython": ZMQInteractiveShell}
    where, path = os.getcwd(), list(sys.path)
    exec(tool.bootstrap(repository), names)
    assert set(names) == {"get_ipython", "__builtins__", "REPO"}
    assert (os.getcwd(), sys.path, capsys.readouterr()) == (where, path, ("", ""))


@pytest.mark.parametrize(("repository", "branch"), [("", "HEAD"), ("ada-lovelace/crowd-counting", "main")])
def test_the_set_up_cell_is_short(repository: str, branch: str) -> None:
    lines = tool.bootstrap(repository, branch).splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= tool.WIDTH
    assert lines[0].startswith("# @title ") and lines[0].endswith('{ display-mode: "form" }')
    # Colab shows a field for this line; a repository that is known needs none.
    assert lines[1].endswith('# @param {type: "string"}') is not bool(repository)
