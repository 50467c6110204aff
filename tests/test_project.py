"""The promises of the project's own files: packages, commands, links, light imports, short sources."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement

from sdcda_tutorial import cli
from sdcda_tutorial.datasets import DATASET_NAMES
from sdcda_tutorial.datasets.scene_regularization import RULES
from sdcda_tutorial.experiments.presets import COUNTERS, METHODS, PRESETS
from sdcda_tutorial.rivals.translation import TRANSLATIONS

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings tomli where Python has no tomllib
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sdcda_tutorial"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TEXTS = ["README.md", "CONTRIBUTING.md"]
PAGES = [*TEXTS, "docs/colab.md", "docs/command_line.md", "docs/results.md", "docs/speed.md", "data/README.md"]
COMMAND_TEXTS = [
    *PAGES,
    *(f"notebooks/text/{path.name}" for path in (ROOT / "notebooks/text").glob("*.py")),
]
# Packages that conda-forge calls by another name than PyPI does.
CONDA_NAMES = {"pytorch": "torch", "playwright-python": "playwright"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_of(markdown: str) -> str:
    """Fenced blocks and `inline` code of a text, where a command means what it says."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", markdown, flags=re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)
    return "\n".join(fenced + re.findall(r"`([^`]+)`", rest))


def lower_bound(requirement: Requirement) -> str:
    (bound,) = requirement.specifier  # exactly one bound: neither a pin nor an upper limit
    assert bound.operator == ">=", f"{requirement}: a lower bound is wanted, no pin"
    return bound.version


def bounds_of_pyproject() -> dict[str, str]:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for group in groups for line in group]
    names = [requirement.name for requirement in requirements]
    assert len(names) == len(set(names)), "a package is named twice"
    python = Requirement(f"python{project['requires-python']}")
    return {requirement.name: lower_bound(requirement) for requirement in [*requirements, python]}


def environment_lines() -> list[tuple[str, str]]:
    """(requirement, reason) of each dependency; read as text, because the reasons are comments."""
    dependencies = read("environment.yml").split("dependencies:\n")[1]
    entries = [line.strip()[2:] for line in dependencies.splitlines() if line.strip().startswith("- ")]
    pairs = [entry.partition("  # ") for entry in entries if entry != "pip:"]
    return [(requirement, reason.strip()) for requirement, _, reason in pairs]


def test_environment_and_pyproject_name_the_same_packages_and_bounds():
    conda = {}
    for line, _ in environment_lines():
        if line not in ("pip", "-e ."):
            requirement = Requirement(line)
            conda[CONDA_NAMES.get(requirement.name, requirement.name)] = lower_bound(requirement)
    assert conda == bounds_of_pyproject()


def test_every_package_of_the_environment_has_a_reason():
    assert [line for line, reason in environment_lines() if len(reason) < 10] == []


def test_version_is_the_same_everywhere():
    (version,) = re.findall(r'^__version__ = "(.+)"', (PACKAGE / "__init__.py").read_text(), flags=re.M)
    assert f"\nversion: {version}\n" in read("CITATION.cff")


def test_import_is_light():
    heavy = ["torch", "torchvision", "torchmetrics", "lightning", "lightning_fabric", "matplotlib", "numpy", "scipy"]
    code = f"import sys, sdcda_tutorial; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_importing_the_trainings_waits_for_torch_alone():
    """torchvision and Fabric import half of torch's compiler and torchmetrics: more seconds than torch itself."""
    code = """
import sys, sdcda_tutorial.evaluation, sdcda_tutorial.rivals, sdcda_tutorial.training
print([name for name in ("lightning_fabric", "torch._dynamo", "torchmetrics", "torchvision") if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("chosen", "spincount", "blocktime"),
    [
        ({}, "5000", "1"),
        ({"GOMP_SPINCOUNT": "7"}, "7", None),
        ({"KMP_BLOCKTIME": "7"}, None, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None, None),
    ],
)
def test_waiting_threads_sleep_soon_unless_the_user_chose(chosen, spincount, blocktime):
    code = "import os, sdcda_tutorial; print([os.environ.get(name) for name in ('GOMP_SPINCOUNT', 'KMP_BLOCKTIME')])"
    ours = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY"}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | chosen, capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(run.stdout) == [spincount, blocktime]


def test_no_file_is_called_utils():
    assert [path.name for path in PACKAGE.rglob("*") if re.match(r"(utils?|helpers?|misc|common)\b", path.stem)] == []


def test_every_function_can_be_seen_whole():
    """At most 60 lines each, signature and docstring included; files may be as long as the one thing they hold."""
    long = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert long == []


CORE = ("paper", "density", "masks", "networks", "losses", "adaptation", "metrics", "prediction")


@pytest.mark.slow
def test_the_papers_files_stand_alone_and_are_an_afternoons_reading():
    code = f"""
import importlib, sys
for name in {CORE}:
    importlib.import_module("sdcda_tutorial." + name)
print(sorted(name.split(".")[1] for name in sys.modules if name.startswith("sdcda_tutorial.")))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ast.literal_eval(run.stdout) == sorted(
        [*CORE, "errors", "files", "folding", "markdown", "numbers", "pixels", "tiling"]
    )
    assert sum(len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in CORE) <= 1300


