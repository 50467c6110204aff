"""What must hold in the pages that Sphinx wrote, and what it does not check itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

NO_TEXT = "No description has been provided"  # what JupyterLab and nbconvert write where a picture has none


class Page(HTMLParser):
    """The links of a page, the places in it that a link can lead to, and its pictures without a description."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.undescribed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.places |= {value for key in ("id", "name") if (value := given.get(key))}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        if tag == "img":
            self.links.append(given.get("src") or "")
            if not given.get("alt") or NO_TEXT in (given["alt"] or ""):
                self.undescribed.append((given.get("src") or "")[:60])


def faults(folder: Path, names: Collection[str]) -> list[str]:
    """One line for each link that leads nowhere, picture without a description, and name without an entry.

    Args:
        folder: the HTML pages.
        names: full names that the reference must have.
    """
    pages = {path.relative_to(folder).as_posix(): Page(path.read_text("utf-8")) for path in folder.rglob("*.html")}
    found = []
    for name, page in sorted(pages.items()):
        found += [f"{name}: no alternative text for {picture}" for picture in page.undescribed]
        for link in sorted(set(page.links)):
            path, _, fragment = unquote(link).partition("#")
            if re.match(r"(?:[a-z]+:|//)", link):
                continue
            goal = posixpath.normpath(posixpath.join(posixpath.dirname(name), path.partition("?")[0])) if path else name
            if not (folder / goal).is_file():
                found.append(f"{name}: a link leads to {link}, which does not exist")
            elif fragment and goal in pages and fragment not in pages[goal].places:
                found.append(f"{name}: a link leads to {link}, where no such place is")
    entries = {place for page in pages.values() for place in page.places}
    listed = {place.removeprefix("module-") for place in entries}
    return found + [f"{name}: no entry in the reference" for name in sorted(set(names) - listed)]
