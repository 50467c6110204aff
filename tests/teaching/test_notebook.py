"""How notebooks are made and shown: source without docstrings, text to notebook, budgets."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from tools_of_notebooks import tool

from sdcda_tutorial import density, losses, metrics, networks
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import pictures as plotting
from sdcda_tutorial.evaluation import results as evaluation
from sdcda_tutorial.places import CLONE_HAS
from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.exercises import Hint
from sdcda_tutorial.training import adapt

ROOT = Path(__file__).parents[2]
SHOWN = [
    density.density_map, density.adaptive_sigma, losses.masked_prediction, losses.total_loss, metrics.psnr,
    metrics.count_errors, evaluation.evaluate, evaluation.Results, evaluation.predict_density, plotting.panel,
    networks.FeatureExtractor, networks.SemanticExtractor, networks.CrowdCounter, networks.CrowdCounter.forward, adapt,
    notebook.world, notebook.show,
]  # fmt: skip


# The source of the package, shown in a notebook


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    displayed: list[Any] = []
    monkeypatch.setattr(notebook, "display", lambda item, **_: displayed.append(item))
    return displayed


def code_in(markdown: Any) -> str:
    text = markdown.data
    assert text.startswith("```python\n") and text.endswith("\n```")
    return text.removeprefix("```python\n").removesuffix("\n```")


def meaning(source: str) -> str:
    """The syntax tree without docstrings, which is what a definition does."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


@pytest.mark.parametrize("item", SHOWN, ids=lambda item: item.__qualname__)
def test_code_leaves_out_docstrings_and_nothing_else(item: Any, shown: list[Any]) -> None:
    notebook.code(item)
    short, whole = code_in(shown[0]), textwrap.dedent(inspect.getsource(item))
    compile(short, "shown", "exec")
    assert meaning(short) == meaning(whole)
    assert ast.get_docstring(ast.parse(short).body[0]) is None
    gone = [line for line in whole.splitlines() if line not in short.splitlines()]
    assert all("#" not in line.split('"""')[0] for line in gone), "comments say why: they stay"
    assert len(short.splitlines()) <= len(whole.splitlines())


def test_code_shows_several_objects_in_order(shown: list[Any]) -> None:
    notebook.code(metrics.count_errors, losses.masked_prediction)
    names = [node.name for node in ast.parse(code_in(shown[0])).body if isinstance(node, ast.FunctionDef)]
    assert names == ["count_errors", "masked_prediction"]


def test_code_of_what_is_only_a_docstring(shown: list[Any]) -> None:
    notebook.code(Hint)
    compile(code_in(shown[0]), "shown", "exec")


def test_code_of_many_shapes() -> None:
    text = textwrap.dedent(
        '''
        class A:
            """One line."""

            x = """not a docstring"""

            def f(self):
                """Two

                lines.
                """

                def g():
                    "plain quotes"
                    return 1  # a comment

                return g

            @property
            def h(self): return "short"
        '''
    ).strip()
    short = notebook._without_docstring(text)
    assert meaning(short) == meaning(text)
    assert "not a docstring" in short and "# a comment" in short and "lines." not in short and "plain" not in short


# Where a notebook finds the project: `begin`


def clone_at(folder: Path) -> Path:
    (folder / CLONE_HAS).parent.mkdir(parents=True)
    (folder / CLONE_HAS).write_text("{}")
    return folder


