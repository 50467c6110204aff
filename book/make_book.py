"""Build the book: `make book`. Lays the pages out under build/book-pages, runs Sphinx, and checks what came out.

The repository's texts and notebooks keep their places, so that links between them stay as they are. The reference and
the page of equations are written from the package.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import sys
from pathlib import Path

import api_pages
from check import faults
from links import ROOT, TEXTS, in_book
from notebook_pages import TAGGED, equation_label

from sdcda_tutorial import paper
from sdcda_tutorial.markdown import markdown_table

BOOK = ROOT / "book"
PAGES, OUT = ROOT / "build" / "book-pages", ROOT / "build" / "book"


def repository_of_the_package() -> str:
    """OWNER/NAME on GitHub as the installed package names it in its addresses, or nothing."""
    addresses = importlib.metadata.metadata("sdcda-tutorial").get_all("Project-URL") or []
    found = [re.search(r"https://github\.com/([\w.-]+/[\w.-]+)", address) for address in addresses]
    names = [match[1].removesuffix(".git") for match in found if match]
    return next((name for name in names if not name.startswith("OWNER/")), "")


def lay_out(pages: Path, repository: str, branch: str) -> None:
    """Write all pages into an empty folder."""
    shutil.copytree(ROOT / "notebooks", pages / "notebooks", ignore=shutil.ignore_patterns("text", "*.py", ".*", "__*"))
    for page in BOOK.glob("*.md"):
        shutil.copy(page, pages)
    for name in ("README.md", *TEXTS):
        if (ROOT / name).exists():
            text = in_book((ROOT / name).read_text(encoding="utf-8"), name, repository, branch)
            write(pages / name, text)
    write(pages / "equations.md", equations())
    reference = api_pages.pages()
    for name, text in reference.items():
        write(pages / "api" / f"{name}.md", text)
    write(pages / "api" / "index.md", reference_index(list(reference)))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def reference_index(names: list[str]) -> str:
    core, others = names[: len(api_pages.CORE)], names[len(api_pages.CORE) :]
    return "\n".join([
        "# The package", "",
        "Every public name, from its docstring. The files of the paper come first, each after those that it builds on;",
        "then the folders around them. Names are counted from `sdcda_tutorial` on, and `Eq. 8` leads to",
        "[the paper's equations](../equations.md).", "",
        "```{toctree}", ":caption: The files of the paper", ":titlesonly:", "", *core, "```", "",
        "```{toctree}", ":caption: Around them", ":titlesonly:", "", *others, "```", "",
    ])  # fmt: skip


def equations() -> str:
    """Every equation of the paper, where the package computes it, and where the notebooks explain it."""
    places = equations_in_notebooks()
    parts = ["# The paper's equations\n\nAs printed in the paper. *Here* says how the package reads them.\n"]
    for number, equation in paper.EQUATIONS.items():
        computed = f"{{py:obj}}`{equation.where} <sdcda_tutorial.{equation.where}>`"
        explained = ", ".join(f"[{title}](#{label})" for title, label in places.get(number, []))
        parts.append(
            f"(eq-{number})=\n## Eq. {number}\n\n$${equation.latex} \\tag{{{number}}}$$\n\n"
            f"In the package: {computed}. Explained in {explained}.\n\n*Here:* {equation.note}.\n"
        )
    rows = [[f"**{s.symbol}**", s.meaning, s.equations or "–", f"`{s.where}`"] for s in paper.SYMBOLS]
    table = markdown_table(["symbol", "meaning", "equations", "in the package"], rows)
    return "\n".join([*parts, f"## Symbols\n\n{table}\n"])


def equations_in_notebooks() -> dict[int, list[tuple[str, str]]]:
    """(title, label) of each notebook that has an equation with the paper's number."""
    found: dict[int, list[tuple[str, str]]] = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        title = texts[0].splitlines()[0].removeprefix("# ")
        for formula in (match for text in texts for match in TAGGED.finditer(text)):
            number = int(formula[1])
            found.setdefault(number, []).append((title, equation_label(path.name, number)))
    return found


def main() -> int:
    from sphinx.cmd.build import build_main

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", default="", help="OWNER/NAME on GitHub: gives links to files and buttons for Colab")
    parser.add_argument("--branch", default="main", help="the branch that links to files lead to")
    arguments = parser.parse_args()
    repository = arguments.repo or repository_of_the_package()
    if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        sys.exit(f"REPO is OWNER/NAME, not {repository!r}")
    for folder in (PAGES, OUT):  # all of it anew: a page that is not read again hides its warnings
        shutil.rmtree(folder, ignore_errors=True)
    lay_out(PAGES, repository, arguments.branch)
    os.environ |= {"BOOK_REPO": repository, "BOOK_BRANCH": arguments.branch}
    doctrees = PAGES.with_name("book-doctrees")
    options = ["--fresh-env", "--fail-on-warning", "--keep-going", "--quiet", "-c", str(BOOK), "-d", str(doctrees)]
    code = build_main([*options, "-b", "html", str(PAGES), str(OUT)])
    found = faults(OUT, api_pages.known_names())
    print("\n".join(found) or f"The book: {(OUT / 'index.html').relative_to(ROOT)}")
    return code or bool(found)


if __name__ == "__main__":
    sys.exit(main())
