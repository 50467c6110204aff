"""The set-up cell of the notebooks, and Colab played: never was it run on Colab itself.

The play runs in processes of its own, as sessions do. It fakes what no other machine has: the shell's class, Drive,
the network (a repository on disk), /content, pip, which writes down what it was asked for, and
Colab's packages: an older NumPy and ipywidgets, loaded first, and a PyTorch with its CUDA in its version.
Python is the one that SDCDA_COLAB_PYTHON names, else a 3.12 on the path that has IPython, else that of the tests.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tools_of_notebooks import stamp, tool

ROOT = Path(__file__).parents[1]
LESSONS = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9AB]*_*.ipynb"))
PLAYED = [*LESSONS, "solutions/01_density_maps.ipynb"]
COLABS = {"torch": "2.11.0+cu128", "torchvision": "0.26.0+cu128", "numpy": "2.0.2", "ipywidgets": "7.7.1"}

SESSION = """
import json, os, sys, urllib.request
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell

loader, cells = sys.argv[1], json.loads(sys.argv[2])
Shell = type("Shell", (InteractiveShell,), {"__module__": "google.colab._shell"})
fetched = []

def urlopen(address, *_, **__):
    import io
    fetched.append(address)
    if "nowhere" in address:
        raise OSError("HTTP Error 404: Not Found")
    return io.BytesIO(Path(loader).read_bytes())

urllib.request.urlopen = urlopen
shell = Shell.instance()
errors = []
for cell in cells:
    result = shell.run_cell(cell, store_history=True)
    error = result.error_before_exec or result.error_in_exec
    errors.append(f"{type(error).__name__}: {error}" if error else None)
spec = __import__("importlib.util").util.find_spec("sdcda_tutorial")
package = spec.origin if spec else None
print(json.dumps({"fetched": fetched, "errors": errors, "cwd": os.getcwd(), "package": package}))
sys.stdout.flush()
os._exit(0)  # as a session ends: nothing is tidied up
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

DRIVE = """
from pathlib import Path

def mount(mountpoint):
    place = Path(mountpoint)
    place.mkdir(exist_ok=True)
    if not (place / "MyDrive").exists():
        (place / "MyDrive").symlink_to(Path(__file__).parents[3] / "drive")
    print("Mounted at", mountpoint)
"""


def python_of_colab() -> str:
    """The Python that SDCDA_COLAB_PYTHON names, or a 3.12 that has IPython; else the one here, and it is said."""
    for candidate in (sys.executable, shutil.which("python3.12")):
        asked = [candidate, "-c", "import sys, IPython; sys.exit(sys.version_info[:2] != (3, 12))"]
        if "SDCDA_COLAB_PYTHON" in os.environ:
            return os.environ["SDCDA_COLAB_PYTHON"]
        if candidate and subprocess.run(asked, capture_output=True).returncode == 0:
            return candidate
    print("No Python 3.12 with IPython: Colab is played with", sys.version)
    return sys.executable


def git(*command: str, cwd: Path) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *who, *command], cwd=cwd, check=True, capture_output=True)


def stamped(folder: Path, *arguments: str) -> None:
    """Run the folder's own tools/stamp.py with nothing but Python: no installed package can be seen."""
    subprocess.run([sys.executable, "-I", "-S", "tools/stamp.py", *arguments], cwd=folder, check=True)


