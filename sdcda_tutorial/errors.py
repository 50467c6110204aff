"""The two exceptions that a user is meant to read."""

from __future__ import annotations


class InputError(ValueError):
    """Something given from outside is wrong: a path, a file, an option.

    The message is one line that says what is wrong, in which file, and how to fix it. The command line prints it
    without a traceback and leaves with exit code 2.
    """


class TrainingStopped(RuntimeError):
    """Training cannot go on (a loss is not finite). One line; exit code 1."""
