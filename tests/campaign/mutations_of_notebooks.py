"""Break the package in many small ways, one at a time: do the notebooks notice?

    python tests/campaign/mutations_of_notebooks.py                  # all mutations, two at a time
    python tests/campaign/mutations_of_notebooks.py mean detach      # those whose names hold one of the words

Each mutation is made in a copy of the project, where nbval runs the notebooks that should notice. A cell that shows the
source of the package differs whatever was changed, so it does not count. Before that, the same notebooks are run
unchanged; a cell that fails then does not count either. Exit code 1 if a mutation escapes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOWS_SOURCE = re.compile(r"\bnotebook\.code\(|^code\(", flags=re.M)


@dataclass(frozen=True)
class Mutation:
    """`old` stands once in sdcda_tutorial/`file`; `notebooks` are the numbers of those that should notice."""

    name: str
    file: str
    old: str
    new: str
    notebooks: tuple[str, ...]

    def apply(self, project: Path) -> None:
        """Raises ValueError if the package says something else by now."""
        path = project / "sdcda_tutorial" / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.file} holds {text.count(self.old)} times {self.old!r}, not once")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


MUTATIONS = [
    Mutation("Gaussian 2 % too wide", "density.py", "(1 / sigma)", "(1 / (1.02 * sigma))", ("01",)),
    Mutation("adaptive kernel: 2 neighbours", "density.py", "NEIGHBOURS = 3", "NEIGHBOURS = 2", ("01",)),
    Mutation(
        "kernels one pixel to the right", "density.py",
        "np.repeat(first - row_starts[:-1], taps)\n", "np.repeat(first - row_starts[:-1] + 1, taps)\n", ("01",),
    ),
    Mutation("boxes one pixel too wide", "masks.py", "np.ceil(boxes[:, 2])", "np.ceil(boxes[:, 2]) + 1", ("02",)),
    Mutation("mask threshold 0.6", "masks.py", "(probability) > threshold", "(probability) > threshold + 0.1", ("02",)),
    Mutation("ImageNet's mean off by 0.01", "networks.py", "(0.485, 0.456, 0.406)", "(0.495, 0.466, 0.416)", ("03",)),
    Mutation(
        "channels in the order BGR", "networks.py",
        ".permute(0, 3, 1, 2)", ".permute(0, 3, 1, 2).flip(1)", ("03", "04"),
    ),
    Mutation("Eq. 6 without the half", "losses.py", "0.5 * (pred - truth)", "(pred - truth)", ("04",)),
    Mutation(
        "nearest up-sampling in C", "networks.py",
        'nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)', 'nn.Upsample(scale_factor=2)', ("04",),
    ),
    Mutation("counts times the label factor", "networks.py", ".float() / self.label_factor", ".float()", ("04",)),
    Mutation(
        "batch norm in training mode", "folding.py",
        "            module.training = False", "            pass\n        network.train()", ("04", "09"),
    ),
    Mutation("pyramid with a 4 × 4 grid", "networks.py", "= (1, 2, 3, 6)", "= (1, 2, 4, 6)", ("05",)),
    Mutation(
        "Eq. 7 with crowd and background swapped", "losses.py",
        "_with_logits(logits, mask.to(logits.dtype))", "_with_logits(logits, 1 - mask.to(logits.dtype))", ("05",),
    ),
    Mutation("Eq. 8 upside down", "losses.py", "prob * (1 - mask) + mask", "prob * mask + (1 - mask)", ("06",)),
    Mutation(
        "Eq. 9 on the crowd", "losses.py",
        "((1 - pseudo_mask) * F.softplus(logits))", "(pseudo_mask * F.softplus(logits))", ("06", "08"),
    ),
    Mutation(
        "D's labels swapped", "losses.py",
        "(F.softplus(-source_logits).mean() + F.softplus(target_logits).mean())",
        "(F.softplus(source_logits).mean() + F.softplus(-target_logits).mean())", ("07",),
    ),
    Mutation(
        "Eq. 10 for the other domain", "losses.py",
        "return F.softplus(-target_logits)", "return F.softplus(target_logits)", ("07",),
    ),
    Mutation("detach forgotten", "adaptation.py", "self.D(f.detach())", "self.D(f)", ("08", "07")),
    Mutation(
        "D not fixed while E learns", "adaptation.py",
        "free.requires_grad_(False)", "free.requires_grad_(True)", ("08", "07"),
    ),
    Mutation("λt ignored", "losses.py", "weights.seg_target * seg_target", "0 * seg_target", ("08",)),
    Mutation("MSE without the root", "metrics.py", "float(np.sqrt(np.square(", "float((np.square(", ("09",)),
    Mutation("SSIM with twice the range", "metrics.py", "data_range=1.0", "data_range=2.0", ("09",)),
    Mutation("PSNR without the square", "metrics.py", "log10(peak * peak / error)", "log10(peak / error)", ("09",)),
    Mutation("background counts the crowd, too", "metrics.py", "(truth == 0, pred,", "(truth >= 0, pred,", ("09",)),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("words", nargs="*", help="only mutations whose names hold one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks run at the same time (default 2)")
    parser.add_argument("--minutes", type=float, default=30, help="no mutation is begun after that (default 30)")
    asked = parser.parse_args()
    words = [word.lower() for word in asked.words]
    chosen = [m for m in MUTATIONS if not words or any(word in m.name.lower() for word in words)]
    if not chosen:
        sys.exit(f"no mutation of that name; known are: {', '.join(m.name for m in MUTATIONS)}")
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder, ThreadPoolExecutor(asked.jobs) as pool:
        numbers = sorted({number for mutation in chosen for number in mutation.notebooks})
        untouched = copy_of_project(Path(folder) / "untouched")
        lost = dict(zip(numbers, pool.map(lambda number: failing_cells(untouched, number), numbers), strict=True))
        for number, cells in lost.items():
            if cells:
                print(f"notebook {number} fails without any mutation, in cells {', '.join(map(str, sorted(cells)))}")
        jobs = [pool.submit(try_out, mutation, Path(folder), lost, end) for mutation in chosen]
        caught = []
        for mutation, job in zip(chosen, jobs, strict=True):
            said = job.result()
            caught.append(said.startswith("caught"))
            print(f"{mutation.name:40} {said}", flush=True)
    print(f"{sum(caught)} of {len(chosen)} mutations are caught by the notebooks")
    sys.exit(not all(caught))


def copy_of_project(folder: Path) -> Path:
    """What git tracks or would track, as it is now; the mini world is linked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if (ROOT / "data" / "mini").is_dir():
        (folder / "data" / "mini").symlink_to((ROOT / "data" / "mini").resolve())
    return folder


