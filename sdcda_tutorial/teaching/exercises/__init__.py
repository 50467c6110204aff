"""The exercises of the notebooks: `check("6.2", my_function)` says whether the answer is right, or gives a hint.

One module per notebook. A checker runs the answer on a small example and compares the result with a table of values
that typical mistakes give; it never compares code. A right answer that `replaces` a function of the package is kept,
and the laboratory of notebook 08 can train with it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import linecache
import math
import pkgutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdcda_tutorial.teaching import answers

# "6" -> "n06_masked_target_loss": the module of each notebook.
MODULES = {str(int(module.name[1:3])): module.name for module in pkgutil.iter_modules(__path__)}


class Hint(Exception):
    """Raised by a checker: what is wrong and where to look, without giving the answer away."""


@dataclass(frozen=True)
class Exercise:
    """One exercise; `check` raises `Hint` if the answer is wrong.

    Attributes:
        number: notebook, dot, number within it: "6.2".
        difficulty: 1 (a line), 2 (some thought), 3 (a small piece of work).
        praise: what a right answer has shown, one sentence.
        optional: whether the minutes that the notebook states leave it out.
        replaces: the function of the package that a right answer can stand in for, such as "losses.density_loss".
    """

    number: str
    title: str
    difficulty: int
    minutes: int
    praise: str
    check: Callable[[Any], None]
    optional: bool = False
    replaces: str | None = None


EXERCISES: dict[str, Exercise] = {}
Answer = Callable[..., Any]
Checker = Callable[[Any], None]
Mistakes = Mapping[str, Any]


def exercise(
    number: str, title: str, *, difficulty: int, minutes: int, optional: bool = False, replaces: str | None = None
) -> Callable[[Checker], Checker]:
    """Decorator: registers the checker of an exercise. The checker's docstring is printed as the praise.

    Raises:
        ValueError: `replaces` is none of `answers.REPLACEABLE`.
    """
    if replaces not in (None, *answers.REPLACEABLE):
        raise ValueError(f"no answer can replace {replaces}; known are {', '.join(answers.REPLACEABLE)}")

    def register(checker: Checker) -> Checker:
        praise = " ".join((checker.__doc__ or "").split())
        EXERCISES[number] = Exercise(number, title, difficulty, minutes, praise, checker, optional, replaces)
        return checker

    return register


def require(condition: Any, hint: str) -> None:
    """Raise `Hint(hint)` unless `condition` is true."""
    if not bool(condition):
        raise Hint(hint)


def number(returned: Any) -> float:
    """The one number that an answer returned; a hint if it returned anything else."""
    require(
        isinstance(returned, int | float | np.generic | np.ndarray | Tensor), f"return one number, not {returned!r}."
    )
    shape = tuple(np.shape(returned))
    require(math.prod(shape) == 1, f"return one number, a mean or a sum over everything; yours has the shape {shape}.")
    return float(returned if isinstance(returned, int | float) else returned.item())


def pair(returned: Any, names: str) -> tuple[float, float]:
    """The two numbers that an answer returned; a hint with their names if it returned anything else."""
    two = isinstance(returned, tuple | list | np.ndarray | Tensor) and len(np.shape(returned[:1])) == 1
    require(two and len(returned) == 2 and np.ndim(returned[1]) == 0, f"return two numbers, ({names}), in this order.")
    first, second = float(returned[0]), float(returned[1])
    require(math.isfinite(first) and math.isfinite(second), f"both numbers should be finite, not {first} and {second}.")
    return first, second


def expect_gradient(value: Any, inputs: Sequence[Tensor], right: Sequence[Any], hint: str) -> None:
    """Raise the hint unless the gradient of `value` with respect to each of `inputs` is the `right` one.

    A value that is right and leads back to nothing would train nobody, without a word.
    """
    connected = isinstance(value, Tensor) and value.requires_grad
    require(connected, hint)
    found = torch.autograd.grad(value, inputs, allow_unused=True)
    require(all(one is not None and same(one, wanted) for one, wanted in zip(found, right, strict=True)), hint)


def same(found: Any, value: Any, atol: float = 1e-4) -> bool:
    """Whether two numbers, tuples, arrays or tensors have one shape and equal entries. NaN equals NaN."""
    a, b = (np.asarray(v.detach() if isinstance(v, Tensor) else v, dtype=float) for v in (found, value))
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=atol, equal_nan=True)


def rule_out(found: Any, mistakes: Mistakes, atol: float = 1e-4) -> None:
    """Raise the first hint of the table whose wrong value `found` equals.

    Args:
        found: what the reader's code gives on the example; `{found}` in a hint shows it.
        mistakes: hint -> the value that this mistake gives, or a list of such values.
        atol: tolerance for each entry.
    """
    for hint, wrong in mistakes.items():
        for value in wrong if isinstance(wrong, list) else [wrong]:
            if same(found, value, atol):
                raise Hint(hint.format(found=found))


def expect(found: Any, right: Any, hint: str, mistakes: Mistakes | None = None, *, atol: float = 1e-4) -> None:
    """Rule out the mistakes, then raise the hint, with `{found}` and `{right}` filled in, unless `found` is `right`."""
    rule_out(found, mistakes or {}, atol)
    require(same(found, right, atol), hint.format(found=found, right=right))


def verdict(number: str, answer: Any) -> tuple[str, str]:
    """Judge the answer to an exercise.

    Args:
        number: of the exercise.
        answer: the reader's function, or value, or a tuple of them; an untouched stub raises NotImplementedError, or
            is `...` or None. A function that returns None was attempted, and gets a hint of its own.
    Returns:
        "right", "wrong" or "not attempted", and the text to show the reader.
    Raises:
        ValueError: there is no such exercise.
    """
    notebook = number.partition(".")[0]
    if notebook in MODULES:
        importlib.import_module(f"sdcda_tutorial.teaching.exercises.{MODULES[notebook]}")
    if number not in EXERCISES:
        known = sorted(n for n in EXERCISES if n.partition(".")[0] == notebook)
        raise ValueError(f"there is no exercise {number!r}; this notebook has {', '.join(known) or 'none'}")
    blank = "not attempted yet: replace the last line of the stub with your code and run the cell again"
    if answer is None or answer is ...:
        return "not attempted", blank
    calls: list[str] = []  # of the reader's functions: the name of one that returned None, else nothing
    try:
        EXERCISES[number].check(_watched(answer, calls))
    except Exception as error:  # the reader's code may do anything
        if isinstance(error, NotImplementedError) and not _raised_by_a_package(error):
            return "not attempted", blank
        always_none = all(calls) or not isinstance(error, Hint)  # else the hint says in which case
        if calls and calls[-1] and always_none:
            return "wrong", f"{calls[-1]} gave back nothing: is there a `return` in front of its result?"
        return "wrong", str(error) if isinstance(error, Hint) else f"your code {stopped_with(error)}"
    return "right", EXERCISES[number].praise


def _watched(answer: Any, calls: list[str]) -> Any:
    """The answer; each call of one of its functions is added to `calls`, by its name if it returned None."""
    if type(answer) in (tuple, list):
        return type(answer)(_watched(part, calls) for part in answer)
    if not inspect.isfunction(answer):
        return answer
    name = "your function" if answer.__name__ == "<lambda>" else f"`{answer.__name__}`"

    @functools.wraps(answer)
    def call_of_reader(*arguments: Any, **named: Any) -> Any:
        returned = answer(*arguments, **named)
        calls.append(name if returned is None else "")
        return returned

    return call_of_reader


def _raised_by_a_package(error: Exception) -> bool:
    """PyTorch raises a NotImplementedError for a module that cannot be called, as the stubs do."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").partition(".")[0] == "torch"


