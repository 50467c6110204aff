"""Where the links of the repository's texts lead in the book."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Texts that are pages of the book, at the place that they have in the repository. CHANGELOG.md may be missing.
TEXTS = (
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
    *("data/README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
)
BADGES = re.compile(r"^(?:\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\s*)+$\n?", flags=re.M)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s]+)\)")


def is_page(place: str) -> bool:
    """Whether a file of the repository, such as "docs/results.md", is a page of the book."""
    return place in TEXTS or re.fullmatch(r"notebooks/(solutions/)?\w+\.ipynb", place) is not None


def target(link: str, page: str, repository: str = "", branch: str = "main") -> str | None:
    """Where a link on a page leads in the book, or None if it leads nowhere.

    Pages link to pages, sources to the reference of their module, and all other files to the repository, if it is
    known.

    Args:
        link: as in the text, relative to `page`.
        page: the text's place in the repository, such as "docs/results.md".
        repository: OWNER/NAME on GitHub.
    Raises:
        FileNotFoundError: the repository has no such file.
    """
    path, _, fragment = link.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return link
    place = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    if place.startswith("../../"):  # out of the repository: on GitHub, an address such as that of another branch
        return f"https://github.com/{repository}/{link.lstrip('./')}" if repository else None
    if not (ROOT / place).exists():
        raise FileNotFoundError(f"{page} links to {link}: there is no {place}")
    if is_page(place):
        return link
    if place == "README.md":
        return posixpath.relpath("index.md", posixpath.dirname(page) or ".")
    if place.startswith("sdcda_tutorial/") and (place.endswith(".py") or (ROOT / place / "__init__.py").is_file()):
        return "#" + place.removesuffix(".py").replace("/", ".")
    if not repository:
        return None
    kind = "tree" if (ROOT / place).is_dir() else "blob"
    return f"https://github.com/{repository}/{kind}/{branch}/{place}" + (f"#{fragment}" if fragment else "")


def in_book(text: str, page: str, repository: str = "", branch: str = "main") -> str:
    """The text of a page without its badges (the book has buttons), with its links as `target` gives them.

    Of a link that leads nowhere the words stay.
    """

    def rewritten(link: re.Match[str]) -> str:
        words, found = link[1], target(link[2], page, repository, branch)
        return words if found is None else f"[{words}]({found})"

    return _LINK.sub(rewritten, BADGES.sub("", text))
