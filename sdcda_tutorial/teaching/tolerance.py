"""Figures that differ a little from one computer to the next: a notebook's cell states by how much they may.

`pytest --nbval` compares the stored outputs of a cell with those of a fresh run, letter by letter. Where the cell's
metadata hold `{"sdcda": {"tolerance": {"rel": 0.05, "abs": 0.1}}}`, numbers are read as numbers: a new one passes if
|new - stored| <= abs + rel * |stored|. The text between the numbers must be the same, except for the width of columns:
a run of blanks counts as one, a run of hyphens (the rule of a table) too, and blanks before a number do not count.

`notebooks/conftest.py` puts this in front of nbval's comparison.
"""

from __future__ import annotations

import copy
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sdcda_tutorial.errors import InputError

# At each place the first line that fits wins. What is no number is consumed as text, so that its digits are not read.
_TOKEN = re.compile(
    r"""
    (?P<number>
        (?: (?<![\w.)\]}%°-]) [-+−] )?                  # a sign, unless something ends before it, as in "3-5"
        (?<! [\w.] )
        (?: (?i: nan | inf ) (?!\w)
          | (?: [0-9]{1,3} (?:,[0-9]{3})+ (?![0-9]) | (?!0[0-9]) [0-9]+ )
            (?! \.[0-9]+\.[0-9] | -[0-9]{2}-[0-9] | :[0-9]{2} )
            (?: \.[0-9]+ (?:[eE][-+]?[0-9]+)?           # 49.4  1.5e-3  3.1x
              | \.? (?:[eE][-+]?[0-9]+)? (?! \w | -[^\W\d] ) )      # 49  1.  1e-3, but neither 2x nor 16-bit
          | \.[0-9]+ (?:[eE][-+]?[0-9]+)? )
    )
    | [0-9]{4}-[0-9]{2}-[0-9]{2}                        # a date
    | [0-9]+ (?: :[0-9]{2} )+                           # a time of day
    | [0-9]+ (?: \.[0-9]+ ){2,}                         # a version
    | \#\w+                                             # a colour
    | \w+ (?: -\w+ )*                                   # a word: float32, x1, 2x, VGG-16; also 007
    """,
    re.VERBOSE,
)


class Miss(NamedTuple):
    """A number that is off by more than its cell allows; both numbers as they are printed."""

    stored: str
    new: str
    off: float
    allowed: float

    def __str__(self) -> str:
        return (
            f"{self.stored} is stored, {self.new} came out: off by {self.off:.3g}, where {self.allowed:.3g} is allowed"
        )


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be from the stored one: `abs` plus `rel` times the stored number's size."""

    rel: float = 0.0
    abs: float = 0.0

    def room(self, stored: float) -> float:
        return self.abs + self.rel * abs(stored)

    def allows(self, stored: float, new: float) -> bool:
        if not (math.isfinite(stored) and math.isfinite(new)):
            return stored == new or (math.isnan(stored) and math.isnan(new))
        # Decimal fractions are rounded in binary: with abs 0.05, 0.15 passes beside 0.1.
        return abs(new - stored) <= self.room(stored) + 1e-12 * max(abs(stored), abs(new))


def tolerance_of(metadata: Mapping[str, Any]) -> Tolerance | None:
    """The tolerance that a cell's metadata state, None where they state none; InputError if it cannot be meant."""
    if "sdcda" not in metadata:
        return None
    ours = metadata["sdcda"]
    if not isinstance(ours, Mapping) or set(ours) != {"tolerance"}:
        raise InputError(f'the metadata "sdcda" of a cell hold {{"tolerance": {{...}}}} and nothing else, not {ours!r}')
    stated = ours["tolerance"]
    if not isinstance(stated, Mapping) or not stated or not set(stated) <= {"rel", "abs"}:
        raise InputError(f'a tolerance is {{"rel": 0.05}}, {{"abs": 0.1}} or both, not {stated!r}')
    for name, value in stated.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InputError(f"the tolerance {name} is a number, at least 0, not {value!r}")
    tolerance = Tolerance(**stated)
    if tolerance.rel > 1:
        raise InputError(f"the tolerance rel is a fraction (0.05 means 5 %), not {tolerance.rel!r}")
    if tolerance == Tolerance():
        raise InputError("a tolerance of 0 allows nothing; leave it out")
    return tolerance


def reconcile(stored: str, new: str, tolerance: Tolerance) -> tuple[str, list[Miss]]:
    """The new text with the stored numbers in place of those within the tolerance, and the numbers beyond it.

    What comes back equals the stored text exactly if nothing else differs.
    """
    lines, new_lines = stored.split("\n"), new.split("\n")
    if len(lines) != len(new_lines):
        return new, []
    misses: list[Miss] = []
    met = [_reconcile_line(*pair, tolerance, misses) for pair in zip(lines, new_lines, strict=True)]
    return "\n".join(met), misses


def _reconcile_line(stored: str, new: str, tolerance: Tolerance, misses: list[Miss]) -> str:
    texts, numbers = _split(stored)
    new_texts, new_numbers = _split(new)
    if _without_widths(texts) != _without_widths(new_texts):
        return new
    for index, (old, other) in enumerate(zip(numbers, new_numbers, strict=True)):
        value, other_value = _value(old), _value(other)
        if not tolerance.allows(value, other_value):
            misses.append(Miss(old, other, abs(other_value - value), tolerance.room(value)))
            numbers[index] = other
    return "".join(part for pair in zip(texts, [*numbers, ""], strict=True) for part in pair)


def _split(line: str) -> tuple[list[str], list[str]]:
    """Texts and numbers of a line in turn: there is one text more, and some are empty."""
    texts, numbers, end = [], [], 0
    for token in _TOKEN.finditer(line):
        if token["number"] is not None:
            texts.append(line[end : token.start()])
            numbers.append(token["number"])
            end = token.end()
    return [*texts, line[end:]], numbers


def _without_widths(texts: Sequence[str]) -> list[str]:
    short = [re.sub(r"-{2,}", "--", re.sub(r"\s+", " ", text)) for text in texts]
    return [text.rstrip() for text in short]  # before a number, and at the end of the line


def _value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-"))


def reconcile_outputs(stored: Sequence[Any], new: Sequence[Any], tolerance: Tolerance) -> tuple[list[Any], list[Miss]]:
    """`reconcile` for all that a cell prints and shows as text; outputs as nbformat has them.

    The first text of a kind (stdout, text/plain, ...) meets the first stored one of that kind, as in nbval.
    """
    met, misses = copy.deepcopy(list(new)), list[Miss]()
    kept, came = _places_of_texts(stored), _places_of_texts(met)
    for kind, places in came.items():
        for (old_holder, old_key), (holder, key) in zip(kept.get(kind, []), places, strict=False):
            holder[key], more = reconcile(old_holder[old_key], holder[key], tolerance)
            misses += more
    return met, misses


def _places_of_texts(outputs: Sequence[Any]) -> dict[str, list[tuple[Any, str]]]:
    """Where the texts of each kind are: under stdout, text/plain and so on, pairs of a mapping and its key."""
    places = defaultdict(list)
    for output in outputs:
        if output["output_type"] == "stream":
            places[output["name"]].append((output, "text"))
        for kind, value in output.get("data", {}).items():
            if kind.startswith("text/") and isinstance(value, str):
                places[kind].append((output["data"], kind))
    return places