class Colab:
    """Machines of Colab, one after the other, and the repository ada/crowds with its branches main and colab."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, python_of_colab()
        self.content, self.fake, self.drive = folder / "content", folder / "fake", folder / "drive"
        self.project, self.loader = folder / "crowds-main", folder / "colab.py"
        unwanted = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        for name in ("sdcda_tutorial", "notebooks", "tools"):
            shutil.copytree(ROOT / name, self.project / name, ignore=unwanted)
        for name in ("README.md", "CITATION.cff", "pyproject.toml", "data/results/mini_world.json"):
            (self.project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.project / name)
        text = (ROOT / "colab.py").read_text().replace('"/content"', repr(str(self.content)))
        (self.project / "colab.py").write_text(text.replace("EVERY = 30 ", "EVERY = 0.1 "))
        hub = folder / "hub" / "ada" / "crowds"
        git("init", "--quiet", "--initial-branch=main", cwd=self.project)
        (self.project / ".git" / "info" / "exclude").write_text("notebooks\n")  # a clone is of what a session needs
        git("add", ".", cwd=self.project)
        git("commit", "--quiet", "--message", "not stamped", cwd=self.project)
        git("clone", "--quiet", "--bare", str(self.project), str(hub), cwd=folder)
        self.cells = {None: self.set_up_cells()}
        stamped(self.project, "--repo", "ada/crowds", "--branch", "colab")
        git("commit", "--all", "--quiet", "--message", "stamped", cwd=self.project)
        git("push", "--quiet", str(hub), "HEAD:colab", cwd=self.project)
        self.cells["colab"] = self.set_up_cells()
        git("checkout", "--quiet", "HEAD~1", cwd=self.project)
        shutil.rmtree(self.project / "notebooks")

    def set_up_cells(self) -> dict[str, str]:
        """The first code cell of every notebook, as it is stored."""
        books = {name: nbformat.read(self.project / "notebooks" / name, as_version=4) for name in PLAYED}
        return {name: next(c.source for c in book.cells if c.cell_type == "code") for name, book in books.items()}

    def cell(self, name: str = "00_start_here.ipynb", branch: str | None = None, **fields: Any) -> str:
        """A notebook's set-up cell, its fields filled in."""
        lines = self.cells[branch][name].splitlines()
        for field, value in fields.items():
            (place,) = [n for n, line in enumerate(lines) if line.startswith(f"{field} = ") and "# @param" in line]
            lines[place] = f"{field} = {value!r}"
        return "\n".join(lines)

    def fresh(self) -> None:
        """A new machine: what was on the old one is gone; Drive is not."""
        shutil.rmtree(self.content, ignore_errors=True)
        shutil.rmtree(self.fake, ignore_errors=True)
        for folder in (self.content, self.fake / "pip", self.fake / "google" / "colab", self.drive):
            folder.mkdir(parents=True, exist_ok=True)
        for file, text in {"pip/__init__.py": "", "pip/__main__.py": PIP, "google/colab/__init__.py": ""}.items():
            (self.fake / file).write_text(text)
        (self.fake / "google" / "colab" / "drive.py").write_text(DRIVE)
        for name, version in COLABS.items():
            self.has(name, version)
        cuda = "\nclass cuda:\n    is_available = staticmethod(lambda: False)\n"
        (self.fake / "torch.py").write_text(f"__version__ = {COLABS['torch']!r}{cuda}")
        self.serve(None)

    def has(self, name: str, version: str) -> None:
        (self.fake / f"{name}.py").write_text(f"__version__ = {version!r}\n")
        (self.fake / f"{name}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (self.fake / f"{name}.dist-info" / "METADATA").write_text(metadata)

    def serve(self, branch: str | None) -> None:
        """The colab.py of this branch is what the network gives."""
        text = (self.project / "colab.py").read_text()
        self.loader.write_text(text.replace('BRANCH = ""', f'BRANCH = "{branch or ""}"'))

    def session(self, *cells: str, real: bool = False) -> dict[str, Any]:
        """Start a session, run the cells, and tell what came out; "said" is what was printed.

        Args:
            real: with the packages of the tests, where a cell needs the tutorial itself.
        """
        paths = [self.fake, ROOT] if real else [self.fake]
        if real:
            for name in COLABS:
                (self.fake / f"{name}.py").unlink(missing_ok=True)
                shutil.rmtree(self.fake / f"{name}.dist-info", ignore_errors=True)
        first = "" if real else "import ipywidgets, numpy"  # Colab's kernel has them in use when the first cell runs
        done = subprocess.run(
            [sys.executable if real else self.python, "-c", SESSION, str(self.loader), json.dumps([first, *cells])],
            cwd=self.content, capture_output=True, text=True, timeout=300,
            env={
                **os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "IPYTHONDIR": str(self.folder / "ipython"), "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{(self.folder / 'hub').as_uri()}/.insteadOf",
                "GIT_CONFIG_VALUE_0": "https://github.com/",
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        *said, last = done.stdout.splitlines()
        found = json.loads(last)
        return {**found, "errors": found["errors"][1:], "said": "\n".join(said)}

    @property
    def asked_of_pip(self) -> list[tuple[list[str], str]]:
        log = self.fake / "pip.jsonl"
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Colab:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return Colab(tmp_path_factory.mktemp("colab"))


@pytest.fixture
def colab(hub: Colab) -> Iterator[Colab]:
    shutil.rmtree(hub.drive, ignore_errors=True)
    hub.fresh()
    yield hub


BEGIN = "from sdcda_tutorial.teaching import notebook\nnotebook.begin()"


# What a visitor does first


@pytest.mark.slow
@pytest.mark.parametrize("branch", [None, "colab"], ids=["unstamped", "stamped"])
@pytest.mark.parametrize("name", PLAYED)
def test_every_notebook_is_set_up_run_twice_and_restarted(name: str, branch: str | None, colab: Colab) -> None:
    colab.serve(branch)
    filled = {} if branch else {"REPO": "https://github.com/ada/crowds"}
    cell, clone = colab.cell(name, branch, **filled), colab.content / "sdcda_tutorial"
    as_stored = colab.cell(name, branch)  # unstamped: no field is filled in, and nothing happens

    first = colab.session(as_stored, cell, cell)
    assert first["errors"] == [None] * 3, first["said"]
    assert first["said"].startswith("Fetching https://github.com/ada/crowds\n")
    assert Path(first["cwd"]) == clone and Path(first["package"]).is_relative_to(clone)
    assert first["said"].count("Fetching") == first["said"].count("Installing") == 1
    assert "Restart session" not in first["said"] and first["said"].count("No GPU is on") == 2 + bool(branch)
    ((words, constraints),) = colab.asked_of_pip
    assert words[0] == "install" and words[-2:] == ["--editable", str(clone)] and "--upgrade" not in words
    assert constraints.splitlines() == [f"{name}=={version}" for name, version in COLABS.items()]

    (clone / "runs").mkdir()
    (clone / "runs" / "answer").write_text("of the reader")
    restarted = colab.session(cell)
    assert restarted["errors"] == [None] and Path(restarted["package"]).is_relative_to(clone)
    assert "Fetching" not in restarted["said"] and "Installing" not in restarted["said"]
    assert len(colab.asked_of_pip) == 1 and (clone / "runs" / "answer").read_text() == "of the reader"
    log = subprocess.run(["git", "log", "--format=%s"], cwd=clone, capture_output=True, text=True, check=True)
    assert log.stdout == ("stamped\n" if branch else "not stamped\n"), "a shallow clone of the right branch"
    assert set(first["fetched"]) == {f"https://github.com/ada/crowds/raw/{branch or 'HEAD'}/colab.py"}


@pytest.mark.slow
@pytest.mark.parametrize("branch", [None, "colab"], ids=["unstamped", "stamped"])
def test_the_next_cell_finds_the_tutorial(branch: str | None, colab: Colab) -> None:
    """With the real package and its packages: the second cell of every notebook."""
    colab.serve(branch)
    cell = colab.cell(branch=branch, **({} if branch else {"REPO": "https://github.com/ada/crowds"}))
    session = colab.session(cell, BEGIN, cell, BEGIN, real=True)
    assert session["errors"] == [None] * 4
    assert Path(session["package"]).is_relative_to(colab.content / "sdcda_tutorial")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["{content}/crowds-main", "{content}/drive/MyDrive/Ada's crowds"])
def test_an_unpacked_zip_and_a_folder_on_drive(place: str, colab: Colab) -> None:
    (colab.content / "drive").mkdir()
    (colab.content / "drive" / "MyDrive").symlink_to(colab.drive)
    folder = Path(place.format(content=colab.content))
    shutil.copytree(colab.project, folder)
    (folder / "runs").mkdir()
    cell = colab.cell(REPO=str(folder))
    session = colab.session(cell, cell)
    clone = colab.content / "sdcda_tutorial"
    assert session["errors"] == [None] * 2 and Path(session["package"]).is_relative_to(clone), session["said"]
    assert session["said"].count("Fetching") == 1 and len(colab.asked_of_pip) == 1 and session["fetched"] == []
    assert not (clone / "runs").exists() and (clone / "colab.py").exists()
    assert not list(colab.content.glob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repo", "says"),
    [
        ("https://github.com/ada/nowhere", "OSError: HTTP Error 404: Not Found"),
        ("github.com/ada/crowds", "'github.com/ada/crowds/colab.py' was not found"),
        ("crowds.zip", "'crowds.zip/colab.py' was not found"),  # .zip is also a domain of the internet
        ("/content/it's", "'/content/it's/colab.py' was not found"),
        ("   ", "'   /colab.py' was not found"),
    ],
)
def test_what_leads_nowhere_is_named(repo: str, says: str, colab: Colab) -> None:
    """And only an address is sent over the network."""
    session = colab.session(colab.cell(REPO=repo))
    assert says in session["errors"][0], session["said"]
    assert session["fetched"] == ([f"{repo}/raw/HEAD/colab.py"] if "//" in repo else [])
    assert colab.asked_of_pip == [] and list(colab.content.iterdir()) == []


@pytest.mark.slow
def test_a_folder_is_written_in_full(colab: Colab) -> None:
    """Else the cell would not find it again when it is run once more, in another folder."""
    (colab.content / "crowds").mkdir()
    shutil.copy(colab.project / "colab.py", colab.content / "crowds")
    session = colab.session(colab.cell(REPO="crowds"))
    (error,) = session["errors"]
    assert error.startswith("NotSetUp: Write REPO in full") and str(colab.content / "crowds") in error
    assert "Traceback" not in session["said"] and colab.asked_of_pip == []


# What goes wrong


@pytest.mark.slow
def test_a_reader_who_gives_no_permission(colab: Colab) -> None:
    colab.serve("colab")
    refused = 'def mount(mountpoint):\n    raise ValueError("mount failed")\n'
    (colab.fake / "google" / "colab" / "drive.py").write_text(refused)
    session = colab.session(colab.cell(branch="colab", KEEP_ON_DRIVE=True), colab.cell(branch="colab"))
    said = "Drive is not mounted (mount failed): run this cell again, or untick KEEP_ON_DRIVE"
    assert session["errors"] == [f"NotSetUp: {said}", None] and said in session["said"].splitlines()


@pytest.mark.slow
def test_what_goes_wrong_is_said_and_can_be_tried_again(colab: Colab) -> None:
    colab.serve("colab")
    cell = colab.cell(branch="colab")
    (colab.fake / "pip-fails").touch()
    (colab.content / "sdcda_tutorial.partial").mkdir()  # a clone that was interrupted
    failed = colab.session(cell)
    assert failed["errors"][0].startswith("NotSetUp: ") and failed["errors"][0].endswith("ResolutionImpossible")
    assert "pip install" in failed["said"] and "Traceback" not in failed["said"] and "colab.py" not in failed["said"]
    assert [path.name for path in colab.content.glob("[a-z]*")] == ["sdcda_tutorial"]
    (colab.fake / "pip-fails").unlink()
    assert colab.session(cell)["errors"] == [None] and len(colab.asked_of_pip) == 2

    colab.fresh()
    colab.serve("colab")
    unknown = colab.session(cell.replace("ada/crowds", "ada/unknown"))
    assert unknown["errors"][0].startswith("NotSetUp: git clone") and "ada/unknown" in unknown["errors"][0]
    assert list(colab.content.glob("[a-z]*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("in_use", [True, False])
def test_what_was_updated_while_in_use_needs_a_restart(in_use: bool, colab: Colab) -> None:
    colab.serve("colab")
    colab.has("toy", "1.0")
    (colab.fake / "pip-updates-toy").touch()
    session = colab.session("import toy" if in_use else "", colab.cell(branch="colab"))
    assert session["errors"] == [None, None]
    assert ("Newer versions of toy were installed" in session["said"]) is in_use
    assert ("Restart session" in session["said"]) is in_use
    assert "Restart session" not in colab.session(colab.cell(branch="colab"))["said"]


# Work that outlives a session

WORK = """
import time
from pathlib import Path
copy = stamps = known = run = None  # names that a notebook may use for something of its own
for name, text in {files}.items():
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
until = time.monotonic() + 60
while time.monotonic() < until and not all(
    (Path({kept!r}) / name).exists() and (Path({kept!r}) / name).read_text() == text for name, text in {files}.items()
):
    time.sleep(0.05)
"""


@pytest.mark.slow
@pytest.mark.parametrize("branch", [None, "colab"], ids=["unstamped", "stamped"])
def test_work_outlives_a_session(branch: str | None, colab: Colab) -> None:
    colab.serve(branch)
    filled = {} if branch else {"REPO": "https://github.com/ada/crowds"}
    keep, do_not = (
        colab.cell("08_adversarial_training.ipynb", branch, KEEP_ON_DRIVE=k, **filled) for k in (True, False)
    )
    kept, clone = colab.drive / "sdcda_tutorial", colab.content / "sdcda_tutorial"
    left = colab.session(do_not)["said"]
    assert "tick KEEP_ON_DRIVE" in left and not kept.exists()

    files = {"runs/answers/1.1.py": "an answer", "runs/laboratory/a/last.safetensors": "step 20"}
    first = colab.session(keep, WORK.format(files=files, kept=str(kept)), keep)
    assert first["errors"] == [None] * 3 and "0 files are back" in first["said"]
    assert {name: (kept / name).read_text() for name in files} == files
    (clone / "runs" / "answers" / "1.1.py").write_text("a better answer")  # of the session's own disk, which goes

    colab.fresh()  # a disconnect, and another machine
    colab.serve(branch)
    (kept / "runs" / "answers" / ".1.1.py.copy").write_text("half")  # what a disconnect may leave there
    second = colab.session(keep)
    assert second["errors"] == [None] and "2 files are back" in second["said"]
    back = {path.relative_to(clone).as_posix() for path in (clone / "runs").rglob("*") if path.is_file()}
    assert back == set(files) and (clone / "runs" / "answers" / "1.1.py").read_text() == "an answer"

    again = {"runs/laboratory/a/last.safetensors": "step 40"}
    third = colab.session(keep, WORK.format(files=again, kept=str(kept)))  # after a restart of the same machine
    assert third["errors"] == [None] * 2 and "0 files are back" in third["said"]
    assert (kept / "runs" / "laboratory" / "a" / "last.safetensors").read_text() == "step 40"


def test_what_earlier_sessions_left_is_not_replaced_by_what_was_begun_before_the_box_was_ticked(colab: Colab) -> None:
    colab.serve(None)
    keep, do_not = (
        colab.cell("08_adversarial_training.ipynb", None, KEEP_ON_DRIVE=k, REPO="https://github.com/ada/crowds")
        for k in (True, False)
    )
    kept, clone = colab.drive / "sdcda_tutorial", colab.content / "sdcda_tutorial"
    old = {"runs/mini/se/config.json": "old", "runs/mini/se/model.safetensors": "old", "runs/answers/1.json": "old"}
    colab.session(keep, WORK.format(files=old, kept=str(kept)))
    colab.fresh()
    colab.serve(None)
    colab.session(do_not)
    new = {"runs/mini/se/config.json": "new", "runs/answers/1.json": "new"}
    for name, text in new.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
    said = colab.session(keep, WORK.format(files={"runs/mini/other": ""}, kept=str(kept)))["said"]
    assert "NAME.before-...: answers/1.json, mini/se" in said
    assert not (clone / "runs/mini/se/model.safetensors").exists()  # of another run
    assert {name: (kept / name).read_text() for name in new} == new
    aside = [*(kept / "runs").rglob("*.before-*/*"), *(kept / "runs").rglob("1.json.before-*")]
    assert {path.read_text() for path in aside} == {"old"} and len(aside) == 3


@functools.cache
def loader() -> Any:
    spec = importlib.util.spec_from_file_location("colab_loader", ROOT / "colab.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_step(folder: Path, step: int) -> None:
    """As a training does: the log, the model, and the checkpoint after them."""
    for name in ("metrics.jsonl", "model.safetensors", "last.safetensors"):
        (folder / name).write_text(str(step))


@pytest.mark.parametrize("moves", range(8))
def test_a_copy_that_is_cut_off_can_be_resumed_from(
    moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of files, and while the training writes on: no checkpoint is later than its log and model."""
    here, there = tmp_path / "here" / "a", tmp_path / "there" / "a"
    here.mkdir(parents=True)
    write_step(here, 1)
    loader().copy(loader().stamps(here.parent), here.parent, there.parent)
    write_step(here, 2)
    copy2, replace, done = shutil.copy2, os.replace, iter(range(100))

    def slowly(one: Any, other: Any) -> Any:
        if next(done) >= moves:
            raise OSError("Drive is gone")
        write_step(here, int((here / "last.safetensors").read_text()) + 1)
        return copy2(one, other)

    def at_last(one: Any, other: Any) -> None:
        if next(done) >= moves:
            raise OSError("Drive is gone")
        replace(one, other)

    monkeypatch.setattr(shutil, "copy2", slowly)
    monkeypatch.setattr(os, "replace", at_last)
    if moves < 6:
        with pytest.raises(OSError, match="gone"):
            loader().copy(loader().stamps(here.parent), here.parent, there.parent)
    else:
        loader().copy(loader().stamps(here.parent), here.parent, there.parent)
    step = {path.name: int(path.read_text()) for path in there.glob("[!.]*")}
    assert len(step) == 3
    assert step["last.safetensors"] <= min(step.values())
    assert (step["last.safetensors"] > 1) is (moves >= 6)


def test_a_drive_that_fails_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").write_text("a")
    (tmp_path / "kept").touch()  # a file, where a folder is needed
    rounds = iter(range(3))

    def sleep(_: float) -> None:
        if next(rounds) == 2:
            (tmp_path / "kept").unlink()
        assert next(rounds, None) is not None, "enough"

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(AssertionError, match="enough"):
        loader().copy_for_ever(tmp_path / "runs", tmp_path / "kept", {})
    assert capsys.readouterr().out.count("Not copied to Drive") == 1


# The cell itself


@pytest.mark.parametrize("repository", ["", "ada/crowds"])
def test_outside_colab_the_set_up_cell_does_nothing(repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    class ZMQInteractiveShell:
        def __str__(self) -> str:
            return "<ipykernel.zmqshell.ZMQInteractiveShell object at 0x7f0123456789>"

        def find_user_code(self, address: str) -> str:
            pytest.fail(f"it fetched {address}")

    names: dict[str, Any] = {"get_ipython": ZMQInteractiveShell}
    where, path = os.getcwd(), list(sys.path)
    exec(stamp.set_up_cell(repository), names)
    assert set(names) == {"get_ipython", "__builtins__", "REPO", "KEEP_ON_DRIVE"}
    assert (os.getcwd(), sys.path, capsys.readouterr()) == (where, path, ("", ""))


def test_outside_colab_an_address_is_refused() -> None:
    names = {"__name__": "__main__", "get_ipython": lambda: "<ipykernel.zmqshell>", "REPO": "https://github.com/ada/a"}
    with pytest.raises(Exception, match="for Colab only: leave it empty"):
        exec((ROOT / "colab.py").read_text(), names)


@pytest.mark.parametrize("solutions", [False, True])
@pytest.mark.parametrize(("repository", "branch"), [("", "HEAD"), ("ada-lovelace/crowd-counting", "colab")])
def test_the_set_up_cell_is_short(repository: str, branch: str, solutions: bool) -> None:
    """Colab shows a title and a field for each @param, and folds the rest; JupyterLab folds all of it."""
    lines = stamp.set_up_cell(repository, branch, solutions).splitlines()
    assert max(map(len, lines)) <= tool.WIDTH and len(lines) <= 4
    assert lines[0].startswith("# @title ") and lines[0].endswith('{ display-mode: "form" }')
    fields = [line.split(" = ")[0] for line in lines if "# @param" in line]
    assert fields == ["REPO"] * (not repository) + ["KEEP_ON_DRIVE"] * (not solutions), "a known repository needs none"
    assert len(fields) + 1 <= 3
