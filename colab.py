"""Sets a Google Colab session up. The first cell of every notebook fetches and runs this file; there, REPO is known.

It clones the repository into /content, installs what is missing, and changes to the clone. Run again, also after a
restart of the session, it does only what is missing: files in the clone stay as they are.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

BRANCH = ""  # stamped by `make colab`; empty is the repository's default branch
CONTENT = Path("/content")
KEPT = ("torch", "torchvision", "numpy")  # they fit Colab's GPU and each other


def set_up(repo: str) -> None:
    folder = CONTENT / repo.rstrip("/").removesuffix(".git").split("/")[-1]
    clone(repo, folder)
    os.chdir(folder)
    install(folder)
    if str(folder) not in sys.path:  # what was just installed is not seen by a Python that is running
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    import torch

    if not torch.cuda.is_available():
        print("No GPU is on: everything works, trainings are slow. To turn one on: Runtime > Change runtime type >")
        print("T4 GPU, then run this cell again.")


def clone(repo: str, folder: Path) -> None:
    if folder.is_dir():
        return
    print(f"Cloning {repo}")
    partial = folder.with_name(folder.name + ".partial")  # a clone that was interrupted is not taken for a whole one
    shutil.rmtree(partial, ignore_errors=True)
    branch = ["--branch", BRANCH] if BRANCH else []
    run("git", "clone", "--quiet", "--depth=1", *branch, repo, str(partial))
    partial.rename(folder)


def install(folder: Path) -> None:
    """Install the package; Colab's PyTorch and NumPy stay, and widgets of the major version that its page shows."""
    done = CONTENT / f".{folder.name}-is-installed"
    if done.exists():
        return
    print("Installing: a minute or two")
    before = versions()
    keep = [f"{name}=={before[name]}" for name in KEPT if name in before]
    if "ipywidgets" in before:
        keep.append(f"ipywidgets<{int(before['ipywidgets'].split('.')[0]) + 1}")
    constraints = CONTENT / f".{folder.name}-keeps.txt"
    constraints.write_text("\n".join([*keep, ""]))
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


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise RuntimeError(f"{' '.join(command)} failed:\n{said}")


if __name__ == "__main__":
    set_up(REPO)  # type: ignore[name-defined]  # noqa: F821  (of the cell)