@pytest.fixture
def begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Begin a notebook that lies in a folder, with the package in another; the folder that it changed to."""
    monkeypatch.chdir(tmp_path)  # and back, afterwards
    monkeypatch.setattr(notebook.plt, "rcParams", {})

    def begin(place: Path, package: Path) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        os.chdir(place)
        monkeypatch.setattr(notebook, "__file__", str(package / "sdcda_tutorial" / "teaching" / "notebook.py"))
        notebook.begin()
        return Path.cwd()

    return begin


def test_a_notebook_begins_in_the_clone_that_it_lies_in(begins: Any, tmp_path: Path) -> None:
    clone, other = clone_at(tmp_path / "clone"), clone_at(tmp_path / "other")
    for place in (clone, clone / "notebooks", clone / "work" / "solutions"):
        assert begins(place, clone) == begins(place, other) == clone
    assert notebook.plt.rcParams == plotting.STYLE


def test_a_notebook_outside_takes_the_clone_of_the_package(begins: Any, tmp_path: Path) -> None:
    clone, thesis = clone_at(tmp_path / "clone"), tmp_path / "thesis"
    (thesis / "data" / "results").mkdir(parents=True)  # the reader's own, which are no clone
    assert begins(thesis / "notebooks", clone) == clone


def test_without_a_project_one_line_says_what_to_do(begins: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no project at or above .*notes.*pip install -e") as error:
        begins(tmp_path / "notes", tmp_path / "site-packages")
    assert "\n" not in str(error.value)


# Text to notebook: `sync`

TEXT = """\
# ---
# jupyter:
#   sdcda:
#     seconds: 5
# ---

# %% [markdown]
# # 01 · A title
#
# Words.

# %% tags=["colab"]
old = "set-up"

# %%
print(1)

# %%
print(2)

