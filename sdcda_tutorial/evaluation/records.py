"""Records of counted photographs, as text for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sdcda_tutorial.files import in_utf8, parse_json

BEGINNINGS = {"json": '[\n {\n  "photo": ', "csv": '"photo","count",'}  # by which an earlier file of ours is known
ALWAYS = {"photo", "count", "height", "width", "overlay", "weights_sha256"}
SOMETIMES = {"region", "region_count", "people_per_m2", "map", "map_png", "precision"}


def is_json(text: str) -> bool:
    """Whether it is a file of records to which nobody has added anything."""
    try:
        stored = parse_json(text)
    except ValueError:
        return False
    return isinstance(stored, list) and all(isinstance(one, dict) and _is_record(one.keys()) for one in stored)


def is_csv(text: str) -> bool:
    """As `is_json`: every row has our columns, a count, and the counter of the first."""
    try:
        heading, *rows = csv.reader(io.StringIO(text, newline=""))
        records = [dict(zip(heading, row, strict=True)) for row in rows]
        [float(record["count"]) for record in records]
    except (csv.Error, ValueError, KeyError):
        return False
    return _is_record(heading) and len({record.get("weights_sha256") for record in records}) <= 1


def _is_record(names: Iterable[str]) -> bool:
    return {*names} >= ALWAYS and {*names} <= ALWAYS | SOMETIMES


def as_json(records: Sequence[Mapping[str, Any]]) -> str:
    """A list of objects, in ASCII: any name passes any terminal, and a reader has it back as it was."""
    return json.dumps(records, indent=1, allow_nan=False) + "\n"


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    r"""A heading and a line per record; texts are in quotes, so that a name may hold commas, quotes and new lines.

    What UTF-8 cannot hold of a name is written as in `in_utf8`.
    """
    text = io.StringIO()
    names = dict.fromkeys(name for record in records for name in record)  # not every photograph has a map
    writer = csv.DictWriter(text, list(names), quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return in_utf8(text.getvalue())