def stopped_with(error: Exception) -> str:
    """What an answer stopped with, and in which line of the reader's own code, if it was there."""
    frames = list(traceback.walk_tb(error.__traceback__))
    calls = (after.f_globals for (before, _), (after, _) in itertools.pairwise(frames) if _calls_reader(before))
    names = next(calls, None)  # of the reader's notebook; whose names a frame has, that is the reader's code
    own = [(frame.f_code.co_filename, line) for frame, line in frames if frame.f_globals is names]
    code = linecache.getline(*own[-1]).strip() if own else ""
    place = f" in line {own[-1][1]}, `{code}`," if code else ""
    return f"stopped{place} with {type(error).__name__}: {error}"


def _calls_reader(frame: FrameType) -> bool:
    return frame.f_code.co_name == "call_of_reader" and frame.f_globals is globals()


def check(number: str, answer: Any) -> None:
    """Print whether the answer to an exercise is right, and a hint if it is not.

    A right answer to an exercise with `replaces` is kept for the laboratory (`teaching.answers`); only where it cannot
    be is that said.
    """
    said, text = verdict(number, answer)
    replaces = EXERCISES[number].replaces
    sign = {"right": "✔", "wrong": "✘", "not attempted": "…"}[said]
    print(f"{sign} {number}: {text}")
    if said == "right" and replaces is not None:
        lost = answers.keep(number, replaces, answer, functools.partial(verdict, number))
        if lost is not None:
            print(f"  {lost}")
