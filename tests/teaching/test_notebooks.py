"""What every notebook promises: it was run, it says what its text says, its links lead somewhere, its exercises answer.

That the stored outputs are still what the code gives is nbval's part: pytest --nbval notebooks.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from tools_of_notebooks import stamp, tool

from sdcda_tutorial.teaching.exercises import EXERCISES, MODULES, verdict
from sdcda_tutorial.teaching.tolerance import tolerance_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
LESSONS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("[0-9]*.ipynb"))
APPENDICES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("[A-Z]_*.ipynb"))
NOTEBOOKS = LESSONS + APPENDICES
SOLUTIONS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("solutions/[0-9]*.ipynb"))
ALL = NOTEBOOKS + SOLUTIONS

every_notebook = pytest.mark.parametrize("name", ALL)
every_lesson = pytest.mark.parametrize("name", LESSONS)
every_lesson_and_appendix = pytest.mark.parametrize("name", NOTEBOOKS)
SHOWING = {"print", "display", "show", "code", "check"}  # calls that leave an output behind
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|srv|mnt|private|var|opt)/\w|\b[A-Z]:\\\w")


@cache
def load(name: str) -> Any:
    return nbformat.read(FOLDER / name, as_version=4)


def code_cells(name: str) -> list[Any]:
    return [cell for cell in load(name).cells if cell.cell_type == "code"]


def prose(name: str) -> list[str]:
    return [cell.source for cell in load(name).cells if cell.cell_type == "markdown"]


def outputs(name: str) -> list[Any]:
    return [output for cell in code_cells(name) for output in cell.outputs]


def number_of(name: str) -> str:
    """ "06" of a lesson, "A" of an appendix."""
    return Path(name).stem.partition("_")[0]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def metadata(cell: Any) -> dict[str, Any]:
    """Tags, tolerance and the like; without what jupytext notes about blank lines of the text."""
    return {key: value for key, value in cell.metadata.items() if key != "lines_to_next_cell"}


def text_of(output: Any) -> str:
    """What an output says in words; pictures left out."""
    data = output.get("data", {})
    words = [value for kind, value in data.items() if kind.startswith("text/") or kind.endswith(("json", "svg+xml"))]
    return "\n".join([output.get("text", ""), *map(str, words)])


def shows(source: str) -> bool:
    """Does a cell print or show something whatever happens, at its top level or in a loop?"""

    def calls(body: list[ast.stmt]) -> bool:
        for statement in body:
            if isinstance(statement, ast.For | ast.With):
                if calls(statement.body):
                    return True
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                function = statement.value.func
                if getattr(function, "id", getattr(function, "attr", None)) in SHOWING:
                    return True
        return False

    return calls(ast.parse(source).body)


def links(name: str) -> list[str]:
    """Where the prose points to, without addresses of other places."""
    text = "\n".join(prose(name))
    text = re.sub(r"\$\$.*?\$\$|`[^`]*`", "", text, flags=re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"src=[\"']([^\"']+)", text)
    return [link for link in found if not re.match(r"https?:|mailto:|attachment:|data:|#", link)]


def exercises(name: str) -> list[str]:
    """Numbers of the exercises registered for the notebook of this name."""
    number = str(int(Path(name).name[:2]))
    importlib.import_module(f"sdcda_tutorial.teaching.exercises.{MODULES[number]}")
    return sorted(n for n in EXERCISES if n.partition(".")[0] == number)


def test_every_notebook_has_its_text_and_its_solution() -> None:
    texts = sorted(path.relative_to(FOLDER / "text").as_posix() for path in (FOLDER / "text").rglob("*.py"))
    assert sorted(name.replace(".ipynb", ".py") for name in ALL) == texts
    assert [f"solutions/{name}" for name in LESSONS] == SOLUTIONS
    assert [int(name[:2]) for name in LESSONS] == [*range(12)]
    assert APPENDICES == ["A_controls.ipynb", "B_ledger.ipynb"]
    assert [number_of(name) for name in NOTEBOOKS] == list(tool.BUDGETS)


@every_notebook
def test_text_and_notebook_say_the_same(name: str) -> None:
    text = jupytext.read(FOLDER / "text" / name.replace(".ipynb", ".py"))
    said = [(c.cell_type, c.source, metadata(c)) for c in text.cells]
    kept = [(c.cell_type, c.source, metadata(c)) for c in load(name).cells if tool.FOLDED not in tags(c)]
    assert said == kept, "run `make sync`, then `make notebooks`"
    assert text.metadata.get("sdcda") == load(name).metadata.get("sdcda")


@every_notebook
def test_every_cell_was_run_and_its_outputs_are_stored(name: str) -> None:
    """nbval passes a notebook without outputs, even one with wrong code: so this has to be asked for."""
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run `make notebooks`"
    silent = [cell.source for cell in cells if shows(cell.source) and not cell.outputs]
    assert silent == []
    assert outputs(name)


@every_notebook
def test_outputs_are_clean(name: str) -> None:
    """No error, no warning, no live widget (without its model it shows as an error)."""
    for output in outputs(name):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        kinds = set(output.get("data", {}))
        assert not any("widget" in kind for kind in kinds)
    assert "widgets" not in load(name).metadata


@every_notebook
def test_most_cells_are_compared(name: str) -> None:
    ignored = sum("nbval-ignore-output" in tags(cell) for cell in code_cells(name))
    assert ignored <= len(code_cells(name)) / 3
    assert not any(tag.startswith("nbval-skip") for cell in code_cells(name) for tag in tags(cell))


@every_notebook
def test_tolerances_are_stated_where_they_count(name: str) -> None:
    for cell in load(name).cells:
        tolerance = tolerance_of(cell.metadata)
        if tolerance is not None:
            assert cell.cell_type == "code" and "nbval-ignore-output" not in tags(cell), cell.source
            assert any(re.search("[0-9]", text_of(output)) for output in cell.outputs), cell.source


@every_notebook
def test_a_budget_is_stated(name: str) -> None:
    assert 1 <= load(name).metadata["sdcda"]["seconds"] <= 120


def test_all_budgets_together_are_within_twelve_minutes() -> None:
    assert sum(load(name).metadata["sdcda"]["seconds"] for name in ALL) <= 12 * 60


@every_notebook
def test_links_and_images_resolve(name: str) -> None:
    folder = (FOLDER / name).parent
    broken = [link for link in links(name) if not (folder / link.partition("#")[0]).exists()]
    assert broken == []


@every_lesson_and_appendix
def test_previous_and_next_are_linked_above_and_below(name: str) -> None:
    place = NOTEBOOKS.index(name)
    near = [NOTEBOOKS[i] for i in (place - 1, place + 1) if 0 <= i < len(NOTEBOOKS)]
    for cell in (prose(name)[0], prose(name)[-1]):
        (line,) = [line for line in cell.splitlines() if re.match(r"\[← |\[.* →\]", line)]
        assert re.findall(r"\]\(([^)]+)\)", line) == near
    assert name in APPENDICES or f"solutions/{name}" in links(name)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_solution_leads_back(name: str) -> None:
    assert f"../{Path(name).name}" in links(name)


@every_notebook
def test_the_set_up_cell_is_that_of_the_tool(name: str) -> None:
    """Unstamped: no repository and no badge, which would lead to somebody else's copy."""
    cell = code_cells(name)[0]
    assert cell.source == stamp.set_up_cell(solutions=name in SOLUTIONS).rstrip("\n"), "run `make colab`"
    assert metadata(cell) == {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["colab"]}
    assert cell.outputs == [], "outside Colab it does nothing"
    assert "colab-badge" not in "".join(prose(name))