# %% tags=["nbval-ignore-output"]
print(3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one notebook, 01_title, whose text is there and which was run."""
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(tool, "TEXTS", tmp_path / "notebooks" / "text")
    text = tmp_path / "notebooks" / "text" / "01_title.py"
    text.parent.mkdir(parents=True)
    text.write_text(TEXT, encoding="utf-8")
    tool.sync(text)
    run = nbformat.read(tool.notebook_of(text), as_version=4)
    for number, cell in enumerate((c for c in run.cells if c.cell_type == "code"), start=1):
        cell.execution_count, cell.outputs = number, [new_output("stream", text=f"output {number}\n")]
    nbformat.write(run, tool.notebook_of(text))
    return text.parent


def cells(folder: Path) -> list[Any]:
    return nbformat.read(folder.parent / "01_title.ipynb", as_version=4).cells


def test_sync_keeps_outputs_of_what_did_not_change(folder: Path) -> None:
    text = folder / "01_title.py"
    text.write_text(TEXT.replace("print(2)", "print(2.5)").replace("Words.", "Other words."), encoding="utf-8")
    tool.sync(text)
    markdown, setup, one, two, three = cells(folder)
    assert "Other words." in markdown.source
    assert [cell.outputs[0].text for cell in (setup, one, three)] == ["output 1\n", "output 2\n", "output 4\n"]
    assert two.source == "print(2.5)" and two.outputs == [] and two.execution_count is None
    assert three.metadata.tags == ["nbval-ignore-output"]


def test_sync_takes_metadata_of_a_cell_whose_code_stays(folder: Path) -> None:
    text, line = folder / "01_title.py", '# %% sdcda={"tolerance": {"rel": 0.05}} tags=["a"]\nprint(1)'
    for new, metadata in ((line, {"sdcda": {"tolerance": {"rel": 0.05}}, "tags": ["a"]}), ("# %%\nprint(1)", {})):
        text.write_text(TEXT.replace("# %%\nprint(1)", new), encoding="utf-8")
        tool.sync(text)
        one = cells(folder)[2]
        assert one.metadata == metadata and one.outputs[0].text == "output 2\n" and one.execution_count == 2


def test_sync_keeps_outputs_of_a_cell_that_moved(folder: Path) -> None:
    text = folder / "01_title.py"
    text.write_text(TEXT.replace("# %%\nprint(1)\n\n", "") + "\n# %%\nprint(1)\n", encoding="utf-8")
    tool.sync(text)
    assert [c.outputs[0].text for c in cells(folder)[2:]] == ["output 3\n", "output 4\n", "output 2\n"]


def test_sync_twice_changes_nothing(folder: Path) -> None:
    path = folder.parent / "01_title.ipynb"
    tool.sync(folder / "01_title.py")
    before = path.read_bytes()
    tool.sync(folder / "01_title.py")
    assert path.read_bytes() == before
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3" and book.metadata.sdcda.seconds == 5
    assert len({cell.id for cell in book.cells}) == len(book.cells)


# Solutions, folded below the exercises

LESSON = (
    TEXT
    + """
# %% [markdown]
# ## Exercises

# %%
import numpy as np

def width(sigma):
    raise NotImplementedError


check("1.1", width)

# %% [markdown]
# The end.
"""
)
SOLVED = """\
# %%
import numpy as np
import torch.nn.functional as nnF
from math import floor, pi

# %%
def width(sigma):
    return floor(np.log(nnF.relu(sigma)))


check("1.1", width)

print("more")

# %%
check("1.1", floor)
"""
WANTED = """\
<details><summary>Solution 1.1</summary>

```python
import torch.nn.functional as nnF

from math import floor

def width(sigma):
    return floor(np.log(nnF.relu(sigma)))
```

</details>"""


@pytest.fixture
def lesson(folder: Path) -> Path:
    (folder / "solutions").mkdir()
    (folder / "solutions" / "01_title.py").write_text(SOLVED, encoding="utf-8")
    (folder / "01_title.py").write_text(LESSON, encoding="utf-8")
    tool.sync(folder / "01_title.py")
    return folder


def test_sync_folds_the_solution_below_its_exercise(lesson: Path) -> None:
    """With the imports that the notebook lacks, and nothing of what comes after the check."""
    *_, exercise, solution, end = cells(lesson)
    assert "raise NotImplementedError" in exercise.source and end.source == "The end."
    assert solution.cell_type == "markdown" and solution.source == WANTED
    assert solution.metadata == {"tags": [tool.FOLDED]}
    tool.sync(lesson / "solutions" / "01_title.py")
    solved = nbformat.read(lesson.parent / "solutions" / "01_title.ipynb", as_version=4).cells
    assert [cell.cell_type for cell in solved] == ["code"] * 3, "a solution has none"


def test_folded_solutions_follow_the_text_of_the_solutions_and_cost_no_words(lesson: Path) -> None:
    path, text = lesson.parent / "01_title.ipynb", lesson / "solutions" / "01_title.py"
    before = path.read_bytes()
    tool.sync(lesson / "01_title.py")
    assert path.read_bytes() == before
    text.write_text(SOLVED.replace("floor(np", "pi * floor(np"), encoding="utf-8")
    tool.sync(lesson / "01_title.py")
    assert "from math import pi\n" in cells(lesson)[-2].source and "pi * floor" in cells(lesson)[-2].source
    assert tool.words_of_prose(nbformat.read(path, as_version=4)) == 2 + 1 + 1 + 2  # A title, Words, Exercises, The end


def test_a_folded_solution_that_jupytext_brought_into_a_text_is_left_out(lesson: Path) -> None:
    """As `jupytext --sync` does after the notebook was edited."""
    before, path = cells(lesson), lesson.parent / "01_title.ipynb"
    (lesson / "01_title.py").write_text(jupytext.writes(nbformat.read(path, as_version=4), "py:percent"))
    assert "Solution 1.1" in (lesson / "01_title.py").read_text()
    tool.sync(lesson / "01_title.py")
    assert cells(lesson) == before


# What somebody typed into a notebook


def typed(folder: Path, **changed: str) -> Path:
    """Type into cells of the notebook, by their number; "new" is a cell at the end."""
    path = folder.parent / "01_title.ipynb"
    book = nbformat.read(path, as_version=4)
    for place, source in changed.items():
        if place == "new":
            book.cells.append(new_code_cell(source))
        else:
            book.cells[int(place.removeprefix("cell"))].source = source
    nbformat.write(book, path)
    return path


@pytest.mark.parametrize("command", ["sync", "execute"])
@pytest.mark.parametrize("changed", [{"cell2": "print(1) or 2"}, {"new": "my_note = 1"}, {"cell0": "my own words"}])
def test_what_somebody_typed_is_not_deleted(
    command: str, changed: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = typed(folder, **changed)
    before = {file: file.read_bytes() for file in tool.ROOT.rglob("*.*")}
    with pytest.raises(SystemExit) as stopped:
        run_tool(monkeypatch, command)
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1
    target = "notebooks" if command == "execute" else command
    assert "1 in notebooks/01_title.ipynb" in said and f"make {target} SET_ASIDE=1" in said
    assert {file: file.read_bytes() for file in tool.ROOT.rglob("*.*")} == before and path.exists()


def test_set_aside_copies_it_to_work_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tool, "WORK", tool.ROOT / "work")
    for number, answer in (("", "answer = 1"), ("2", "answer = 2")):
        mine = typed(folder, cell2=answer).read_bytes()
        run_tool(monkeypatch, "sync", "--set-aside", "01")
        assert (tool.ROOT / "work" / f"01_title.typed{number}.ipynb").read_bytes() == mine
        assert f"work/01_title.typed{number}.ipynb" in capsys.readouterr().out
        assert cells(folder)[2].source == "print(1)"
    run_tool(monkeypatch, "sync", "--set-aside")
    assert len(list((tool.ROOT / "work").iterdir())) == 2, "nothing was typed, nothing is copied"


def test_a_maintainer_edits_the_text_as_often_as_they_like(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that is only behind its text holds nothing of its own."""
    text = folder / "01_title.py"
    for number in range(3):
        text.write_text(TEXT.replace("print(2)", f"print(2.{number})").replace("Words", f"Words {number}"))
        run_tool(monkeypatch, "sync")
        assert f"print(2.{number})" in [cell.source for cell in cells(folder)]
    typed(folder, cell1='REPO = "https://github.com/ada/crowds"', new="  ")  # a filled-in form, an empty cell
    run_tool(monkeypatch, "sync")
    book = nbformat.read(folder.parent / "01_title.ipynb", as_version=4)
    for cell in book.cells:  # as after Colab, which keeps no ids
        cell.pop("id")
    book.nbformat_minor = 4
    nbformat.write(book, folder.parent / "01_title.ipynb")
    run_tool(monkeypatch, "sync")


# `budget`

PROSE = """\
# Three words here

Four-letter words don't count `code here` twice, $x + y$ neither.

| a table | of words |
|---|---|

$$
F = a \\text{formula}
$$

```bash
make test
```
"""


def measured() -> Any:
    return new_notebook(
        metadata={"sdcda": {"minutes": 9, "seconds": 5}},
        cells=[
            new_markdown_cell(PROSE),
            new_code_cell(
                "x = True\n" + "y" * 101,
                outputs=[
                    new_output("stream", text=f"True, False and Truely\n{'z' * 100}\n"),
                    new_output("stream", text="z" * 102 + "\n✔ 1.2: " + "z" * 102),
                    new_output("execute_result", data={"text/plain": "(True, 1)"}),
                    new_output("display_data", data={"text/markdown": "`True`", "text/plain": "True" + "z" * 102}),
                    new_output("display_data", data={"image/jpeg": "", "text/plain": "True" + "z" * 102}),
                ],
            ),
        ],
    )


def test_words_booleans_and_wide_lines_by_hand() -> None:
    """Three words in the title; Four-letter, words, don't, count, twice, neither."""
    assert tool.words_of_prose(measured()) == 3 + 6
    assert tool.printed_booleans(measured()) == 3
    assert tool.wide_lines(measured()) == ["y" * 101, "z" * 102]


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"minutes": 23}, False),
        ({"minutes": None}, False),
        ({"seconds": 16}, False),
        ({"words": 901}, False),
        ({"words": 900}, True),
        ({"booleans": 7}, False),
        ({"wide": 101}, False),
    ],
)
def test_budgets_are_printed(
    change: dict[str, Any],
    good: bool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "01_title.py").rename(folder / "00_title.py")
    book = new_notebook(
        metadata={"sdcda": {"minutes": change.get("minutes", 15), "seconds": change.get("seconds", 15)}},
        cells=[
            new_markdown_cell("word " * change.get("words", 3)),
            new_code_cell(
                "x" * change.get("wide", 100), outputs=[new_output("stream", text="True " * change.get("booleans", 6))]
            ),
        ],
    )
    tool.write(book, tool.notebook_of(folder / "00_title.py"))
    with pytest.raises(SystemExit) as stopped:
        run_tool(monkeypatch, "budget")
    assert stopped.value.code == (0 if good else 1)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("00_title")]
    assert row.endswith("over") is not good and str(change.get("words", 3)) in row.split()


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["notebooks.py", *arguments])
    tool.main()


