"""cells.jsonl of a benchmark: a line for each method on each seed, with all that is needed to train it once more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import Results
from sdcda_tutorial.files import write_text
from sdcda_tutorial.training.checkpoints import read_card, weights_digest


def write_cells(
    path: Path, seed: int, checkpoints: Mapping[str, Path], results: Mapping[str, Mapping[str, Results]]
) -> None:
    """Put the cells of one seed into the file, atomically, in place of earlier lines on the same cells.

    Args:
        checkpoints: method -> its model, in a run's folder beside the runs that it rests on.
        results: method -> domain -> what was measured.
    Raises:
        InputError: the file holds something else.
    """
    cells = {(cell["seed"], cell["method"]): cell for cell in read_cells(path)} if path.exists() else {}
    for method, checkpoint in checkpoints.items():
        figures = {domain: found.totals() for domain, found in results[method].items()}
        cells[seed, method] = {
            "seed": seed,
            "method": method,
            "figures": figures,
            "data": {domain: found.about["data"] for domain, found in results[method].items()},
            "made_from": made_from(checkpoint),
        }
    write_text(path, "".join(json.dumps(cell, ensure_ascii=False) + "\n" for _, cell in sorted(cells.items())))


def read_cells(path: str | Path) -> list[dict[str, Any]]:
    """The cells of a file, in its order.

    Raises:
        InputError: a line is none.
    """
    cells = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            cell = json.loads(line)
            cell["seed"], cell["method"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is damaged in line {number}; remove it, it is written anew") from None
        cells.append(cell)
    return cells


def made_from(checkpoint: Path) -> dict[str, Any]:
    """Run -> card, of the model itself and of every run beside it that its card names by a digest, and so on.

    The card holds the configuration, the data, versions, hardware, date and seconds of that training.
    """
    beside = {weights_digest(path): path for path in sorted(checkpoint.parent.parent.glob("*/model.safetensors"))}
    found: dict[str, Any] = {}
    open_paths = [checkpoint]
    while open_paths:
        path = open_paths.pop()
        if path.parent.name in found:
            continue
        # An evaluation by hand adds its figures to the card; they are of another time and not what it was made from.
        card = {key: value for key, value in read_card(path).items() if key != "tests"}
        found[path.parent.name] = {**card, "weights_sha256": weights_digest(path)}
        text = json.dumps(card)
        open_paths += [other for digest, other in beside.items() if digest in text]
    return found
