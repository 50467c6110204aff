"""The mutations of the package against which the notebooks are tried (tests/campaign) are those of today's package."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest
from campaign.mutations_of_notebooks import MUTATIONS, ROOT, SHOWS_SOURCE, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_changes_what_the_package_does(mutation: Mutation, tmp_path: Path) -> None:
    path = tmp_path / "sdcda_tutorial" / mutation.file
    path.parent.mkdir()
    shutil.copy(ROOT / "sdcda_tutorial" / mutation.file, path)
    before = ast.dump(ast.parse(path.read_text(encoding="utf-8")))
    mutation.apply(tmp_path)
    assert ast.dump(ast.parse(path.read_text(encoding="utf-8"))) != before, "a comment or nothing was changed"
    for number in mutation.notebooks:
        assert list((ROOT / "notebooks").glob(f"{number}_*.ipynb"))


def test_a_mutation_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sdcda_tutorial").mkdir()
    (tmp_path / "sdcda_tutorial" / "a.py").write_text("x = 1\nx = 1\n")
    for old in ("x = 1", "x = 2"):
        with pytest.raises(ValueError, match="not once"):
            Mutation("a", "a.py", old, "y = 1", ("01",)).apply(tmp_path)


@pytest.mark.parametrize(
    ("source", "shows"),
    [("notebook.code(losses.density_loss)", True), ("x = 1\ncode(f)", True), ("encode(x)\nprint(1)", False)],
)
def test_cells_that_show_source_are_known(source: str, shows: bool) -> None:
    assert bool(SHOWS_SOURCE.search(source)) is shows