def try_out(mutation: Mutation, folder: Path, lost: dict[str, set[int]], end: float) -> str:
    """Make a mutation in a copy and say which notebook notices: "caught ..." or something else."""
    if time.monotonic() > end:
        return "not tried: the time is up"
    project = copy_of_project(folder / re.sub(r"\W+", "-", mutation.name))
    mutation.apply(project)
    shown = []
    try:
        for number in mutation.notebooks:
            failing = failing_cells(project, number) - lost[number]
            sources = code_cells(project, number)
            noticed = sorted(cell for cell in failing if not SHOWS_SOURCE.search(sources[cell]))
            if noticed:
                return f"caught by {number}, in cells {', '.join(map(str, noticed))} of {len(sources)}"
            shown += [f"{number}, cell {cell}" for cell in sorted(failing)]
    finally:
        shutil.rmtree(project)
    return f"ESCAPED notebook {' and '.join(mutation.notebooks)}" + (
        f" (source shown in {'; '.join(shown)})" if shown else ""
    )


def notebook_of(project: Path, number: str) -> Path:
    (path,) = (project / "notebooks").glob(f"{number}_*.ipynb")
    return path


def code_cells(project: Path, number: str) -> list[str]:
    """Sources of the code cells, numbered as nbval does."""
    cells = json.loads(notebook_of(project, number).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def failing_cells(project: Path, number: str, limit: float = 900) -> set[int]:
    """Run one notebook as `make test` does; the numbers of the code cells that fail, all where it takes too long."""
    name = notebook_of(project, number).name
    try:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "--nbval",
                "--nbval-cell-timeout=240", f"notebooks/{name}",
            ],
            cwd=project, capture_output=True, text=True, timeout=limit,
            env={
                **os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1", "SDCDA_TIME_SLACK": "1000",
                "OMP_NUM_THREADS": "1",
            },
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return set(range(len(code_cells(project, number))))
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest cannot run {name}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    found = re.findall(rf"^(?:FAILED|ERROR) notebooks/{re.escape(name)}::Cell (\d+)", done.stdout, flags=re.M)
    return {int(cell) for cell in found}


if __name__ == "__main__":
    main()