def test_an_unknown_notebook_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="known are 01_title"):
        run_tool(monkeypatch, "sync", "07")


# Budgets: notebooks/conftest.py

STUB = """\
import sdcda_tutorial.mini_world
sdcda_tutorial.mini_world.ensure_mini_world = lambda root: print("world wanted in", root.relative_to(root.parents[1]))
"""


@pytest.mark.slow
def test_a_notebook_that_oversteps_its_budget_fails(tmp_path: Path) -> None:
    """Its outputs are right in all three; one states too little time for its second cell, one states none."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "conftest.py", folder)
    (tmp_path / "stub.py").write_text(STUB)  # no world is drawn for this
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name, metadata in {
        "enough": {"sdcda": {"seconds": 100}},
        "overstepped": {"sdcda": {"seconds": 0.0001}},
        "silent": {},
    }.items():
        printing = [
            new_code_cell(f"print({n})", execution_count=n, outputs=[new_output("stream", text=f"{n}\n")])
            for n in (1, 2)
        ]
        book = new_notebook(cells=printing, metadata=metadata)
        tool.write(book, folder / f"{name}.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-p", "stub", "-rA", "-s", "notebooks"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "SDCDA_TIME_SLACK": "3"},
    )  # fmt: skip
    out = done.stdout
    assert "world wanted in data/mini" in out
    counted = {
        name: [out.count(f"{said} notebooks/{name}.ipynb::") for said in ("PASSED", "ERROR")]
        for name in ("enough", "overstepped", "silent")
    }
    assert counted["enough"] == [2, 0], out
    # Already the start of the kernel takes longer; what comes after is not told a second time.
    assert counted["overstepped"] == [1, 1] and "overstepped.ipynb took more than 3 times its budget" in out, out
    assert counted["silent"][0] == 0 and "silent.ipynb states no budget" in out, out
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("took", "outcomes"), [((1, 2, 2.9), "passed passed passed"), ((1, 2, 3.1, 9), "passed passed failed passed")]
)
def test_the_cell_that_oversteps_is_the_one_that_fails(
    took: tuple[float, ...], outcomes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times a budget of 2 seconds are 6, over all phases of all cells."""
    monkeypatch.delenv("SDCDA_TIME_SLACK", raising=False)
    path = tmp_path / "a.ipynb"
    tool.write(new_notebook(metadata={"sdcda": {"seconds": 2}}), path)
    spec = importlib.util.spec_from_file_location("conftest_of_notebooks", ROOT / "notebooks" / "conftest.py")
    assert spec is not None and spec.loader is not None
    conftest: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)

    def report(duration: float, said: str) -> Any:
        kept = types.SimpleNamespace(outcome=said, passed=said == "passed", longrepr=None)
        item, call = types.SimpleNamespace(path=path), types.SimpleNamespace(duration=duration)
        hook = conftest.pytest_runtest_makereport(item, call)
        next(hook)
        with pytest.raises(StopIteration):
            hook.send(kept)
        return kept

    reports = [report(duration, "passed") for duration in took]
    assert " ".join(kept.outcome for kept in reports) == outcomes
    assert [kept.longrepr is not None for kept in reports] == [kept.outcome == "failed" for kept in reports]


def test_jupytext_reads_what_the_tool_writes(folder: Path) -> None:
    text = jupytext.read(folder / "01_title.py")
    assert [cell.source for cell in text.cells] == [cell.source for cell in cells(folder)]
