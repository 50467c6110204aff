"""The exercises of the notebooks: `check("6.2", my_function)` says whether it does what was asked, or gives a hint.

One module a notebook. A checker looks at properties and hand-worked numbers, and knows the typical mistakes by what
they do to these: it never compares code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODULES = {
    "0": "n00_start_here",
    "1": "n01_density_maps",
    "2": "n02_crowd_masks",
    "3": "n03_feature_extractor",
    "4": "n04_density_estimator",
    "5": "n05_semantic_extractor",
    "6": "n06_masked_target_loss",
    "7": "n07_feature_discriminator",
    "8": "n08_adversarial_training",
    "9": "n09_evaluation",
    "10": "n10_image_translation",
    "11": "n11_real_data",
}


class Hint(Exception):
    """What a checker raises: one sentence that leads from the mistake to its mend without giving the answer away."""


@dataclass(frozen=True)
class Exercise:
    """One exercise; `check` raises `Hint` where the answer is wrong.

    Attributes:
        number: notebook, dot, number within it: "6.2".
        difficulty: 1 (a line), 2 (some thought), 3 (a small piece of work).
        praise: what a right answer has shown, one sentence.
    """

    number: str
    title: str
    difficulty: int
    minutes: int
    praise: str
    check: Callable[[Any], None]


EXERCISES: dict[str, Exercise] = {}


def exercise(
    number: str, title: str, *, difficulty: int, minutes: int, praise: str
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Decorator: registers the checker of an exercise."""

    def register(checker: Callable[[Any], None]) -> Callable[[Any], None]:
        EXERCISES[number] = Exercise(number, title, difficulty, minutes, praise, checker)
        return checker

    return register


def require(condition: Any, hint: str) -> None:
    """Raise `Hint(hint)` unless `condition` is true."""
    if not bool(condition):
        raise Hint(hint)


def verdict(number: str, answer: Any) -> tuple[str, str]:
    """("right" | "wrong" | "not attempted", what to tell the reader).

    Args:
        number: of the exercise.
        answer: the reader's function, or value; an untouched stub raises NotImplementedError, or is `...` or None.
    Raises:
        ValueError: there is no such exercise.
    """
    notebook = number.partition(".")[0]
    if notebook in MODULES:
        importlib.import_module(f"sdcda_tutorial.exercises.{MODULES[notebook]}")
    if number not in EXERCISES:
        known = sorted(n for n in EXERCISES if n.partition(".")[0] == notebook)
        raise ValueError(f"there is no exercise {number!r}; this notebook has {', '.join(known) or 'none'}")
    blank = "not attempted yet: replace the last line of the stub with your code and run the cell again"
    if answer is None or answer is ...:
        return "not attempted", blank
    try:
        EXERCISES[number].check(answer)
    except NotImplementedError:
        return "not attempted", blank
    except Hint as hint:
        return "wrong", str(hint)
    except Exception as error:  # the reader's code may do anything
        return "wrong", f"your code stopped with {type(error).__name__}: {error}"
    return "right", EXERCISES[number].praise


def check(number: str, answer: Any) -> None:
    """Print whether the answer to an exercise is right, and otherwise a hint."""
    said, text = verdict(number, answer)
    sign = {"right": "✔", "wrong": "✘", "not attempted": "…"}[said]
    print(f"{sign} {number}: {text}")
