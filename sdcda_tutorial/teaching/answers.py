"""The reader's own functions: `check` keeps a right answer as a file, and the laboratory trains with it.

An answer is kept with what it needs, its imports, its constants and its helpers, so that the file runs without the
notebook it came from.
"""

from __future__ import annotations

import ast
import datetime
import functools
import importlib
import inspect
import linecache
import math
import re
import textwrap
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import write_text

FOLDER = Path("runs/answers")

# Functions of the package that the exercises ask for, in the order in which the notebooks build them.
REPLACEABLE = (
    "masks.from_boxes",
    "losses.density_loss",
    "losses.source_segmentation_loss",
    "losses.target_segmentation_loss",
    "losses.discriminator_loss",
    "losses.adversarial_loss",
    "losses.total_loss",
    "adaptation.Adaptation.step",
    "metrics.count_errors",
)

_HEAD = "# Your answer to exercise {number}, kept on {date}. Function {name} replaces {replaces}.\n"
_READ = re.compile(r"# Your answer to exercise (\S+), kept on \S+\. Function (\w+) replaces ([\w.]+)\.")


@dataclass(frozen=True)
class Kept:
    """One kept answer.

    Attributes:
        number: of the exercise.
        function: the reader's.
        source: the whole file.
    """

    number: str
    replaces: str
    path: Path
    function: Callable[..., Any]
    source: str


def keep(
    number: str, replaces: str, answer: Any, judge: Callable[[Any], tuple[str, str]], folder: Path = FOLDER
) -> str | None:
    """Keep a right answer, outside the solutions, which would replace the reader's own.

    Args:
        judge: gives "right" or another word, and a reason. The kept function must be right by itself, too.
    Returns:
        Why it could not be kept, in one line: a lambda, code that Python cannot show again, or what does not run by
        itself. What was kept before is then left as it was. None if it was kept, or outside a lesson.
    """
    if not _in_a_lesson():
        return None
    path = folder / f"{number}.py"
    earlier = "; an earlier answer of yours stays in its place" if path.exists() else ""
    try:
        if not isinstance(answer, types.FunctionType) or answer.__name__ == "<lambda>":
            raise TypeError("it is not a function with a name")
        text = source(answer)
        head = _HEAD.format(number=number, date=datetime.date.today(), name=answer.__name__, replaces=replaces)
        said, why = judge(_run(text, number)[answer.__name__])  # without the notebook
        if said != "right":
            raise TypeError(f"by itself it is not right any more: {why.rstrip('.')}")
        write_text(path, head + text)
    except Exception as error:  # whatever the reader's code refers to
        why = " ".join(str(error).split()) or type(error).__name__
        remedy = "" if isinstance(error, OSError | InputError) else ": put all that it needs inside it"
        return f"right, but not kept for the laboratory ({why}){remedy}{earlier}"
    return None


def _in_a_lesson() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and Path(shell.starting_dir).name != "solutions"


def source(function: types.FunctionType) -> str:
    """Source of a function, after the imports, constants and functions of its notebook that it uses."""
    needed: dict[str, str] = {}
    _collect(function.__name__, function, needed)
    imports = [text for text in needed.values() if text.startswith(("import ", "from "))]
    others = [text for text in needed.values() if text not in imports]
    return "\n".join(sorted(imports)) + ("\n\n" if imports else "") + "\n\n".join(others)


def _collect(own: str, function: types.FunctionType, needed: dict[str, str]) -> None:
    """Put the names that a function takes from its notebook into `needed`, and then the function itself.

    Args:
        own: what the notebook calls it; an alias gets a line of its own.
    Raises:
        TypeError: one of them cannot be written down.
    """
    function = inspect.unwrap(function)  # of what decorates it
    if function.__code__.co_freevars:
        raise TypeError(f"{own} takes {', '.join(function.__code__.co_freevars)} from the function around it")
    text = textwrap.dedent(inspect.getsource(function))
    needed.setdefault(own, "")  # a function may call itself
    for name in sorted(_names(function.__code__, text) & function.__globals__.keys() - needed.keys()):
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType):
            needed[name] = f"import {value.__name__} as {name}"
        elif isinstance(inspect.unwrap(value), types.FunctionType) and value.__module__ == function.__module__:
            _collect(name, value, needed)
        elif isinstance(value, float):  # as NumPy's are, which write themselves in another way
            needed[name] = f"{name} = {float(value)!r}" if math.isfinite(value) else f"{name} = float('{value}')"
        elif isinstance(value, bool | int | str | tuple):
            needed[name] = f"{name} = {value!r}"
        else:  # a class or function of a package
            module, original = getattr(value, "__module__", None) or "__main__", getattr(value, "__qualname__", "")
            # Nothing can be imported from the notebook, which is gone when the file is read.
            if module == "__main__" or getattr(importlib.import_module(module), original, None) is not value:
                raise TypeError(f"{name} is made in another line")
            needed[name] = f"from {module} import {original} as {name}"
    needed.pop(own)  # after what it needs
    if own != function.__name__ != "<lambda>":
        text += f"\n\n{own} = {function.__name__}"
    needed[own] = text.rstrip() + "\n"


