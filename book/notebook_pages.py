"""Notebooks as pages, a Sphinx extension: read from the stored files, nothing is run and no file is changed."""

from __future__ import annotations

import json
import re
from typing import Any

from links import in_book

# The book has links of its own to the page before and the page after.
NEIGHBOURS = re.compile(r"^(?:\[← \d\d .*|\[← [A-Z] .*|\[.* →\]\([^)]*\))$\n?", flags=re.M)
TAGGED = re.compile(r"^\$\$(?:(?!\$\$).)*\\tag\{(\d+)\}", flags=re.M | re.S)
INTERACTIVE = "*Interactive in Jupyter and Colab. The picture above shows one setting of the controls.*"


def equation_label(page: str, number: int | str) -> str:
    """Name of the place where an equation of the paper stands in a notebook."""
    stem = page.rpartition("/")[2].removesuffix(".ipynb").lower()
    return f"{stem}-eq-{number}"


def prose(text: str, page: str, repository: str = "", branch: str = "main") -> str:
    """A Markdown cell for the book; a formula with a number of the paper can be linked to."""
    text = in_book(NEIGHBOURS.sub("", text), page, repository, branch)
    return TAGGED.sub(lambda formula: f"({equation_label(page, formula[1])})=\n{formula[0]}", text)


def page_of(notebook: dict[str, Any], page: str, repository: str = "", branch: str = "main") -> dict[str, Any]:
    """A notebook for the book: the set-up cell is folded, and a demo without its widget says so."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = prose("".join(cell["source"]), page, repository, branch)
        elif "colab" in cell["metadata"].get("tags", []):
            cell["metadata"]["tags"].append("hide-input")
        for output in cell.get("outputs", []):
            plain = "".join(output.get("data", {}).get("text/plain", ""))
            if set(output.get("data", {})) == {"text/plain"} and plain.startswith("Interactive: "):
                output["data"]["text/markdown"] = INTERACTIVE
    return notebook


def read(app: Any, docname: str, source: list[str]) -> None:
    path = app.env.doc2path(docname, base=False)
    if str(path).endswith(".ipynb"):
        where = app.config.book_repository, app.config.book_branch
        source[0] = json.dumps(page_of(json.loads(source[0]), f"{docname}.ipynb", *where))


def describe_pictures(app: Any, page: Any) -> None:
    """Give pictures their alternative text, which myst-nb takes from nowhere: it is the output's plain text."""
    from docutils import nodes

    for output in page.findall(lambda node: getattr(node, "attributes", {}).get("nb_element") == "mime_bundle"):
        forms = {form.get("mime_type"): form for form in output.children}
        for picture in output.findall(nodes.image):
            if "text/plain" in forms:
                picture["alt"] = forms["text/plain"].astext()


def setup(app: Any) -> dict[str, bool]:
    app.add_config_value("book_repository", "", "env")
    app.add_config_value("book_branch", "main", "env")
    app.connect("source-read", read)
    app.connect("doctree-read", describe_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
