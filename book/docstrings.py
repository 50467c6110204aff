"""Docstrings for Sphinx, an extension: plain text becomes reStructuredText, equations and names become links."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from functools import cached_property
from typing import Any

PACKAGE = "sdcda_tutorial"
EQUATIONS = re.compile(r"\bEq\. (?:\d+)(?:(?:-|–|, | and | to )(?:1[01]|[1-9])\b)*")
IN_BACKTICKS = re.compile(r"(?<!`)(`[^`]+`)(?!`)")
SECTION = re.compile(r"(?:Args|Returns|Raises|Yields|Shapes|Attributes):")


def as_rst(lines: list[str], module: str, names: Collection[str]) -> list[str]:
    """The lines of a docstring (or comment) of a module, with `names` of the package as links."""
    text = "\n".join(lines)
    # Parts in backticks stay as they are, so they are taken out first; they may go on in the next line.
    parts = IN_BACKTICKS.split(text)
    for index, part in enumerate(parts):
        parts[index] = _in_code_font(part[1:-1], module, names) if index % 2 else _plain(part)
    return _with_code_blocks("".join(parts).split("\n"))


def _plain(text: str) -> str:
    """Signs that reStructuredText would read as its own are escaped, and equations are linked."""
    text = re.sub(r"\\|\||(?<=\w)_(?=\W|$)", lambda sign: "\\" + sign[0], text)
    return EQUATIONS.sub(_link_equations, text)


def _link_equations(found: re.Match[str]) -> str:
    first, *others = re.split(r"(-|–|, | and | to )", found[0].removeprefix("Eq. "))
    links = [f":ref:`Eq. {first} <eq-{first}>`"]
    links += [f":ref:`{part} <eq-{part}>`" if part.isdigit() else part for part in others]
    return "".join(links)


def _in_code_font(written: str, module: str, names: Collection[str]) -> str:
    found = full_name(written.removesuffix("()"), module, names)
    return f":py:obj:`{written} <{found}>`" if found else f"``{written}``"


def full_name(written: str, module: str, names: Collection[str]) -> str | None:
    """What a name in a docstring of a module stands for, such as `Sample` or `training.adapt`; None if unknown."""
    for candidate in (f"{module}.{written}", f"{PACKAGE}.{written}", written):
        if candidate in names:
            return candidate
    folder, _, last = written.rpartition(".")
    ends = [name for name in names if name.startswith(f"{module}.") and name.endswith(f".{written}")]
    if re.search(r"[A-Z_.]", written):  # a word like `counter` may be an argument here and a function elsewhere
        ends = ends or [name for name in names if name.endswith(f".{written}")]
        within = f"{PACKAGE}.{folder}." if folder else f"{PACKAGE}."
        ends = ends or [name for name in names if name.startswith(within) and name.endswith(f".{last}")]
    return ends[0] if len(ends) == 1 else None


def _with_code_blocks(lines: list[str]) -> list[str]:
    """Indented text after a blank line, outside the sections, is code."""
    out: list[str] = []
    before = ""  # the line with text before this one
    for line in lines:
        indented = line.startswith("    ")
        if indented and out and not out[-1].strip() and not before.startswith(" ") and not SECTION.match(before):
            out += ["::", ""]
        before = line if line.strip() else before
        out.append(line)
    return out


def process(app: Any, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    from api_pages import known_names

    if re.fullmatch(r"Alias for field number \d+", lines[0] if lines else ""):  # of a named tuple
        lines.clear()
    module = getattr(thing, "__module__", None) or (name if what == "module" else name.rpartition(".")[0])
    lines[:] = as_rst(lines, name if what == "module" else module, known_names())


def skip(app: Any, what: str, name: str, thing: object, skipped: bool, options: object) -> bool | None:
    """Fields of a class stand in its signature and in its docstring; methods and properties have entries."""
    kept = inspect.isroutine(thing) or inspect.isclass(thing) or isinstance(thing, property | cached_property)
    return True if what in ("class", "exception") and not kept else None


def shorten(app: Any, what: str, name: str, thing: object, options: object, signature: str | None, gives: str | None):
    """The options of a command are what `sdcda COMMAND --help` prints, too long for a signature."""
    return ("(...)", gives) if signature and "Annotated[" in signature else None


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon reads the sections
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