def _names(code: types.CodeType, text: str) -> set[str]:
    """The names that a function looks up outside it: in its body, in its defaults and decorators."""
    tree = ast.parse(text)
    written = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    heads = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    around = [part for head in heads for part in (head.args, head.returns, *head.decorator_list) if part is not None]
    return (written & _looked_up(code)) | {
        node.id for part in around for node in ast.walk(part) if isinstance(node, ast.Name)
    }


def _looked_up(code: types.CodeType) -> set[str]:
    """As names or as attributes, by the code and the functions within it."""
    inner = (_looked_up(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


def kept(folder: Path = FOLDER) -> tuple[dict[str, Kept], list[str]]:
    """The kept answers by what they replace, and a line for each file that cannot be used."""
    found, complaints = {}, []
    for path in sorted(folder.glob("*.py")):
        try:
            answer = _read(path)
        except Exception as error:  # whatever is in the file, it was not what `keep` wrote
            complaints.append(f"{path} is left out ({error}); solve the exercise again, or delete the file")
            continue
        found[answer.replaces] = answer
    return found, complaints


def _read(path: Path) -> Kept:
    text = path.read_text(encoding="utf-8")
    head = _READ.match(text)
    if head is None or head[3] not in REPLACEABLE:
        raise InputError("it is not an answer that `check` kept")
    if head[1] != path.stem:  # such as a backup
        raise InputError(f"the answer to exercise {head[1]} is {head[1]}.py")
    linecache.checkcache(str(path))
    return Kept(head[1], head[3], path, _run(text, path.stem, str(path))[head[2]], text)


def _run(text: str, stem: str, file: str = "<answer>") -> dict[str, Any]:
    """The names that the source of an answer makes, in a namespace of its own."""
    namespace: dict[str, Any] = {"__name__": f"answer_{stem}"}
    exec(compile(text, file, "exec"), namespace)
    return namespace


@contextmanager
def in_place_of_the_package(answers: dict[str, Kept]) -> Iterator[dict[str, int]]:
    """Let the package call the reader's functions in this block.

    Yields: how often each was called.
    Raises:
        InputError: one of them failed; the message names its file, line and code.
    """
    calls = dict.fromkeys(answers, 0)

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return function(*arguments, **options)

        return call

    with ExitStack() as stack:
        for name, answer in answers.items():
            owner, attribute = _place(name)
            stack.enter_context(patch.object(owner, attribute, counted(name, answer.function)))
        try:
            yield calls
        except Exception as error:
            raise (_blamed(error, answers) or error) from None


def _place(name: str) -> tuple[Any, str]:
    """The module or class that holds a function of the package, and the function's name there."""
    module, *classes, attribute = name.split(".")
    owner: Any = importlib.import_module(f"sdcda_tutorial.{module}")
    for part in classes:
        owner = getattr(owner, part)
    return owner, attribute


def _blamed(error: Exception, answers: dict[str, Kept]) -> InputError | None:
    """The error as a line about the reader's code; None where it did not pass through any of it."""
    files = {str(answer.path): answer for answer in answers.values()}
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    if not ours or isinstance(error, KeyboardInterrupt):
        return None
    last = ours[-1]
    answer = files[last.filename]
    return InputError(
        f"your {answer.replaces} (exercise {answer.number}) stopped in {last.filename}, line {last.lineno}, "
        f"`{last.line}`, with {type(error).__name__}: {error}"
    )
