"""Records of counted photographs, as text for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sdcda_tutorial.files import in_utf8

BEGINNINGS = {"json": '[\n {\n  "photo": ', "csv": '"photo","count",'}  # by which an earlier file of ours is known


def as_json(records: Sequence[Mapping[str, Any]]) -> str:
    """A list of objects, in ASCII: any name passes any terminal, and a reader has it back as it was."""
    return json.dumps(records, indent=1, allow_nan=False) + "\n"


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    r"""A heading and a line per record; texts are in quotes, so that a name may hold commas, quotes and new lines.

    What UTF-8 cannot hold of a name is written as in `in_utf8`.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return in_utf8(text.getvalue())
