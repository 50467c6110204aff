"""Sets a Google Colab session up. The first cell of every notebook gets this file from the repository and runs it.

It brings the repository to /content/sdcda_tutorial, installs what is missing, and changes to that folder. Run again,
also after a restart of the session, it does only what is missing: files that are there stay as they are.

The cell says where the repository is, REPO: an address, or a folder such as one on Google Drive. With KEEP_ON_DRIVE
what trainings and exercises write below runs/ outlives the session.
"""

from __future__ import annotations

import filecmp
import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

BRANCH = ""  # stamped by `make colab`; empty is the repository's default branch
CONTENT = Path("/content")
NAME = "sdcda_tutorial"  # of the folder, here and on Drive, whatever the repository is called
STAYS = ("torch", "torchvision", "numpy", "ipywidgets")  # they fit Colab's GPU, each other, and its page
EVERY = 30  # seconds between two copies to Drive
ASIDE = ".before-"  # in the name of what a later session has begun anew


class NotSetUp(Exception):
    """Shown as its message alone: the way through this file would not help anybody."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def set_up(repo: str, keep: bool | None) -> None:
    """As the fields of the cell say; `keep` is None in a notebook of solutions, which would replace your answers."""
    folder = CONTENT / NAME
    if not folder.is_dir():
        bring(repo, folder)
    os.chdir(folder)
    install(folder)
    if str(folder) not in sys.path:  # what was just installed is not seen by a Python that is running
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    if keep:
        import colab  # this file, as a module: a notebook may call something of its own `copy`

        colab.keep_on_drive(folder / "runs")
    elif keep is not None:
        print("Runs and answers end with this session. To keep them: tick KEEP_ON_DRIVE and run this cell again.")
    import torch

    if not torch.cuda.is_available():
        print("No GPU is on: everything works, trainings are slow. To turn one on: Runtime > Change runtime type >")
        print("T4 GPU, then run this cell again.")


def bring(repo: str, folder: Path) -> None:
    """Clone or copy the repository; what an interruption leaves is not taken for the whole of it."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if "://" not in repo and not os.path.isabs(repo):
        raise NotSetUp(f"Write REPO in full, as in {CONTENT / repo}: this cell changes the folder")
    print(f"Fetching {repo}")
    if "://" in repo:
        branch = ["--branch", BRANCH] if BRANCH else []
        run("git", "clone", "--quiet", "--depth=1", *branch, repo, str(partial))
    else:
        not_copied = shutil.ignore_patterns(".git", ".venv", "build", "mini", "runs", "work", "__pycache__")
        shutil.copytree(repo, partial, ignore=not_copied)
    partial.rename(folder)


def install(folder: Path) -> None:
    """Install the package and what it needs; what is in `STAYS` stays as Colab has it."""
    done = CONTENT / f".{NAME}-is-installed"
    if done.exists():
        return
    print("Installing: a minute or two")
    before = versions()
    constraints = CONTENT / f".{NAME}-stays.txt"
    constraints.write_text("".join(f"{name}=={before[name]}\n" for name in STAYS if name in before))
    run(sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), "--editable", str(folder))
    done.touch()
    after = versions()
    stale = [name for name, version in before.items() if imported(name) and after.get(name) != version]
    if stale:
        print(f"Newer versions of {', '.join(sorted(stale))} were installed, but older ones are in use. Choose")
        print("Runtime > Restart session, then run this cell again.")


def versions() -> dict[str, str]:
    """Of all that is installed, as pip says it: torch.__version__ may add "+cu130", which pip would not find."""
    importlib.invalidate_caches()
    found = [distribution for distribution in importlib.metadata.distributions() if distribution.metadata["Name"]]
    return {distribution.metadata["Name"].lower(): distribution.version for distribution in reversed(found)}


def imported(package: str) -> bool:
    return {"pillow": "PIL"}.get(package, package.replace("-", "_")) in sys.modules


def keep_on_drive(runs: Path) -> None:
    """Bring back what earlier sessions left on Drive; from now on, copy there whatever changes in `runs`.

    The work itself stays on the session's own disk: Drive is slow, and a Drive that fails must not stop a training.
    """
    from google.colab import drive  # type: ignore[import-not-found, import-untyped, unused-ignore]

    try:
        drive.mount(str(CONTENT / "drive"))  # asks for permission, once a session
    except Exception as error:  # of many kinds; "no" is one
        raise NotSetUp(f"Drive is not mounted ({error}): run this cell again, or untick KEEP_ON_DRIVE") from None
    kept = CONTENT / "drive" / "MyDrive" / NAME / "runs"
    for folder in (kept, runs):
        folder.mkdir(parents=True, exist_ok=True)
    # After a restart, what is on Drive is this session's own, perhaps half a minute old.
    here_before = CONTENT / f".{NAME}-on-drive"
    aside = [] if here_before.exists() else set_aside(kept, runs)
    here_before.touch()
    back = [name for name in stamps(kept) if ASIDE not in str(name) and not (runs / name).exists()]
    copy(back, kept, runs)
    if aside:
        print(f"Begun anew in this session; what earlier ones left on Drive is NAME{ASIDE}...: {', '.join(aside)}")
    print(f"Runs and answers are copied to MyDrive/{NAME}/runs every {EVERY} seconds; {len(back)} files are back.")
    if all(thread.name != NAME for thread in threading.enumerate()):  # else the cell has run before
        known = {name: stamp for name, stamp in stamps(runs).items() if name in back}
        threading.Thread(target=copy_for_ever, args=(runs, kept, known), name=NAME, daemon=True).start()


def set_aside(kept: Path, runs: Path) -> list[str]:
    """Rename on Drive what this session has begun anew, so that no copy replaces it: whole runs, else single files."""
    both = [name for name in stamps(kept) if (runs / name).is_file()]
    other = [name for name in both if not filecmp.cmp(kept / name, runs / name, shallow=False)]
    places = {name.parent if (kept / name).with_name("config.json").exists() else name for name in other}
    for place in places:
        (kept / place).rename((kept / place).with_name(f"{place.name}{ASIDE}{time.strftime('%Y%m%d-%H%M%S')}"))
    return sorted(map(str, places))


def copy_for_ever(runs: Path, kept: Path, known: dict[Path, tuple[int, int]]) -> None:
    said = ""
    while True:
        try:
            now = stamps(runs)
            copy([name for name, stamp in now.items() if known.get(name) != stamp], runs, kept)
            known.update(now)
        except OSError as error:  # Drive is full or away, or a file was deleted just now: the next round tries again
            if not isinstance(error, FileNotFoundError) and str(error) != said:
                said = str(error)
                print(f"Not copied to Drive: {said}")
        time.sleep(EVERY)


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Time and size of every file, by its place below `folder`; files in the making and locks begin with a dot."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def copy(names: Iterable[Path], source: Path, target: Path) -> None:
    """Copy files so that none is ever half of one, and a run can always be resumed from what is there.

    Sorted by name, a checkpoint (last) is read before the log (metrics) and the model (model), and takes its place
    after them: these may be of a later step than the checkpoint, but never of an earlier one.
    """
    copies = []
    for name in names:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.copy")
        shutil.copy2(source / name, partial)
        copies.append((partial, place))
    for partial, place in reversed(copies):
        os.replace(partial, place)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise NotSetUp(f"{' '.join(command)} failed:\n{said}")


if __name__ == "__main__":
    cell = globals()
    if "colab" not in str(cell["get_ipython"]()):
        raise NotSetUp("REPO is for Colab only: leave it empty here")
    set_up(cell["REPO"], cell.get("KEEP_ON_DRIVE"))
