"""The command line, `sdcda`. Data sets are named `name:root`; errors are one line and exit code 2."""

from __future__ import annotations

import contextlib
import re
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import typer

from sdcda_tutorial.cli import benchmark, data, doctor, evaluate, masks, predict, train
from sdcda_tutorial.cli.messages import is_first_process, starts, translate
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.files import expanded
from sdcda_tutorial.guards.endings import in_order
from sdcda_tutorial.guards.output import protect

# torch takes seconds to import: commands import what they need when they run.
app = typer.Typer(
    help="Semantic consistency for cross-domain crowd counting: the mini world, the training, the evaluation.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    doctor.doctor, masks.masks, train.train, evaluate.evaluate, predict.predict, benchmark.benchmark, benchmark.demo
):  # fmt: skip
    app.command()(command)
app.add_typer(data.data_app, name="data")


_INTERRUPTED = {
    "train": "interrupted; the same command with --resume goes on where it was",
    **dict.fromkeys(("benchmark", "demo", "masks"), "interrupted; the same command goes on where it was"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are one line on stderr, exit code 2 for bad input and 1 for a failed training.

    Ctrl-C, SIGTERM and SIGHUP end it in order, with 128 + the signal's number (130, 143, 129). The work is done even
    where nobody reads what it prints (`| head`); what a full disk cannot take is told at the end.
    """
    output, _ = protect("stdout"), protect("stderr")
    warnings.formatwarning = _without_place
    asked = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    # None: on Windows *.jpg and ~ are looked up, as by a shell.
    given = None if sys.platform == "win32" and arguments is None and sys.argv[1:] else asked
    starts(command := _command(asked))
    try:
        if given is not None:
            given = [_at_home(word) for word in given]
        with in_order():
            code = app(args=given, prog_name="sdcda", standalone_mode=False)
    except (InputError, OSError) as error:  # whatever a file or a disk does that nobody foresaw
        _leave(str(error), 2)
    except TrainingStopped as error:
        _leave(str(error), 1)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except SystemExit as end:  # from `in_order`
        code = end.code
    except Exception as error:
        # typer's own usage errors, whichever class its version gives them: they can format themselves.
        if not hasattr(error, "format_message"):
            from sdcda_tutorial.training.processes import GRACE, started

            time.sleep(GRACE if started() else 0)  # it may be the loss of another process, which then has more to say
            raise
        path = getattr(getattr(error, "ctx", None), "command_path", "sdcda")
        _leave(f"{error.format_message()} (see {path} --help)", 2)
    if code in (129, 130, 143):  # newer versions of typer turn Ctrl-C into 130
        told = None if "--dry-run" in asked else _INTERRUPTED.get(command.name)  # a rehearsal leaves nothing
        _leave(told or "interrupted", code)
    if output is not None:
        sys.stdout.flush()
        if output.trouble is not None:
            _leave(f"all is done, but not all could be printed: {output.trouble.strerror}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _at_home(word: str) -> str:
    """The word with the home for ~/, which shells leave in `--out=~/x`: a folder called ~ would be made."""
    return re.sub(r"^(--[\w-]+=)?~(?=/|\Z)", lambda found: f"{found[1] or ''}{expanded('~')}", word)


def _command(asked: Sequence[str]) -> Any:
    """The command that the arguments name."""
    command: Any = typer.main.get_command(app)
    for word in asked:
        if word not in getattr(command, "commands", ()):
            break
        command = command.commands[word]
    return command


def _without_place(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning in one line, without the file of a package and the line of its code."""
    return " ".join(f"{category.__name__}: {message}".split()) + "\n"


def _leave(message: str, code: int) -> None:
    if not is_first_process():  # most errors befall all processes: the first one prints it, and the launcher ends all
        from sdcda_tutorial.training.processes import GRACE

        time.sleep(GRACE)
    line = " ".join(translate(message).split())
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda sign: repr(sign[0])[1:-1], line)  # of names, to command the terminal
    with contextlib.suppress(OSError):  # the terminal may be gone
        typer.echo(f"sdcda: {line}", err=True)
    sys.exit(code)