@pytest.mark.parametrize("name", APPENDICES)
def test_an_appendix_says_what_it_is(name: str) -> None:
    assert re.match(f"# (Appendix )?{number_of(name)} · ", prose(name)[0])


@every_lesson
def test_a_lesson_says_what_it_is_for(name: str) -> None:
    number, top, last = number_of(name), " ".join(prose(name)[0].split()), prose(name)[-1]
    assert top.startswith(f"# {number} · ")
    for part in ("**After this notebook you can**", "**Time**", "**You need**"):
        assert top.count(part) == 1, part
    text = "\n".join(prose(name))
    assert "## Take away" in last and "## Exercises" in text
    leaves_open = r"not (prove|show|say|mean|explain|know|tell)|(no|not a) proof|nothing about"
    assert re.search(leaves_open, " ".join(text.replace("*", "").split())), "what does a result not prove?"


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name != "B_ledger.ipynb"])
def test_one_box_says_what_this_does_not_show(name: str) -> None:
    """Just before the take-aways; three points at most, as a list or in a few sentences."""
    text = "\n\n".join(prose(name))
    assert len(re.findall("what this does not show", text, flags=re.I)) == 1
    found = re.search(r"^> \*\*What this does not show\.?\*\*((?:.*\n>)*.*)\n\s*## (Take away)?", text, flags=re.M)
    assert found, "a block quote that begins with **What this does not show.**, then the next heading"
    assert found[2] or name in APPENDICES, "the next heading is Take away"
    box = re.sub(r"^> ?", "", found[1].strip(), flags=re.M)
    points = re.findall(r"^ *(?:[-*]|\d\.) ", box, flags=re.M)
    sentences = re.findall(r"[.?!]\W*(?=\s|$)", re.sub(r"^ *\d\. ", "", box, flags=re.M))
    assert len(points) <= 3 and len(sentences) <= 6, box


@every_lesson
def test_three_take_aways(name: str) -> None:
    below = prose(name)[-1].partition("## Take away")[2]
    assert len(re.findall(r"^(?:[-*]|\d\.) ", below, flags=re.M)) == 3


