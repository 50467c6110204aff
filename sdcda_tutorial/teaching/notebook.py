"""What the notebooks share: paths, stored models and results, how code and figures are shown."""

import ast
import inspect
import io
import os
import textwrap
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch import nn

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.pictures import STYLE
from sdcda_tutorial.files import read_json
from sdcda_tutorial.mini_world import ensure_mini_world, open_mini_world
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.places import clone, mini_root
from sdcda_tutorial.rivals.cyclegan import Generators
from sdcda_tutorial.rivals.translation import load_generators
from sdcda_tutorial.training.checkpoints import load_counter, load_segmenter

CHECKPOINTS, RESULTS = Path("data/checkpoints"), Path("data/results")
DPI, MARGIN, JPEG = 110, 0.1, {"quality": 90, "subsampling": 0}  # of pictures; the margin is in inches


def begin() -> None:
    """Change to the project's folder and set the style of figures.

    The project is the clone that the notebook lies in. A notebook outside every clone takes the one that the package
    was installed from (pip install -e).

    Raises:
        InputError: neither is there.
    """
    package = Path(__file__).resolve().parents[2]
    root = clone() or clone(package)
    if root is None:
        raise InputError(
            f"no project at or above {Path.cwd()}, and the package in {package} has none: open the notebook inside a "
            "clone of the project, or install the package from one (pip install -e FOLDER)"
        )
    os.chdir(root)
    plt.rcParams.update(STYLE)


@cache
def world(*, whole: bool = False) -> SimpleNamespace:
    """The mini world of seed 0, of which each image is drawn when it is first read: three domains and two test sets.

    Args:
        whole: draw all images first (15 seconds), for a notebook that also reads the files in data/mini.
    Returns:
        Data sets `source`, `target`, `third`, `source_test` and `target_test`.
    """
    if whole:
        ensure_mini_world(mini_root())
    parts = open_mini_world(mini_root()).items()
    return SimpleNamespace(**{domain + "_test" * (split == "test"): data for (domain, split), data in parts})


def counter(method: str) -> CrowdCounter:
    """E and C as trained by `method`: "noadapt-early", "noadapt", "s-source", "bn-target", "fd", "se" or "se+fd"."""
    return load_counter(CHECKPOINTS / f"{method}.safetensors")[0].eval()


def segmenter(name: str = "segmenter") -> nn.ModuleDict:
    """E and S: of the mask model, or as trained by a method that has an S ("s-source", "se" or "se+fd")."""
    return load_segmenter(CHECKPOINTS / f"{name}.safetensors")[0].eval()


def generators(method: str) -> Generators:
    """Both generators as trained by a translation: "cyclegan" or "se-cyclegan"."""
    return load_generators(CHECKPOINTS / f"{method}-translation.safetensors")[0]


def result(name: str) -> dict[str, Any]:
    """Stored results, data/results/NAME.json: measured once, with their seeds, versions, hardware and date."""
    return dict(read_json(RESULTS / f"{name}.json"))


def show(figure: Figure, caption: str) -> None:
    """Show a figure with a caption, which is also its alternative text for screen readers."""
    data = {"image/jpeg": picture(figure), "text/plain": caption}
    display(data, raw=True, metadata={"image/jpeg": {"alt": caption}})
    display(Markdown(f"*{caption}*"))


def picture(figure: Figure) -> bytes:
    """The figure as a JPEG (for photographs much smaller than a PNG); closes the figure."""
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", dpi=DPI, bbox_inches="tight", pad_inches=MARGIN, pil_kwargs=dict(JPEG))
    plt.close(figure)
    return file.getvalue()


def code(*objects: Any) -> None:
    """Show the source of functions, classes or methods of the package as it runs, without the docstring."""
    texts = [_without_docstring(textwrap.dedent(inspect.getsource(item))).rstrip() for item in objects]
    display(Markdown("```python\n" + "\n\n".join(texts) + "\n```"))


def _without_docstring(text: str) -> str:
    """The same source without the docstrings of the definition and of what it contains."""
    lines, left_out = text.splitlines(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            first, *others = node.body
            end = first.end_lineno or first.lineno
            while others and not lines[end].strip():  # the blank lines that follow it
                end += 1
            left_out |= set(range(first.lineno - 1, end)) if others else set()  # it may be all there is
    return "\n".join(line for number, line in enumerate(lines) if number not in left_out)
