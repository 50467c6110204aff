"""The book (`make book`): all of it is in it, links lead somewhere, docstrings read as written."""

import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import api_pages
import make_book
import pytest
from check import faults
from docstrings import as_rst
from links import TEXTS, in_book, target
from notebook_pages import page_of, prose

from sdcda_tutorial import paper

ROOT = Path(__file__).parents[1]
NOTEBOOKS = [path for path in sorted((ROOT / "notebooks").rglob("*.ipynb")) if "checkpoints" not in str(path)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book") / "pages"
    make_book.lay_out(folder, "ada/crowds", "trunk")
    return folder


def listed(pages: Path) -> set[Path]:
    """Pages that a toctree names, in the text of any page."""
    found = set()
    for page in pages.rglob("*.md"):
        for tree in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text("utf-8"), flags=re.M | re.S):
            entries = [
                re.sub(r".*<(.*)>", r"\1", line) for line in tree.splitlines() if line and not line.startswith(":")
            ]
            found |= {path for entry in entries for path in page.parent.glob(f"{entry}.*")}
            found |= {path for entry in entries if "*" in entry for path in page.parent.glob(entry)}
    return {path.relative_to(pages) for path in found}


def test_the_table_of_contents_has_every_page(pages):
    every = {path.relative_to(pages) for form in ("*.md", "*.ipynb") for path in pages.rglob(form)}
    assert {path.relative_to(ROOT) for path in NOTEBOOKS} < every
    assert {Path(name) for name in TEXTS if (ROOT / name).exists()} < every
    assert every - listed(pages) == {Path("index.md")}


