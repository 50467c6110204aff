"""cells.jsonl of a benchmark: a line for each method on each seed, with all that is needed to train it again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.files import parse_json, regular_file, write_text
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.training.checkpoints import read_card, weights_digest


def write_cells(
    path: Path,
    seed: int,
    checkpoints: Mapping[str, Path],
    results: Mapping[str, Mapping[str, Results]],
    provenance: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Replace or add the cells of one seed in the file, atomically, and return them; those of other seeds and methods
    stay.

    Args:
        checkpoints: method -> its model, in a run's folder beside the runs that it rests on.
        results: method -> domain -> what was measured.
        provenance: of what is new; a cell that is known keeps its own.
    Raises:
        InputError: the file holds something else.
    """
    new = {}
    folder = next(iter(checkpoints.values())).parent.parent
    runs: dict[Path, str] = {}
    for model in sorted(folder.glob("*/model.safetensors")):
        with suppress(InputError):  # a stray, on which nothing rests
            runs[model] = weights_digest(model)
    for method, checkpoint in checkpoints.items():
        new[seed, method] = {
            "seed": seed,
            "method": method,
            "figures": {domain: found.totals() for domain, found in results[method].items()},
            "data": {domain: found.about["data"] for domain, found in results[method].items()},
            "made_from": _made_from(checkpoint, runs),
        }
    with one_writer(path.parent, wait=math.inf):
        cells = {(cell["seed"], cell["method"]): cell for cell in read_cells(path)}
        for key, cell in new.items():
            known = cells.get(key, {})
            same = all(known.get(name) == value for name, value in json.loads(json.dumps(cell)).items())
            cells[key] = known if same else {**cell, "provenance": provenance}
        write_text(path, "".join(json.dumps(cell, ensure_ascii=False) + "\n" for _, cell in sorted(cells.items())))
    return [cells[key] for key in new]


def read_cells(path: str | Path) -> list[dict[str, Any]]:
    """The cells of a file, in its order; none if there is no file yet.

    Raises:
        InputError: a line is damaged, or two of them are of the same seed and method.
    """
    try:
        lines = Path(regular_file(path)).read_bytes().split(b"\n") if Path(path).exists() else []
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; restore it or move it away") from None
    cells: dict[tuple[int, str], dict[str, Any]] = {}
    for number, line in ((number, line) for number, line in enumerate(lines, start=1) if line):
        try:
            cell = parse_json(line)
            sound = isinstance(cell["seed"], int) and isinstance(cell["method"], str)
            sound = sound and all(isinstance(totals, dict) for totals in cell.get("figures", {}).values())
            sound = sound and isinstance(cell.get("provenance", {}), dict)
        except (ValueError, KeyError, TypeError, AttributeError):
            sound = False
        if not sound:
            raise InputError(
                f"{path} is damaged in line {number}; move it away: it is written anew with the cells asked for"
            ) from None
        if cells.setdefault((cell["seed"], cell["method"]), cell) is not cell:
            raise InputError(f"{path} has {cell['method']} on seed {cell['seed']} again in line {number}; keep one")
    return list(cells.values())


def _made_from(checkpoint: Path, runs: Mapping[Path, str]) -> dict[str, Any]:
    """Run -> card, of the model itself and of every run that its card names by a digest, and so on.

    Args:
        runs: model -> digest of its weights, of this run and all beside it.
    """
    found: dict[str, Any] = {}
    left = [checkpoint]
    while left:
        model = left.pop()
        if model.parent.name in found:
            continue
        # An evaluation by hand adds its figures to the card; they are of another time and not what it was made from.
        card = {key: value for key, value in read_card(model).items() if key != "tests"}
        found[model.parent.name] = {**card, "weights_sha256": runs[model]}
        text = json.dumps(card)
        left += [other for other, digest in runs.items() if digest in text]
    return found
