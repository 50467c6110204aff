"""Settings that are checked when they are made: a wrong one must not show after hours, or never."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import fields
from typing import Any

import numpy as np

from sdcda_tutorial.errors import InputError

_KINDS = {"int": (int, "a whole number"), "float": (int | float, "a number"), "bool": (bool, "True or False")}


def check_numbers(
    settings: Any, *, above_zero: Collection[str] = (), below_one: Collection[str] = (), to_one: Collection[str] = ()
) -> None:
    """Raise an InputError at the first number of a dataclass that is none, or that is out of its bounds.

    Numbers are from zero up; those of NumPy become plain ones, which can be written down.

    Args:
        above_zero, below_one, to_one: names of the fields with narrower bounds.
    """
    for field in fields(settings):
        name, value = field.name, getattr(settings, field.name)
        kind, _, or_none = str(field.type).partition(" | ")
        if kind not in _KINDS or (or_none and value is None):
            continue
        if isinstance(value, np.generic):  # such as a seed from `np.arange`
            value = value.item()
            object.__setattr__(settings, name, value)
        known, called = _KINDS[kind]
        if not isinstance(value, known) or (kind != "bool" and isinstance(value, bool)):
            raise InputError(f"{name} is {called}, not {value!r}")
        bounds, within = "from 0 up", 0 <= value < math.inf
        if name in above_zero:
            bounds, within = "above 0", 0 < value < math.inf
        elif name in below_one:
            bounds, within = "from 0 to below 1", 0 <= value < 1
        elif name in to_one:
            bounds, within = "from 0 to 1", 0 <= value <= 1
        elif name == "seed":  # what random generators take
            bounds, within = "from 0 to below 2**63", 0 <= value < 2**63
        if not within:
            raise InputError(f"{name} is {bounds}, not {value}")