def test_notebooks_are_copied_as_they_are(pages):
    """So the download button gives the notebook itself."""
    for path in NOTEBOOKS:
        assert (pages / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_the_reference_has_every_public_name(pages):
    """Found by importing the modules, where the pages were written from the sources."""
    entries, module = set(), ""
    for path in (pages / "api").glob("*.md"):
        for kind, name in re.findall(r"^\.\. (auto\w+|py:\w+):: (\S+)$", path.read_text("utf-8"), flags=re.M):
            module = name if kind == "automodule" else module
            entries.add(f"{module}.{name}" if kind == "py:data" else name)
    for module in api_pages.modules():
        assert module in entries
        for name, thing in vars(importlib.import_module(module)).items():
            defined_here = getattr(thing, "__module__", None) == module
            if not name.startswith("_") and (inspect.isclass(thing) or inspect.isroutine(thing)) and defined_here:
                assert f"{module}.{name}" in entries


def test_the_reference_begins_with_the_files_of_the_paper_in_their_order(pages):
    listing = (pages / "api/index.md").read_text("utf-8")
    assert "\n".join(api_pages.CORE) in listing
    assert listing.index("prediction") < listing.index("datasets") < listing.index(api_pages.SHARED)


def test_constants_come_with_their_comment_type_and_value():
    source = "A = 1  # one\n# Two\n# lines.\nB: int = 2\nC = (  # three\n    3,\n)\n_D = 4\nE, F = 5, 6\n"
    names = {name.name: name[2:5] for name in api_pages.public_names(source)}
    assert names == {
        "A": ("one", "", "1"), "B": ("Two lines.", "int", "2"), "C": ("three", "", "(3,)"), "E": ("", "", ""),
        "F": ("", "", ""),
    }  # fmt: skip


def test_every_equation_has_its_place(pages):
    text = (pages / "equations.md").read_text("utf-8")
    for number in paper.EQUATIONS:
        assert f"(eq-{number})=\n## Eq. {number}\n" in text
    assert set(make_book.equations_in_notebooks()) == set(paper.EQUATIONS)
    assert "[06 · Masked target loss](#06_masked_target_loss-eq-8)" in text


@pytest.mark.parametrize("name", ["README.md", *TEXTS, *(path.relative_to(ROOT).as_posix() for path in NOTEBOOKS)])
def test_every_link_leads_somewhere(name, pages):
    """`target` raises where a link leads to no file; links to pages stay, and none to another file is left."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} does not exist (yet)")
    text = path.read_text("utf-8")
    if name.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for link in re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", in_book(text, name)):
        if not re.match(r"[a-z]+:|#", link):
            assert ((pages / name).parent / link.partition("#")[0]).is_file(), link


@pytest.mark.parametrize(
    ("link", "page", "found"),
    [
        ("06_masked_target_loss.ipynb", "notebooks/05_semantic_extractor.ipynb", "06_masked_target_loss.ipynb"),
        ("../data/README.md#real-data-sets", "docs/command_line.md", "../data/README.md#real-data-sets"),
        ("../README.md", "docs/results.md", "../index.md"),
        ("https://arxiv.org/abs/2002.08623", "README.md", "https://arxiv.org/abs/2002.08623"),
        ("#start", "README.md", "#start"),
        ("sdcda_tutorial/losses.py", "README.md", "#sdcda_tutorial.losses"),
        ("sdcda_tutorial/datasets", "README.md", "#sdcda_tutorial.datasets"),
        ("../tools/notebooks.py", "docs/results.md", "https://github.com/ada/crowds/blob/trunk/tools/notebooks.py"),
        ("../../tree/colab#the-notebooks", "README.md", "https://github.com/ada/crowds/tree/colab#the-notebooks"),
        ("data/results", "README.md", "https://github.com/ada/crowds/tree/trunk/data/results"),
    ],
)
def test_links_lead_to_pages_references_or_the_repository(link, page, found):
    assert target(link, page, "ada/crowds", "trunk") == found


def test_without_a_repository_a_link_to_a_file_becomes_its_words():
    text = "[![tests](a.svg)](b)\n\nSee [`run`](tools/notebooks.py), [the [1] paper](https://arxiv.org), ![p](x.jpg)."
    assert in_book(text, "README.md") == "See `run`, [the [1] paper](https://arxiv.org), ![p](x.jpg)."


def test_a_dead_link_is_named():
    with pytest.raises(FileNotFoundError, match=r"docs/results.md links to gone.md: there is no docs/gone.md"):
        target("gone.md", "docs/results.md")


def test_a_notebooks_page_leaves_out_what_the_book_has_itself():
    badge, neighbours, formula = "[![Colab](a.svg)](b)", "[← 06 M](06.ipynb) · [08 A →](08.ipynb)", "$$p \\tag{3}$$"
    shown = prose("\n\n".join(["# 07 · D", badge, neighbours, formula]), "notebooks/07_d.ipynb")
    assert shown.split() == ["#", "07", "·", "D", "(07_d-eq-3)=", "$$p", "\\tag{3}$$"]


def test_a_notebooks_page_folds_the_set_up_and_says_where_a_demo_moves():
    set_up = {"cell_type": "code", "metadata": {"tags": ["colab"]}, "source": "", "outputs": []}
    interactive = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["Interactive: run it."]}}
    demo = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [interactive]}
    first, second = page_of({"cells": [set_up, demo]}, "notebooks/a.ipynb")["cells"]
    assert "hide-input" in first["metadata"]["tags"]
    assert "Jupyter and Colab" in second["outputs"][0]["data"]["text/markdown"]


NAMES = {"sdcda_tutorial.losses.total_loss", "sdcda_tutorial.training.config.Config", "sdcda_tutorial.masks.box"}


@pytest.mark.parametrize(
    ("written", "rst"),
    [
        ("Eq. 8-9 and 5.", ":ref:`Eq. 8 <eq-8>`-:ref:`9 <eq-9>` and :ref:`5 <eq-5>`."),
        ("see Eq. 10", "see :ref:`Eq. 10 <eq-10>`"),
        ("`total_loss` of `x`", ":py:obj:`total_loss <sdcda_tutorial.losses.total_loss>` of ``x``"),
        ("`training.Config`", ":py:obj:`training.Config <sdcda_tutorial.training.config.Config>`"),
        ("`box`", "``box``"),  # an argument may have the name of a function elsewhere
        ("|a| and b_ and `c_`", r"\|a\| and b\_ and ``c_``"),
    ],
)
def test_docstrings_become_restructured_text(written, rst):
    assert as_rst([written], "sdcda_tutorial.losses", NAMES) == [rst]


def test_indented_text_in_a_docstring_is_code_and_sections_are_not():
    lines = ["Say:", "", "    f(x)", "", "Args:", "    x: one", "", "    y: two"]
    assert as_rst(lines, "m", set()) == ["Say:", "", "::", "", "    f(x)", "", *lines[4:]]


def test_the_check_names_what_is_wrong(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#x">1</a><a href="c.html">2</a><img src="b.html"><p id="m.f">')
    (tmp_path / "b.html").write_text('<a href="a.html#m.f">1</a><a href="https://arxiv.org">2</a>')
    assert faults(tmp_path, ["m.f", "m.g"]) == [
        "a.html: no alternative text for b.html",
        "a.html: a link leads to b.html#x, where no such place is",
        "a.html: a link leads to c.html, which does not exist",
        "m.g: no entry in the reference",
    ]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("myst_nb") is None, reason="the extra `book` is not installed")
def test_the_book_builds_without_a_warning():
    command = [sys.executable, "book/make_book.py", "--repo", "ada/crowds"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert run.returncode == 0, run.stdout + run.stderr
    page = (ROOT / "build/book/notebooks/06_masked_target_loss.html").read_text("utf-8")
    assert "colab.research.google.com/github/ada/crowds/blob/colab/notebooks/06_masked_target_loss.ipynb" in page
