"""The reference as pages for Sphinx's autodoc: which modules there are, and which public names each has.

Read from the sources with `ast`, so nothing is imported. In the order of the paper first, then folder by folder.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

from docstrings import as_rst
from links import ROOT

PACKAGE = ROOT / "sdcda_tutorial"
CORE = ("paper", "density", "masks", "networks", "losses", "adaptation", "metrics", "prediction")
FOLDERS = (
    "datasets", "datasets.formats", "mini_world", "training", "rivals", "evaluation", "experiments", "cli",
    "teaching", "teaching.exercises", "teaching.demos", "guards",
)  # fmt: skip
SHARED = "shared"  # the page of what is left at the top level


class Name(NamedTuple):
    """A public name of a module: a "function", a "class" with its bases, or "data" with its comment, type and value."""

    kind: str
    name: str
    comment: str = ""
    annotation: str = ""
    value: str = ""
    bases: bool = False


@cache
def modules() -> dict[str, Path]:
    """Every module that can be imported, by its full name: "sdcda_tutorial.datasets.batches"."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if path.name != "__main__.py":
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def public_names(source: str) -> list[Name]:
    """Functions, classes and constants that a module defines, in its order; what begins with _ is its own."""
    names, lines = [], source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            names.append(Name("function", node.name))
        elif isinstance(node, ast.ClassDef):
            names.append(Name("class", node.name, bases=bool(node.bases)))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            comment = comment_on(lines, node.lineno, node.end_lineno or node.lineno)
            if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar":
                continue
            named = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            value = ast.unparse(node.value) if node.value and len(named) == 1 else ""
            names += [Name("data", name, comment, annotation, value if len(value) <= 70 else "") for name in named]
    return [name for name in names if not name.name.startswith("_")]


def comment_on(lines: list[str], first: int, last: int) -> str:
    """What the comments say about an assignment: behind its first line, behind its last one, or above it."""
    for line in (lines[first - 1], lines[last - 1]):
        _, sign, comment = line.partition("  # ")
        if sign and not comment.startswith(("fmt:", "type:", "noqa")):
            return comment
    above = first - 1
    while above > 0 and lines[above - 1].startswith("# "):
        above -= 1
    return " ".join(line[2:] for line in lines[above : first - 1])


@cache
def known_names() -> frozenset[str]:
    """Full names of all modules, their public names, and the public methods of classes."""
    found = set()
    for module, path in modules().items():
        source = path.read_text(encoding="utf-8")
        found |= {module, *(f"{module}.{name.name}" for name in public_names(source))}
        for owner in ast.parse(source).body:
            if isinstance(owner, ast.ClassDef) and not owner.name.startswith("_"):
                methods = [node.name for node in owner.body if isinstance(node, ast.FunctionDef)]
                found |= {f"{module}.{owner.name}.{method}" for method in methods if not method.startswith("_")}
    return frozenset(found)


def section(module: str, level: int) -> str:
    """A module as a section: its docstring, and an entry for each of its public names."""
    title = module.partition(".")[2] or module
    entries = [f".. automodule:: {module}", f".. py:currentmodule:: {module}"]
    for name in public_names(modules()[module].read_text(encoding="utf-8")):
        entries.append(_of_data(name, module) if name.kind == "data" else _of_code(name, module))
    listed = "\n\n".join(entries)
    return f"{'#' * level} {title}\n\n```{{eval-rst}}\n{listed}\n```\n"


def _of_code(name: Name, module: str) -> str:
    lines = [f".. auto{name.kind}:: {module}.{name.name}"]
    if name.kind == "class":
        lines += ["   :members:", "   :undoc-members:", *(["   :show-inheritance:"] if name.bases else [])]
    return "\n".join(lines)


def _of_data(name: Name, module: str) -> str:
    """Sphinx finds no comments, so a constant is written out here."""
    lines = [f".. py:data:: {name.name}"]
    lines += [f"   :{option}: {text}" for option, text in (("type", name.annotation), ("value", name.value)) if text]
    return "\n".join([*lines, "", *(f"   {line}" for line in as_rst([name.comment], module, known_names()))])


def pages() -> dict[str, str]:
    """The text of each page by its name: one for each module of the core, one for each folder, one for the rest."""
    package, found, texts = PACKAGE.name, dict.fromkeys(modules()), {}
    for name in CORE:
        texts[name] = section(f"{package}.{name}", 1)
        del found[f"{package}.{name}"]
    folders = [folder for folder in found if (PACKAGE.parent / folder.replace(".", "/")).is_dir()]
    for folder in sorted(folders, key=_place):
        inside = [module for module in found if module.rpartition(".")[0] == folder and module not in folders]
        if folder == package:
            texts[SHARED] = "# Shared by all\n\n" + "\n".join(section(module, 2) for module in [package, *inside])
        else:
            sections = [section(folder, 1), *(section(module, 2) for module in inside)]
            texts[folder.partition(".")[2]] = "\n".join(sections)
    return texts


def _place(folder: str) -> tuple[int, str]:
    """Folders in the order of `FOLDERS`; a new one comes at the end, before what is shared."""
    name = folder.partition(".")[2]
    return (FOLDERS.index(name) if name in FOLDERS else len(FOLDERS) + (not name), name)
