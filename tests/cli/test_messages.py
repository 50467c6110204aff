"""Messages of the package in the words of the command line; all of them are read from the sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer
from command_line import run

from sdcda_tutorial import cli
from sdcda_tutorial.cli import messages as messages_of_cli
from sdcda_tutorial.cli.messages import ON_THE_COMMAND_LINE, is_first_process, translate
from sdcda_tutorial.cli.options import _sides as open_size
from sdcda_tutorial.training import processes

PACKAGE = Path(cli.__file__).parents[1]
BELOW = [path for path in PACKAGE.rglob("*.py") if "cli" not in path.parts]
FOR_PROGRAMS = {"processes.in_processes"}  # nobody comes here from the command line
RAISED = {"InputError", "TrainingStopped"}


def texts(path: Path) -> list[str]:
    """Every string of a file but docstrings; what an f-string holds comes in pieces."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    return [node.value for node in found if isinstance(node.value, str)]


def messages(path: Path) -> list[str]:
    """The strings of the errors that are meant for a user."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    errors = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in RAISED]
    parts = [node for call in errors for node in ast.walk(call) if isinstance(node, ast.Constant)]
    return [node.value for node in parts if isinstance(node.value, str)]


@pytest.mark.slow
def test_the_lower_layers_name_no_option_and_no_command() -> None:
    said = [(path.name, text) for path in BELOW for text in texts(path)]
    assert len(said) > 1000
    assert [found for found in said if re.search(r"(?<![\w-])--[a-z]|`sdcda ", found[1])] == []


def test_what_the_messages_name_has_a_word_on_the_command_line() -> None:
    named = {name for path in BELOW for text in messages(path) for name in re.findall(r"`([^`]+)`", text)}
    explained = {"level hour weather folder id count"}  # the line that a file of GCC should hold
    assert {"folder", "resume", "write_pseudo_masks"} <= named
    assert named - FOR_PROGRAMS - explained <= ON_THE_COMMAND_LINE.keys()


def test_every_word_is_one_of_the_program() -> None:
    commands = typer.main.get_command(cli.app).commands
    options = {option for command in commands.values() for param in command.params for option in param.opts}
    for word in ON_THE_COMMAND_LINE.values():
        if word.startswith("--"):
            assert word in options
        elif word == "stored":
            assert open_size(word) == {"max_side": None}
        else:
            assert re.fullmatch(r"`sdcda (\w+)( mini| make| check)?`", word)[1] in commands


def test_known_words_are_replaced_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_of_cli, "_taken", set())  # as where no command runs
    message = "`folder` already holds `something`; lower `batch_size`, or make masks with `write_pseudo_masks`"
    assert translate(message) == (
        "--out already holds `something`; lower --batch-size, or make masks with `sdcda masks`"
    )


@pytest.mark.parametrize(
    ("command", "max_side", "folder"),
    [
        ("predict photo.jpg", "--max-side", "--out"),
        ("train --method se", "--size", "--out"),
        ("data make a.csv b c", "--size of `sdcda train` and others", "OUT"),
        ("data check gcc", "--size of `sdcda train` and others", "folder"),
    ],
)
def test_a_message_names_what_the_running_command_has(
    command: str, max_side: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages_of_cli, "_taken", set())
    messages_of_cli.starts(cli._command(command.split()))
    assert translate("by `max_side`; choose another `folder`") == f"by {max_side}; choose another {folder}"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "2"},
        {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"},
        {"NODE_RANK": "1"},
        {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NAME": "train"},
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NAME": "train"},
    ],
    ids=str,
)
def test_the_first_process_is_that_of_the_training(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == processes.is_first()


def test_an_error_commands_no_terminal(tmp_path: Path) -> None:
    """Whatever brings a name into a message: a file's name may hold what colours a terminal, or clears it."""
    done = run("evaluate", "--checkpoint", tmp_path / "a\x1b[31mred\x07.safetensors")
    assert done.code == 2 and "a\\x1b[31mred\\x07.safetensors" in done.err and not {"\x1b", "\x07"} & {*done.err}
