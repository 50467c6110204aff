"""Make the notebooks of their text pairs: `sync` copies the text over, `execute` runs it.

Both refuse to delete what somebody typed into a notebook; with `--set-aside` they first copy such a notebook to work/.
`budget` prints how long the notebooks are, beside how long they may be.

The text (notebooks/text/NAME.py, jupytext's percent format) is what one edits; the notebook (notebooks/NAME.ipynb) is
the text with outputs. Solutions are in a folder `solutions` of either; their code also stands in the notebook, folded
below its exercise, in cells that no text has.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import itertools
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, TEXTS, WORK = ROOT / "notebooks", ROOT / "notebooks" / "text", ROOT / "work"
WIDGET = "application/vnd.jupyter.widget-view+json"
INTERACTIVE = "Interactive: run this cell to move the controls."

# Tag of the cells below the exercises, and what they hold: every front end shows it folded.
FOLDED = "folded-solution"
SOLUTION = "<details><summary>Solution {number}</summary>\n\n```python\n{code}\n```\n\n</details>"


class Budget(NamedTuple):
    """What a notebook may cost at most: words of prose, minutes without optional exercises, seconds to execute."""

    words: int | None
    minutes: int | None
    seconds: int


BUDGETS = {
    "00": Budget(900, 22, 15),
    "01": Budget(850, 30, 15),
    "02": Budget(1000, 37, 60),
    "03": Budget(1100, 37, 20),
    "04": Budget(950, 32, 45),
    "05": Budget(1000, 45, 30),
    "06": Budget(1300, 40, 20),
    "07": Budget(1000, 43, 45),
    "08": Budget(1200, 68, 120),
    "09": Budget(1500, 41, 45),
    "10": Budget(1400, 42, 60),
    "11": Budget(1500, 40, 20),
    "A": Budget(1200, 45, 20),
    "B": Budget(None, None, 5),  # to look things up in
}
BOOLEANS, WIDTH = 6, 100  # printed True and False, characters in a line: at most


def texts() -> list[Path]:
    """All text pairs, the notebooks in their order, then the solutions."""
    return sorted(TEXTS.glob("*.py")) + sorted((TEXTS / "solutions").glob("*.py"))


def notebook_of(text: Path) -> Path:
    return (NOTEBOOKS / text.relative_to(TEXTS)).with_suffix(".ipynb")


def sync(text: Path) -> None:
    """Bring a notebook up to its text; outputs of cells whose code did not change stay."""
    path = notebook_of(text)
    new = jupytext.read(text)
    new.cells = [cell for cell in new.cells if not is_tagged(cell, FOLDED)]  # as jupytext's own sync puts into a text
    kept = nbformat.read(path, as_version=4).cells if path.exists() else []
    for index, cell in enumerate(new.cells):
        # The same in every run, so that a difference is one of content; and it shows whether the cell was edited since.
        cell.id = f"{index:02d}-{cell.cell_type}-{_digest(cell)}"
        cell.metadata.pop("lines_to_next_cell", None)
        old = next((c for c in kept if c.cell_type == "code" and _same_code(c, cell)), None)
        if cell.cell_type == "code" and old is not None:
            kept.remove(old)
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    new.cells = with_solutions(new.cells, text)
    write(new, path)


def is_tagged(cell: NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def _digest(cell: NotebookNode) -> str:
    return hashlib.sha256(cell.source.encode()).hexdigest()[:8]


def with_solutions(cells: list[NotebookNode], text: Path) -> list[NotebookNode]:
    """The cells of a lesson, each exercise followed by its folded solution; those of other notebooks as they are."""
    solutions = TEXTS / "solutions" / text.name
    if text.parent != TEXTS or not solutions.exists():
        return cells
    solved, imported = jupytext.read(solutions).cells, _imports(cells)
    filled = []
    for cell in cells:
        filled.append(cell)
        exercise = re.search(r'^check\("([\d.]+)"', cell.source, flags=re.M)
        if cell.cell_type == "code" and exercise:
            call, number = exercise[0], exercise[1]
            code = next(c.source.partition(call)[0].strip() for c in solved if f"\n{call}" in c.source)
            names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
            wanted = [f"{line}\n\n" for name, line in _imports(solved).items() if name in names - imported.keys()]
            source = SOLUTION.format(number=number, code="".join([*wanted, code]))
            folded = nbformat.v4.new_markdown_cell(source, metadata={"tags": [FOLDED]})
            folded.id = f"solution-{number.replace('.', '-')}"
            filled.append(folded)
    return filled


def _imports(cells: list[NotebookNode]) -> dict[str, str]:
    """The line that imports each name."""
    lines = {}
    for statement in (line for cell in cells if cell.cell_type == "code" for line in ast.parse(cell.source).body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in list(statement.names):
                statement.names = [alias]
                lines[alias.asname or alias.name.partition(".")[0]] = ast.unparse(statement)
    return lines


def typed_into(text: Path) -> int:
    """How many cells of a notebook somebody typed or changed there: neither its text nor this tool has them."""
    path = notebook_of(text)
    known = {(cell.cell_type, cell.source.strip()) for cell in jupytext.read(text).cells}
    return sum(
        bool(cell.source.strip())
        and (cell.cell_type, cell.source.strip()) not in known
        and not str(cell.get("id")).endswith(f"-{_digest(cell)}")
        and not is_tagged(cell, FOLDED)
        and not is_tagged(cell, "colab")  # a form to fill in, which is stamped and not synced
        for cell in (nbformat.read(path, as_version=4).cells if path.exists() else [])
    )


def refuse_to_delete(chosen: list[Path], command: str) -> None:
    """End with one line if a notebook holds what its text does not."""
    found = {notebook_of(text): count for text in chosen if (count := typed_into(text))}
    if found:
        target = {"execute": "notebooks"}.get(command, command)
        cells = ", ".join(f"{count} in {path.relative_to(ROOT).as_posix()}" for path, count in found.items())
        print(
            f"Cells that were typed into a notebook, not into its text, would be deleted: {cells}. To copy such "
            f"notebooks to work/ first: make {target} SET_ASIDE=1, or --set-aside. To look at the cells: git diff",
            file=sys.stderr,
        )
        sys.exit(2)


def set_aside(text: Path) -> None:
    """Copy a notebook that somebody typed into to work/, beside what is there."""
    if not typed_into(text):
        return
    original = notebook_of(text)
    for number in itertools.count(1):
        ending = f".typed{number if number > 1 else ''}.ipynb"
        place = (WORK / original.relative_to(NOTEBOOKS)).with_suffix(ending)
        if not place.exists():
            break
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(original, place)
    print(f"{original.relative_to(ROOT).as_posix()} as it was: {place.relative_to(ROOT).as_posix()}")


def _same_code(one: NotebookNode, other: NotebookNode) -> bool:
    """Set-up cells count as the same, stamped or not: outside Colab they do nothing."""
    set_up = all(is_tagged(cell, "colab") for cell in (one, other))
    return one.source == other.source or set_up


def write(notebook: NotebookNode, path: Path) -> None:
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("jupytext", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    nbformat.write(notebook, partial)
    os.replace(partial, path)


def execute(text: Path) -> None:
    """Run a notebook from top to bottom and store its outputs, without times and without live widgets."""
    sync(text)
    path = notebook_of(text)
    notebook = nbformat.read(path, as_version=4)
    began = time.perf_counter()
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", record_timing=False, store_widget_state=False,
        coalesce_streams=True,  # else a busy machine stores the prints of one cell as several outputs
        resources={"metadata": {"path": str(path.parent)}},
    )  # fmt: skip
    client.execute()
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not (_is_progress_bar(output) or _is_script(output))]
        for output in cell.get("outputs", []):
            # Without its live model a stored widget shows an error; a sentence does not.
            if output.get("data", {}).pop(WIDGET, None) is not None:
                output["data"] = {"text/plain": INTERACTIVE}
    write(notebook, path)
    print(f"{path.relative_to(ROOT)}: {time.perf_counter() - began:.0f} s")


def _is_progress_bar(output: NotebookNode) -> bool:
    """A widget that a cell showed on its way, not its result: tqdm's bars, of which nothing is left to be seen."""
    return output.output_type == "display_data" and WIDGET in output.get("data", {})


