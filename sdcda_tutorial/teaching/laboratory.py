"""The laboratory of notebook 08: change one setting of the method, train for half a minute, compare.

lab = Laboratory()
lab.run(lambda_t=0)   # trains, shows a table and three images, and returns the row
lab.ask("the MAE doubles", lambda_t=0)   # the same with a prediction beside it
lab.table()           # all runs that were made, also after the kernel was restarted
lab.form()            # the same as widgets

Every run starts from the same counter and takes the same batches, so two rows differ by their settings and by what
the arithmetic of the processor adds. A run that was made is kept: the same settings again only show it.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial import __version__, training
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation import evaluate
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.experiments.control_masks import write_control_masks
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.files import expanded, require_writable
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.places import MINI_WORLD
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching import answers, notebook
from sdcda_tutorial.teaching.laboratory_form import Form
from sdcda_tutorial.teaching.laboratory_run import DEFAULTS, FIGURES, Run, Settings, row
from sdcda_tutorial.training.checkpoints import load_counter, versions, weights_digest
from sdcda_tutorial.training.saving import read_log

FOLDER = Path("runs/laboratory")
WARM_START = "noadapt-early"
SHOWN = (5, 20, 37)  # test images whose maps are shown
RUN_FILES = ("config.json", "metrics.jsonl", "last.safetensors", "model.safetensors")  # of a training, in its folder
OTHER_WEIGHTS = f"it was made with other weights than {notebook.CHECKPOINTS} holds now"


Report = Callable[[int, int], None]  # steps done, steps in all


@dataclass
class Laboratory:
    """Trainings with one thing changed, and what is kept of them.

    Args:
        folder: where runs are kept.
        source, target, test: data; each by default the mini world's, half of the target images, a third of the tests.
        own: folder of the reader's kept functions.
        made: runs that this session made or showed again, the latest last.
    """

    folder: Path = FOLDER
    source: CrowdDataset | None = None
    target: CrowdDataset | None = None
    test: CrowdDataset | None = None
    own: Path = answers.FOLDER
    made: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder, self.own = expanded(self.folder), expanded(self.own)  # readers write them as strings

    def run(self, *, own: bool = False, again: bool = False, **changed: Any) -> Run:
        """Train with these changes, show the table and three images, and return the row.

        Args:
            own: train with the reader's kept functions in place of the package's.
            again: train even if a run with these settings is kept.
            changed: attributes of `Settings`.
        Raises:
            InputError: a setting does not exist or is out of range, or one of the reader's functions failed.
            TrainingStopped: a loss became NaN or infinite.
        """
        found, lines = self.train(own=own, again=again, **changed)
        self.show(found, lines)
        return found

    def ask(self, prediction: str, **changed: Any) -> Run | None:
        """As `run`, but only for a reader who has written down a prediction; the first one is kept with the run."""
        if not prediction.strip():
            print("… Write your prediction between the quotes, then run the cell again.")
            return None
        found, lines = self.train(**changed)
        first = found.about.get("prediction", prediction)
        if first != prediction:
            lines.append("You had seen this run before, so your first prediction stays with it.")
        found = replace(found, about={**found.about, "prediction": first})
        found.to_json(self.folder / f"{found.settings.key}.json")
        self.show(found, [*lines, f"Your prediction: {first}"])
        return found

    def show(self, run: Run, lines: Sequence[str] = ()) -> None:
        """Print the lines, then show the table of this session and three images of the run."""
        print(*lines, sep="\n", end="\n" if lines else "")
        display(Markdown(self.markdown(self.made)))
        figure = self.figure(run)
        if figure is not None:
            notebook.show(figure, self.caption(run))

    def train(
        self, *, own: bool = False, again: bool = False, report: Report | None = None, **changed: Any
    ) -> tuple[Run, list[str]]:
        """The run and lines about it: as `run`, without showing anything."""
        mine, lines = self._own(print_=False) if own else ({}, [])
        settings = _settings(changed, {name: _digest(answer.source) for name, answer in mine.items()})
        lines += settings.without_effect()
        path = self.folder / f"{settings.key}.json"
        with one_writer(self.folder):
            known, why = self._kept(path)
            if again or known is None or why is not None:
                lines += [] if why is None else [f"{path} is made again: {why}"]
                about: dict[str, Any] = {"start": _start(settings.lambda_t > 0)}
                if known is not None and "prediction" in known.about:
                    about["prediction"] = known.about["prediction"]
                found, said = self._train(settings, mine, again, report)
                found = replace(found, about={**found.about, **about})
                found.to_json(path)
                (self.folder / settings.key / "last.safetensors").unlink(missing_ok=True)  # only needed to go on
                lines += said
            else:
                found = known
                by = found.about.get("versions", {}).get("sdcda-tutorial", "?")
                made = f"on {found.about.get('date')}" + (f" by version {by}" if by != __version__ else "")
                lines.append(f"This run was made {made} and is shown again: {path}")
        others = [run for run in self.made if run.settings != settings and not _is_of_other_weights(run, _start)]
        self.made = [*others, found]
        return found, lines

    def mine(self) -> None:
        """Print which functions a run with `own=True` would take from the reader, and which from the package."""
        self._own(print_=True)

    def _own(self, print_: bool) -> tuple[dict[str, answers.Kept], list[str]]:
        mine, lines = answers.kept(self.own)
        for name in answers.REPLACEABLE:
            whose = f"yours, from exercise {mine[name].number}" if name in mine else "the package's"
            lines.append(f"{name:34} {whose}")
        if print_:
            print(*lines, sep="\n")
        elif not mine:
            raise InputError("no function of yours is kept yet; solve an exercise such as 4.1 or 8.1 first")
        return mine, lines

    def _kept(self, path: Path) -> tuple[Run | None, str | None]:
        """The run that is kept there, if it can be read, and why it has to be made again, and replaced."""
        if not path.exists():
            return None, None
        try:
            found = Run.from_json(path)
        except InputError as error:
            return None, str(error)
        if not self._is_of_these_data(found):
            raise InputError(f"{path} is a run on other data; keep these in a folder of their own: Laboratory(folder)")
        return found, OTHER_WEIGHTS if _is_of_other_weights(found, _start) else None

    def _is_of_these_data(self, run: Run) -> bool:
        """Whether a run was made and measured on these data, as far as its file says."""
        return bool(run.about.get("data", ours := self._what_data()) == ours)

    def _what_data(self) -> Any:
        if self.source is self.target is self.test is None:
            return MINI_WORLD
        return [data.describe() for data in self.data]

    def _train(
        self, settings: Settings, mine: dict[str, answers.Kept], again: bool, report: Report | None
    ) -> tuple[Run, list[str]]:
        folder, lines = self.folder / settings.key, []
        source, target, _ = self.data
        options: dict[str, Any] = {
            "pseudo_masks": self.masks(settings.masks) if settings.lambda_t > 0 else None,
            "init": notebook.CHECKPOINTS / f"{WARM_START}.safetensors", "description": str(settings), "report": report,
        }  # fmt: skip
        adapt = partial(training.adapt, source, target, settings.config(), folder, resume=True, **options)
        began, model = time.perf_counter(), None
        with one_writer(folder), answers.in_place_of_the_package(mine) as calls:
            if (folder / "last.safetensors").exists() and not again:
                try:
                    model = adapt()
                    lines.append("An interrupted run with these settings goes on where it was saved.")
                except InputError as error:
                    lines.append(f"What an earlier run left cannot be used, so this one starts anew ({error})")
            if model is None:
                with _earlier_run_aside(folder):
                    model = adapt()
            seconds = time.perf_counter() - began
            found = self.measure(settings, model, seconds)
        lines += [f"called {times} {'time' if times == 1 else 'times'}: your {name}" for name, times in calls.items()]
        return found, lines

    def measure(self, settings: Settings, model: Path, seconds: float = 0.0) -> Run:
        """The row of a model that was trained with these settings."""
        results = evaluate(load_counter(model)[0], self.data[2], kernel=MINI.adaptation.kernel, progress=False)
        about = {"date": datetime.date.today().isoformat(), "images": len(results.rows), "versions": versions()}
        about["data"] = self._what_data()
        figures = {name: round(float(getattr(results, name)), 4) for name in FIGURES}
        return Run(settings, **figures, seconds=round(seconds, 1), about=about)

    @cached_property
    def data(self) -> tuple[CrowdDataset, CrowdDataset, CrowdDataset]:
        """Source, target and test images."""
        if self.source is not None and self.target is not None and self.test is not None:
            return self.source, self.target, self.test  # without a mini world
        world = notebook.world()
        ours = world.source, world.target.subset(range(0, 200, 2)), world.target_test.subset(range(0, 150, 3))
        source, target, test = (
            own if given is None else given
            for given, own in zip((self.source, self.target, self.test), ours, strict=True)
        )
        return source, target, test

    def masks(self, kind: str) -> Path:
        """Folder of the pseudo-masks of this kind; they are written once."""
        _, target, _ = self.data
        model = notebook.CHECKPOINTS / "segmenter.safetensors"
        folder = self.folder / "masks" / weights_digest(model)  # those of another mask model lie beside it
        predicted = training.write_pseudo_masks(model, target, folder / "predicted")
        return predicted if kind == "predicted" else write_control_masks(kind, target, predicted, folder / kind)

    def runs(self) -> tuple[list[Run], list[str]]:
        """All kept runs, the oldest first, and a line for each file that is not one."""
        found, lines, start = [], [], cache(_start)  # read once for all rows
        for path in sorted(self.folder.glob("*.json"), key=lambda path: (path.stat().st_mtime, path.name)):
            try:
                run = Run.from_json(path)
                if not self._is_of_these_data(run):
                    raise InputError("it is a run on other data")
                if _is_of_other_weights(run, start):
                    raise InputError(OTHER_WEIGHTS)
                found.append(run)
            except InputError as error:
                lines.append(f"{path} is left out: {error}")
        return found, lines

    def table(self) -> None:
        """Show all kept runs."""
        found, lines = self.runs()
        print(*lines, sep="\n", end="\n" if lines else "")
        display(Markdown(self.markdown(found)))

    def markdown(self, runs: Iterable[Run]) -> str:
        """The stored figures, and these runs below them, as a Markdown table."""
        return markdown_table(["", *FIGURES.values()], _stored_rows() + [run.row for run in runs], aligned=False)

    def log(self, run: Run) -> list[dict[str, float]]:
        """Losses of a run, one line for every tenth step; an InputError where its folder is gone."""
        return read_log(self.folder / run.settings.key / "metrics.jsonl")

    def figure(self, run: Run) -> Figure | None:
        """Three test images: true map, map of the warm start, map of the run; None where its model is gone."""
        model = self.folder / run.settings.key / "model.safetensors"
        if not model.exists():
            return None
        test = self.data[2]
        samples = [test[index % len(test)] for index in SHOWN]
        counters = {"warm start": notebook.counter(WARM_START), "this run": load_counter(model)[0]}
        maps = {title: [predict_density(c, sample.image) for sample in samples] for title, c in counters.items()}
        return render_maps(samples, maps)

    def caption(self, run: Run) -> str:
        scales = "each row has its own colour scale"
        return f"Three test images of the target; each count is the sum of its map, {scales}. This run: {run.settings}."

    def form(self) -> ipywidgets.VBox:
        """The laboratory as widgets: choose, press Train, read the row that is added."""
        return Form(self.train, self.figure, self.rows).box

    def rows(self) -> tuple[list[list[str]], list[str]]:
        """The cells of the table, with all kept runs, and a line for each file that is not one."""
        found, lines = self.runs()
        return _stored_rows() + [run.row for run in found], lines


def render_maps(samples: Sequence[Sample], maps: dict[str, list[Tensor]]) -> Figure:
    """A row per sample: image, true map, predicted maps by title. The maps of a row share its colour bar."""
    kernel = MINI.adaptation.kernel
    figure, axes = plt.subplots(len(samples), 2 + len(maps), figsize=(10, 2.1 * len(samples)), layout="constrained")
    for place, (line, sample) in enumerate(zip(axes, samples, strict=True)):
        truth = kernel.draw(sample)
        drawn = {"ground truth": (truth, f"{sample.count} people")}
        drawn |= {title: (of[place], f"{float(of[place].sum()):.1f} people") for title, of in maps.items()}
        show_pixels(line[0], sample.image, "image" if place == 0 else "")
        brightest = max(float(truth.max()), 1e-6)
        for axis, (title, (density, count)) in zip(line[1:], drawn.items(), strict=True):
            shown = show_pixels(axis, density, f"{title}\n{count}" if place == 0 else count, brightest)
        figure.colorbar(shown, ax=list(line[1:]), label="people per pixel", shrink=0.9, pad=0.01, extend="max")
    return figure


def _stored_rows() -> list[list[str]]:
    """What was measured before: five seeds of the full training, and the start of every run here."""
    summary, rows = notebook.result("mini_world")["summary"], []
    for method, title in {"noadapt": "NoAdapt", "fd": "FD", "se": "SE", "se+fd": "SE+FD"}.items():
        of = summary[f"{method} / target"]
        sign = {"crowd": "+"}
        values = [f"{of[name]['mean']:{sign.get(name, '')}.1f} ± {of[name]['sd']:.1f}" for name in FIGURES]
        rows.append([f"{title}, five seeds, full training", *values])
    if (notebook.RESULTS / "laboratory.json").exists():
        start = notebook.result("laboratory")["start"]
        rows.append(row("Warm start, no step yet", start))
    return rows


def _settings(changed: dict[str, Any], own: dict[str, str]) -> Settings:
    known = [name for name in asdict(DEFAULTS) if name != "own"]
    unknown = [name for name in changed if name not in known]
    if unknown:
        raise InputError(f"there is no setting {unknown[0]}; known are {', '.join(known)}")
    return Settings(**changed, own=own)


def _start(masks: bool) -> dict[str, str]:
    """Digests of the weights that runs start from and, with the masks of a mask model, of that."""
    names = [WARM_START, "segmenter"] if masks else [WARM_START]
    return {name: weights_digest(notebook.CHECKPOINTS / f"{name}.safetensors") for name in names}


def _is_of_other_weights(run: Run, start: Callable[[bool], dict[str, str]]) -> bool:
    """Whether a run was made with other weights than there are now, as far as its file says."""
    return "start" in run.about and bool(run.about["start"] != start(run.settings.lambda_t > 0))


@contextmanager
def _earlier_run_aside(folder: Path) -> Iterator[None]:
    """What an earlier training left in `folder` makes room in this block, and is back after an InputError."""
    require_writable(folder)
    with TemporaryDirectory(prefix=".earlier-", dir=folder) as aside:
        _move_run(folder, Path(aside))
        try:
            yield
        except InputError:
            if os.listdir(aside):
                _move_run(Path(aside), folder)
            raise


def _move_run(here: Path, there: Path) -> None:
    for name in RUN_FILES:  # only these: a reader may keep files of their own beside them
        (there / name).unlink(missing_ok=True)
        if (here / name).exists():
            os.replace(here / name, there / name)


def _digest(source: str) -> str:
    """Of a kept answer, without its first line, which holds a date."""
    return hashlib.sha256(source.partition("\n")[2].encode()).hexdigest()[:12]
