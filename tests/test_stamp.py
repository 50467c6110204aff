"""tools/stamp.py: a repository's address goes into the project's files, and out again without a trace."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from tools_of_notebooks import stamp, tool

ROOT = Path(__file__).parents[1]
OTHERS = ("README.md", "CITATION.cff", "pyproject.toml", "colab.py")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of two notebooks, a notebook of solutions and all else that is stamped."""
    for name in ("01_density_maps", "B_ledger", "solutions/01_density_maps"):
        for file in (f"notebooks/{name}.ipynb", f"notebooks/text/{name}.py"):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
    for file in OTHERS:
        shutil.copy(ROOT / file, tmp_path)
    monkeypatch.setattr(stamp, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(tool, "TEXTS", tmp_path / "notebooks" / "text")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["stamp.py", *arguments])
    stamp.main()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("repository", "branch"), [("ada/crowds", "main"), ("grace.h/crowd-count_2", "next/1.0")])
def test_stamp_again_and_back(repository: str, branch: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = contents(project)
    run(monkeypatch)
    assert contents(project) == plain, "the stored files are not stamped"
    run(monkeypatch, "--repo", "another/copy", "--branch", "old")  # whose fork this is
    run(monkeypatch, "--repo", repository, "--branch", branch)
    once = contents(project)
    changed = {name for name in plain if once[name] != plain[name]}
    assert changed == set(plain)
    assert all(b"another/copy" not in text and b"OWNER/sdcda_tutorial" not in text for text in once.values())
    run(monkeypatch, "--repo", repository, "--branch", branch)
    assert contents(project) == once
    run(monkeypatch)
    assert contents(project) == plain


def test_what_is_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--repo", "ada/crowds", "--branch", "colab")
    read = {name: text.decode() for name, text in contents(project).items()}
    assert '\nBRANCH = "colab"' in read["colab.py"]
    assert 'type: software\nrepository-code: "https://github.com/ada/crowds"\n' in read["CITATION.cff"]
    assert read["pyproject.toml"].split("[project.urls]\n")[1].split("\n\n")[0].splitlines() == [
        'Documentation = "https://ada.github.io/crowds/"',
        'Repository = "https://github.com/ada/crowds"',
        'Issues = "https://github.com/ada/crowds/issues"',
        'Changelog = "https://github.com/ada/crowds/blob/colab/CHANGELOG.md"',
        'Paper = "https://arxiv.org/abs/2002.08623"',
    ]
    assert "git clone https://github.com/ada/crowds sdcda_tutorial" in read["README.md"]
    tests = "https://github.com/ada/crowds/actions/workflows/tests.yml"
    head = f"[![tests]({tests}/badge.svg)]({tests}) · [Read it online](https://ada.github.io/crowds/)"
    assert read["README.md"].splitlines()[2] == head
    address = "https://colab.research.google.com/github/ada/crowds/blob/colab/notebooks"
    rows = [line for line in read["README.md"].splitlines() if line.startswith("|") and ".ipynb)" in line]
    linked = [re.findall(r"\]\(notebooks/(\w+\.ipynb)\)", row) for row in rows]
    assert sorted(name for names in linked for name in names) == sorted(
        path.name for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    for row, (name,) in zip(rows, linked, strict=True):
        assert row.count("[![Open in Colab]") == row.count(f"]({address}/{name})") == 1
        assert row.count(" | ") == 2, "the badge opens no column of its own"
    for name in ("01_density_maps", "B_ledger", "solutions/01_density_maps"):
        title, *cells = json.loads(read[f"notebooks/{name}.ipynb"])["cells"]
        assert title["source"][2] == f"{stamp.BADGE.format(address=f'{address}/{name}.ipynb')}\n"
        set_up = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert set_up.rstrip("\n") == stamp.set_up_cell("ada/crowds", "colab", "/" in name).rstrip("\n")


def test_notebooks_are_what_their_stamped_texts_make_of_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a byte differs from `make sync`, so ids, outputs and the order of keys are right, too."""
    run(monkeypatch, "--repo", "ada/crowds")
    stamped = contents(project)
    for text in tool.texts():
        tool.sync(text)
        book = nbformat.read(tool.notebook_of(text), as_version=4)
        nbformat.validate(book)
        assert [c.source for c in book.cells][:3] == [c.source for c in jupytext.read(text).cells][:3]
    assert contents(project) == stamped


def test_what_was_typed_stays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project / "notebooks" / "01_density_maps.ipynb"
    book = nbformat.read(path, as_version=4)
    book.cells[-2].source = "an answer"
    nbformat.write(book, path)
    run(monkeypatch, "--repo", "ada/crowds")
    after = nbformat.read(path, as_version=4)
    assert after.cells[-2].source == "an answer" and len(after.cells) == len(book.cells)
    assert [c.get("outputs") for c in after.cells] == [c.get("outputs") for c in book.cells]


def test_an_id_follows_its_source() -> None:
    cell = {"source": ["a"], "id": f"00-code-{stamp.digest('a')}"}
    stamp.replace_source(cell, "b\nc")
    assert cell == {"source": ["b\n", "c"], "id": f"00-code-{stamp.digest('b' + chr(10) + 'c')}"}


@pytest.mark.parametrize(
    "repository", ["crowds", "a/b/c", "a b/c", 'a/b"', "https://github.com/a/b", "a/b\n", "/b", "a/"]
)
def test_a_bad_repository_is_refused(repository: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = contents(project)
    with pytest.raises(SystemExit, match="OWNER/NAME"):
        run(monkeypatch, "--repo", repository)
    assert contents(project) == plain


@pytest.mark.parametrize("branch", ["", "a b", 'a"', "main\n", "/main", "main/"])
def test_a_bad_branch_is_refused(branch: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = contents(project)
    with pytest.raises(SystemExit, match="BRANCH is"):
        run(monkeypatch, "--repo", "ada/crowds", "--branch", branch)
    assert contents(project) == plain


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_colab_needs_nothing_but_python(tmp_path: Path) -> None:
    """No environment is made, none is used: not even the packages of the Python that is there."""
    # All variables, since a make that runs these tests hands its own ones down.
    variables = ["REPO=ada/crowds", "BRANCH=main", "PYTHON=python3", f"VENV={tmp_path / 'none'}"]
    command = ["make", "--no-print-directory", "--dry-run", "colab", *variables]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == 'python3 tools/stamp.py --repo "ada/crowds" --branch "main"\n'
    subprocess.run([sys.executable, "-I", "-S", "tools/stamp.py", "--help"], cwd=ROOT, check=True, capture_output=True)