def _is_script(output: NotebookNode) -> bool:
    """What a demo sends to the page it is shown on: there is nothing to see."""
    return "application/javascript" in output.get("data", {})


def words_of_prose(notebook: NotebookNode) -> int:
    """Words in the prose of a notebook, without formulas, code, tables and folded solutions."""
    words = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not is_tagged(cell, FOLDED):
            text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|```.*?```|`[^`]*`", " ", cell.source, flags=re.S)
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("|")]
            words += len(re.findall(r"[A-Za-z][A-Za-z'’-]*", "\n".join(lines)))
    return words


def printed(notebook: NotebookNode) -> list[str]:
    """Texts that the cells printed; captions, tables and code that are displayed are not among them."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    plain = [o.data["text/plain"] for o in outputs if set(o.get("data", {})) == {"text/plain"}]
    return [output.text for output in outputs if output.output_type == "stream"] + plain


def printed_booleans(notebook: NotebookNode) -> int:
    return sum(len(re.findall(r"\b(?:True|False)\b", text)) for text in printed(notebook))


def wide_lines(notebook: NotebookNode) -> list[str]:
    """Lines of code and printed lines that are too long; what `check` says of an answer is a sentence and may wrap."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    lines = [line for text in code + printed(notebook) for line in text.splitlines()]
    return [line for line in lines if len(line) > WIDTH and not re.match(r"[✔✘…] \d+\.\d+: ", line)]


def print_budgets() -> bool:
    """Print what each notebook costs and may cost; True if all keep their budgets."""
    good = True
    print("notebook                     words      of  minutes  of  seconds   of  booleans  wide lines")
    for path in map(notebook_of, sorted(TEXTS.glob("*.py"))):
        notebook, budget = nbformat.read(path, as_version=4), BUDGETS[path.stem.partition("_")[0]]
        stated = notebook.metadata.get("sdcda", {})
        found = (words_of_prose(notebook), stated.get("minutes"), stated.get("seconds"))
        booleans, wide = printed_booleans(notebook), len(wide_lines(notebook))
        over = [
            limit is not None and (value is None or value > limit) for value, limit in zip(found, budget, strict=True)
        ]
        bad = any(over) or booleans > BOOLEANS or wide > 0
        shown = ["-" if value is None else str(value) for pair in zip(found, budget, strict=True) for value in pair]
        row = "".join(value.rjust(width) for value, width in zip(shown, (7, 8, 9, 4, 9, 5), strict=True))
        print(f"{path.stem:27}{row}{booleans:10}{wide:12}{'  over' if bad else ''}")
        good = good and not bad
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["sync", "execute", "budget"])
    parser.add_argument("names", nargs="*", help="notebooks, such as 01 or solutions/06; all of them by default")
    parser.add_argument("--set-aside", action="store_true", help="copy notebooks that somebody typed into to work/")
    arguments = parser.parse_intermixed_args()  # names may follow an option
    if arguments.command == "budget":
        sys.exit(not print_budgets())
    chosen = [
        text
        for text in texts()
        if not arguments.names or any(str(text.relative_to(TEXTS)).startswith(name) for name in arguments.names)
    ]
    if not chosen:
        sys.exit(f"no notebook of that name; known are {', '.join(text.stem for text in texts())}")
    if not arguments.set_aside:
        refuse_to_delete(chosen, arguments.command)
    for text in chosen:
        set_aside(text)
    for text in chosen:
        {"sync": sync, "execute": execute}[arguments.command](text)


if __name__ == "__main__":
    main()