@every_lesson_and_appendix
def test_length_and_time_are_within_the_budget(name: str) -> None:
    book, budget = load(name), tool.BUDGETS[number_of(name)]
    assert budget.words is None or tool.words_of_prose(book) <= budget.words
    assert tool.printed_booleans(book) <= tool.BOOLEANS, "print the figures instead"
    assert book.metadata["sdcda"]["seconds"] <= budget.seconds
    if budget.minutes is not None:
        minutes = book.metadata["sdcda"]["minutes"]
        assert 1 <= minutes <= budget.minutes
        assert re.findall(r"\*\*Time\*\*:? (?:about )?(\d+) minutes", prose(name)[0]) == [str(minutes)]


@every_lesson
def test_exercises_leave_time_to_read(name: str) -> None:
    needed = sum(EXERCISES[number].minutes for number in exercises(name) if not EXERCISES[number].optional)
    assert needed < load(name).metadata["sdcda"]["minutes"]


@every_notebook
def test_no_line_is_wide(name: str) -> None:
    assert tool.wide_lines(load(name)) == []


@every_notebook
def test_blocks_of_code_in_prose_are_closed(name: str) -> None:
    """A fence within a line opens or closes nothing, and what follows becomes code."""
    for text in prose(name):
        fences = [line for line in text.splitlines() if "```" in line]
        assert all(line.startswith("```") for line in fences) and len(fences) % 2 == 0, text


@every_lesson
def test_each_exercise_is_asked_once_and_solved(name: str) -> None:
    assert 2 <= len(exercises(name)) <= 4
    for book, sign in ((name, "… {}: not attempted"), (f"solutions/{name}", "✔ {}: ")):
        for number in exercises(name):
            cell = next(cell for cell in code_cells(book) if f'check("{number}", ' in cell.source)
            assert sign.format(number) in "".join(text_of(output) for output in cell.outputs)
        asked = re.findall(r'^check\("([^"]+)"', "\n".join(cell.source for cell in code_cells(book)), flags=re.M)
        # A solution may show a second way, and ask again.
        assert (asked if book == name else list(dict.fromkeys(asked))) == exercises(name)


@every_lesson
@pytest.mark.slow
def test_each_solution_is_folded_below_its_exercise_and_right_there(name: str) -> None:
    """Typed in place of the stub, where the names are those that the notebook imports."""
    cells = load(name).cells
    found, names = [], dict[str, Any]()
    for cell, below in itertools.pairwise(cells):
        if cell.cell_type == "code":
            lines = [line for line in ast.parse(cell.source).body if isinstance(line, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(lines, []), name, "exec"), names)
        check = re.search(r'^check\("([^"]+)", (.*)\)$', cell.source, flags=re.M)
        if cell.cell_type == "code" and check:
            assert tags(below) == [tool.FOLDED], "run `make sync`"
            assert below.source.startswith(f"<details><summary>Solution {check[1]}</summary>\n\n```python\n")
            exec(below.source.split("```")[1].removeprefix("python"), names)
            assert verdict(check[1], eval(check[2], names))[0] == "right"
            found.append(check[1])
    assert found == exercises(name) and sum(tool.FOLDED in tags(cell) for cell in cells) == len(found)


@every_lesson
def test_exercises_tell_difficulty_and_time(name: str) -> None:
    """As they are registered: **6.2 Title** (★★, 8 minutes) or **6.3 Title** (★★★, 10 minutes, optional)."""
    text = "\n".join(prose(name))
    known = [EXERCISES[number] for number in exercises(name)]
    for one in known:
        more = ", optional" if one.optional else ""
        assert f"**{one.number} {one.title}** ({'★' * one.difficulty}, {one.minutes} minutes{more})" in text
    more = sum(one.minutes for one in known if one.optional)
    assert re.search(rf"\*\*Time\*\* \d+ minutes \(optional exercises?: \+{more}\);", text)


@every_notebook
def test_no_path_of_a_machine(name: str) -> None:
    words = [cell.source for cell in load(name).cells] + [text_of(output) for output in outputs(name)]
    assert [found.group() for text in words for found in [ABSOLUTE.search(text)] if found] == []
    assert not any(str(place) in text for text in words for place in (ROOT, Path.home()) if len(str(place)) > 1)


@pytest.mark.parametrize("text", ["see /home/ada/x", "'/tmp/a.png'", "File /srv/project/b.py", r"C:\Users"])
def test_paths_of_a_machine_are_recognised(text: str) -> None:
    assert ABSOLUTE.search(text)
    assert not ABSOLUTE.search("data/tmp/x, https://example.org/home/x, /content/keep.txt, a/b, ../srv/x")


@every_notebook
def test_a_notebook_is_small(name: str) -> None:
    assert (FOLDER / name).stat().st_size < 1.5e6


@every_notebook
def test_figures_have_captions(name: str) -> None:
    """As the picture's alternative text, and below it for everybody."""
    for cell in code_cells(name):
        for output in cell.outputs:
            pictures = {kind for kind in output.get("data", {}) if kind in ("image/jpeg", "image/png")}
            for kind in pictures:
                caption = output.metadata.get(kind, {}).get("alt", "")
                assert len(caption) > 20 and caption.endswith((".", ")")), cell.source
                assert any(o.get("data", {}).get("text/markdown") == f"*{caption}*" for o in cell.outputs), caption
