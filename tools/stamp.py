"""Write a repository's address into everything that needs it, for Colab first of all; without one, take it out again.

    python tools/stamp.py --repo ada/crowds --branch main

Plain Python: it needs none of the project's packages. Notebooks keep their outputs, and what was typed into them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UNKNOWN = "https://github.com/OWNER/sdcda_tutorial"  # stands in texts as long as nobody has said whose copy it is

# The first code cell of every notebook, folded in Colab and in JupyterLab. What it does on Colab is in colab.py.
METADATA = 'cellView="form" jupyter={"source_hidden": true} tags=["colab"]'
TITLE = '# @title Set-up (on Colab: installs the tutorial; elsewhere: does nothing) { display-mode: "form" }\n'
KNOWN = """\
if "colab" in str(get_ipython()): exec(get_ipython().find_user_code(REPO + "/raw/%s/colab.py"))
"""
# Without an address the cell asks for one, and does nothing until it is told. A folder, such as one on Drive, has
# colab.py in it; at an address, "/raw/HEAD" is GitHub's way to a file of the default branch.
ASK_TITLE = TITLE.replace("installs the tutorial", "give REPO an address")
ASK = 'REPO = ""  # @param {type: "string", placeholder: "https://github.com/ada/crowds"}\n'
ASKED = """\
if REPO: exec(get_ipython().find_user_code(REPO + "/raw/HEAD" * ("//" in REPO) + "/colab.py"))
"""
SWITCH = 'KEEP_ON_DRIVE = False  # @param {type: "boolean"}\n'

BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"
A_BADGE = r"\[!\[Open in Colab\]\([^)\s]*\)\]\([^)\s]*\)"
# Below the README's title: whether the tests pass, and the site that the workflow `book` publishes.
BELOW_TITLE = "[![tests]({tests}/badge.svg)]({tests}) · [Read it online]({site})\n\n"
A_LINE_BELOW_TITLE = r"^\[!\[tests\]\([^)\s]*\)\]\([^)\s]*\) · \[Read it online\]\([^)\s]*\)\n\n"


class Stamp:
    """What is written into each file.

    Args:
        repository: "OWNER/NAME" on GitHub; empty takes everything out.
        branch: that Colab opens and clones.
        before: the address that stands in the texts now.
    """

    def __init__(self, repository: str, branch: str, before: str) -> None:
        self.repository, self.branch, self.before = repository, branch, before
        self.address = f"https://github.com/{repository}" if repository else UNKNOWN
        owner, _, name = repository.partition("/")
        self.site = f"https://{owner.lower()}.github.io/{name}/"

    def files(self) -> dict[Path, Callable[[str, Path], str]]:
        """Every file that is stamped, and the function that makes its new text of the old one and its path."""
        found: dict[Path, Callable[[str, Path], str]] = {
            ROOT / "colab.py": self.loader,
            ROOT / "README.md": self.page,
            ROOT / "CITATION.cff": self.citation,
            ROOT / "pyproject.toml": self.project,
        }
        for text in texts():
            found |= {text: self.text, notebook_of(text): self.notebook}
        return {path: change for path, change in found.items() if path.exists()}

    def write(self) -> None:
        for path, change in self.files().items():
            old = path.read_bytes().decode("utf-8")
            new = change(old, path)
            if new != old:
                partial = path.with_name(f".tmp-{path.name}")
                partial.write_bytes(new.encode("utf-8"))
                os.replace(partial, path)

    def badge(self, notebook: Path) -> str:
        place = f"{self.repository}/blob/{self.branch}/{notebook.relative_to(ROOT).as_posix()}"
        return BADGE.format(address=f"https://colab.research.google.com/github/{place}") if self.repository else ""

    def cell(self, notebook: Path) -> str:
        """Source of a notebook's set-up cell; solutions, which would replace the reader's answers, have no switch."""
        switch = "" if notebook.parent.name == "solutions" else SWITCH
        if self.repository:
            return f'{TITLE}REPO = "{self.address}"\n{switch}{KNOWN % self.branch}'
        return f"{ASK_TITLE}{ASK}{switch}{ASKED}"

    def loader(self, old: str, _: Path) -> str:
        branch = self.branch if self.repository else ""
        return re.sub(r'^BRANCH = "[^"]*"', f'BRANCH = "{branch}"', old, count=1, flags=re.M)

    def page(self, old: str, path: Path) -> str:
        """The README: its addresses, the line below its title, and a badge in every row that links to a notebook."""
        plain = re.sub(rf"{A_LINE_BELOW_TITLE}| {A_BADGE}", "", old, flags=re.M)
        plain = re.sub(rf"{re.escape(self.before)}(?![\w-])", self.address, plain)
        if not self.repository:
            return plain
        head = BELOW_TITLE.format(tests=f"{self.address}/actions/workflows/tests.yml", site=self.site)
        plain = re.sub(r"^# .*\n\n", lambda title: title[0] + head, plain, count=1)
        row = r"^(\|.*?\]\((notebooks/[\w/]+\.ipynb)\)[^|\n]*?)(?= *\|)"
        return re.sub(row, lambda found: f"{found[1]} {self.badge(path.parent / found[2])}", plain, flags=re.M)

    def citation(self, old: str, _: Path) -> str:
        plain = re.sub(r"^repository-code: .*\n", "", old, flags=re.M)
        line = f'repository-code: "{self.address}"\n' if self.repository else ""
        return re.sub(r"^type: software\n", lambda found: found[0] + line, plain, count=1, flags=re.M)

    def project(self, old: str, _: Path) -> str:
        """pyproject.toml: the addresses that package indexes and `sdcda doctor` show."""
        addresses = {
            "Documentation": self.site,
            "Repository": self.address,
            "Issues": f"{self.address}/issues",
            "Changelog": f"{self.address}/blob/{self.branch}/CHANGELOG.md",
        }
        plain = re.sub(rf'^(?:{"|".join(addresses)}) = "https://.*\n', "", old, flags=re.M)
        lines = "".join(f'{name} = "{address}"\n' for name, address in addresses.items() if self.repository)
        return plain.replace("[project.urls]\n", f"[project.urls]\n{lines}")

    def text(self, old: str, path: Path) -> str:
        """A text pair: the badge below its title, and the set-up cell."""
        badge, new = self.badge(notebook_of(path)), re.sub(rf"^# {A_BADGE}\n#\n", "", old, flags=re.M)
        if badge:
            new = re.sub(r"^# # .*\n#\n", lambda title: f"{title[0]}# {badge}\n#\n", new, count=1, flags=re.M)
        set_up = f"# %% {METADATA}\n{self.cell(notebook_of(path))}\n"
        its_place = r'^# %% [^\n]*tags=\["colab"\][^\n]*\n.*?(?=^# %%)'
        return re.sub(its_place, lambda _: set_up, new, count=1, flags=re.M | re.S)

    def notebook(self, old: str, path: Path) -> str:
        """A notebook: as its text, cell by cell, and as nbformat writes it."""
        book = json.loads(old)
        title = next(cell for cell in book["cells"] if cell["cell_type"] == "markdown")
        badge, source = self.badge(path), re.sub(rf"^{A_BADGE}\n\n", "", "".join(title["source"]), flags=re.M)
        if badge:
            source = re.sub(r"^# .*\n\n", lambda found: f"{found[0]}{badge}\n\n", source, count=1, flags=re.M)
        replace_source(title, source)
        for cell in book["cells"]:
            if "colab" in cell["metadata"].get("tags", []):
                replace_source(cell, self.cell(path).rstrip("\n"))
        return json.dumps(book, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": ")) + "\n"


def replace_source(cell: dict[str, Any], source: str) -> None:
    """Also in the cell's id, where that holds a digest of the source."""
    old = "".join(cell["source"])
    cell["source"] = source.splitlines(keepends=True)
    cell["id"] = cell["id"].replace(digest(old), digest(source))


def digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:8]


def texts() -> list[Path]:
    """The text pairs of all notebooks."""
    folder = ROOT / "notebooks" / "text"
    return sorted(folder.glob("*.py")) + sorted((folder / "solutions").glob("*.py"))


def notebook_of(text: Path) -> Path:
    return (ROOT / "notebooks" / text.relative_to(ROOT / "notebooks" / "text")).with_suffix(".ipynb")


def address_now() -> str:
    """The address that the project is stamped with; `UNKNOWN` if it is not."""
    found = [re.search(r'^REPO = "(https://.+)"$', text.read_text(encoding="utf-8"), flags=re.M) for text in texts()]
    return next((match[1] for match in found if match), UNKNOWN)


def set_up_cell(repository: str = "", branch: str = "HEAD", solutions: bool = False) -> str:
    """Source of the set-up cell; without a repository it asks for one. HEAD is a repository's default branch."""
    return Stamp(repository, branch, UNKNOWN).cell(Path("solutions" if solutions else "notebooks", "a.ipynb"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", default="", help="OWNER/NAME on GitHub; empty takes it out")
    parser.add_argument("--branch", default="main", help="branch that Colab opens and clones")
    arguments = parser.parse_args()
    if arguments.repo and not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments.repo):
        sys.exit(f"REPO is OWNER/NAME, not {arguments.repo!r}")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", arguments.branch):
        sys.exit(f"BRANCH is the name of a branch, not {arguments.branch!r}")
    Stamp(arguments.repo, arguments.branch, address_now()).write()


if __name__ == "__main__":
    main()
