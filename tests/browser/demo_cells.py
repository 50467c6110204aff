"""Which cells of a notebook its demos need: the others were run by `pytest --nbval notebooks`."""

from __future__ import annotations

import ast
from typing import Any

INTERACTIVE = "Interactive: run this cell to move the controls."  # what is stored in place of a widget


def leave_out_the_rest(notebook: Any) -> None:
    """Empty the code cells that no demo of a notebook needs; their stored outputs stay."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    wanted = {k for k, cell in enumerate(cells) if any(INTERACTIVE in str(output) for output in cell.outputs)}
    needed = cells_for(wanted, [cell.source for cell in cells])
    for number, cell in enumerate(cells):
        if number not in needed:
            cell.source = ""


def cells_for(wanted: set[int], sources: list[str]) -> set[int]:
    """Numbers of the cells to run for those that are wanted: each one before that makes or changes what they use."""
    parts = [[names_of(statement) for statement in ast.parse(source).body] for source in sources]
    modules = {name for cell in parts for *_, imported in cell for name in imported}  # calls do not change these
    needed, names = set(wanted), set[str]()
    for number in reversed(range(len(sources))):
        touched = {name for made, changed, *_ in parts[number] for name in made | changed - modules}
        # The set-up makes no name that is used, and nothing works without it.
        if number in needed or touched & names or "notebook.begin()" in sources[number]:
            needed.add(number)
            for made, changed, used, _ in reversed(parts[number]):
                names = (names - made) | used | changed
    return needed


def names_of(statement: ast.stmt) -> tuple[set[str], set[str], set[str], set[str]]:
    """Names that a statement binds, changes (`x[0] = ...`, `x.update(...)`), reads; and those it binds by an import."""
    made, changed, used, imported, inner = set[str](), set[str](), set[str](), set[str](), set[str]()
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.arg(arg=name) | ast.comprehension(target=ast.Name(id=name)):
                inner.add(name)
            case ast.comprehension(target=ast.Tuple(elts=names)):
                inner |= {one.id for one in names if isinstance(one, ast.Name)}
            case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                made.add(name)
            case ast.alias(name=name, asname=alias):
                imported.add(alias or name.partition(".")[0])
            case (
                ast.Attribute(value=ast.Name(id=name), ctx=ast.Store())
                | ast.Subscript(value=ast.Name(id=name), ctx=ast.Store())
                | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name))))
            ):
                changed.add(name)
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        inner, made = inner | made - {statement.name}, {statement.name}
    return made - inner | imported, changed - inner, used - inner, imported