def test_a_step_of_the_paper_is_one_piece():
    (step,) = [
        node
        for node in ast.walk(ast.parse((PACKAGE / "adaptation.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "step"
    ]
    assert step.end_lineno - step.lineno < 45


def make_targets() -> set[str]:
    return set(re.search(r"^\.PHONY: (.+)$", read("Makefile"), flags=re.M)[1].split())


@pytest.mark.parametrize("text", TEXTS)
def test_make_commands_in_texts_exist(text):
    named = set(re.findall(r"(?<!sdcda data )\bmake ([a-z][a-z-]*)", code_of(read(text))))
    assert named, "no make command found: has the text changed its form?"
    assert named <= make_targets()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_target():
    run = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^  make ([a-z-]+) +\S", run.stdout, flags=re.M)) == make_targets()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_finished_set_up_is_not_repeated(tmp_path):
    """Stamps newer than pyproject.toml: `make demo` has nothing to install."""
    for stamp in ("run", "lab", "dev", "book"):
        (tmp_path / f".stamp-{stamp}").touch()
    command = ["make", "--no-print-directory", "--dry-run", "demo", "lab", "test", "lint", "book", f"VENV={tmp_path}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{tmp_path}/bin/sdcda demo" in run.stdout
    assert "pip" not in run.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has NVIDIA's driver")
@pytest.mark.parametrize(
    ("system", "driver", "torch", "told"),
    [("Linux", 0, 0, True), ("Linux", 1, 0, False), ("Linux", 0, 1, False), ("Darwin", 0, 0, False)],
)
def test_set_up_says_what_it_installs_and_how_to_do_with_less(tmp_path, system, driver, torch, told):
    """Nothing is installed: the Python of the environment only says what it is asked to do."""
    programs = {
        tmp_path / "bin/uname": f"echo {system}",
        tmp_path / "venv/bin/python": f'case "$*" in *"pip install"*) echo INSTALLS;; *torch*) exit {1 - torch};; esac',
    }
    if driver:
        programs[tmp_path / "bin/nvidia-smi"] = "exit 0"
    for path, script in programs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    found = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "nvidia-smi").exists()]
    path = os.pathsep.join(map(str, [tmp_path / "bin", *found]))
    command = ["make", "--no-print-directory", "setup", f"VENV={tmp_path / 'venv'}"]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True)
    before, _, after = run.stdout.partition("INSTALLS\n")
    assert after.startswith("Ready: ") and (tmp_path / "venv/.stamp-run").exists() and run.stderr == ""
    assert "PyTorch" in before and "6 GB" in before
    assert ("CPU build" in before) == told
    section = re.findall(r'see "(.+)" in README.md', before)
    assert section == ["No GPU on Linux"] * told and all(f"*{name}*" in read("README.md") for name in section)
    packages = {Requirement(text).name for text in tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]}
    small = {"safetensors", "filelock", "platformdirs", "tqdm", "typer", "rich"}
    listed = set(re.findall(r"[\w-]+", before.lower().replace("pytorch", "torch")))
    assert packages - small <= listed


def commands_in_texts() -> list[tuple[str, str, bool]]:
    """(text, command line, whether it stands in a block) of each `sdcda` command that a reader is shown."""
    found = []
    for name in COMMAND_TEXTS:
        text = read(name)
        if name.endswith(".py"):  # a notebook's prose is in comments
            text = "\n".join(line[2:] for line in text.splitlines() if line.startswith("# "))
        text = text.replace("\\\n", " ")  # a command may go on in the next line
        block = r"^(?:    |)(?:\S*[/\\])?sdcda ([a-z][^#\n]*)"
        found += [(name, line.strip(), True) for line in re.findall(block, text, flags=re.M)]
        found += [(name, line, False) for line in re.findall(r"`(?:\S*[/\\])?sdcda ([a-z][^`]*)`", text)]
    return found


@pytest.mark.parametrize(("text", "line", "whole"), commands_in_texts())
def test_commands_in_texts_are_those_of_the_program(text, line, whole):
    """Every word is parsed as by the program, and names of data sets and presets are known; nothing is run.

    In a sentence a command may lack what it needs.
    """
    command, words = typer.main.get_command(cli.app), shlex.split(line.replace(" ...", ""))
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    try:
        given = command.make_context("sdcda", list(words)).params if "--help" not in words else {}
    except Exception as error:  # typer's usage errors, whichever class its version gives them
        reason = error.format_message() if hasattr(error, "format_message") else repr(error)
        assert not whole and reason.startswith("Missing"), f"{line}: {reason}"
        return
    data = [given.get(role) for role in ("source", "target", "boxes", "name")]
    assert {spec.partition(":")[0] for spec in data if spec} <= {*DATASET_NAMES, "mini", "NAME"}
    words = {"preset": PRESETS, "method": (*METHODS, *TRANSLATIONS), "counter": COUNTERS, "scenes": RULES}
    for option, known in words.items():
        assert given.get(option) in {None, *known}


def test_texts_show_every_command():
    shown = {line.split()[0] for _, line, _ in commands_in_texts()}
    assert shown == set(typer.main.get_command(cli.app).commands)
    assert len(commands_in_texts()) > 30


@pytest.mark.parametrize("text", PAGES)
def test_links_to_local_files_resolve(text):
    links = re.findall(r"\]\(([^)\s]+)\)", read(text)) + re.findall(r'(?:src|href)="([^"]+)"', read(text))
    # Up there is what GitHub makes of a repository: its branches, its issues.
    local = [link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#|\.\./\.\./", link)]
    assert local and [link for link in local if not ((ROOT / text).parent / link).exists()] == []
