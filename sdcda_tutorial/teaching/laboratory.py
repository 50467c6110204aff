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
import html
import json
import math
import numbers
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial import training
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.evaluation import evaluate
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.experiments.control_masks import write_control_masks
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.files import read_object, write_json
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching import answers, notebook
from sdcda_tutorial.training import loop
from sdcda_tutorial.training.checkpoints import load_counter, versions
from sdcda_tutorial.training.config import D_SEES, AdaptationConfig
from sdcda_tutorial.training.saving import read_log

FOLDER = Path("runs/laboratory")
WARM_START = "noadapt-early"
MASKS = ("predicted", "perfect", "shuffled", "none")
FIGURES = {"mae": "MAE", "background": "background error", "crowd": "crowd error"}
SHOWN = (5, 20, 37)  # test images whose maps are shown
SAVE_EVERY = 20  # steps, so that an interrupted run loses little
AVERAGE = 0.95  # the running mean spans about 20 steps; the preset's 50 would be most of so short a run


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Settings:
    """What a run can change. The defaults are SE+FD as in the mini preset, with fewer steps.

    Attributes:
        lambda_s, lambda_t, lambda_d: the weights of Eq. 5; zero switches a part off.
        masks: pseudo-masks of the target: "predicted" by the mask model; "perfect" around the true heads, which reads
            labels that no method may read; "shuffled", those of other images; "none", which calls everything
            background.
        D_sees: what the discriminator looks at: "features" as in the paper, the "mask" or the "density".
        learning_rate: of E, C and S.
        seed: of the batches and of everything random in a step.
        own: the reader's functions by what they replace, as digests of their source.
    Raises:
        InputError: a setting is out of range.
    """

    lambda_s: float = MINI.adaptation.weights.seg_source
    lambda_t: float = MINI.adaptation.weights.seg_target
    lambda_d: float = MINI.adaptation.weights.adversarial
    masks: str = "predicted"
    D_sees: str = "features"
    learning_rate: float = MINI.adaptation.learning_rate
    seed: int = 0
    steps: int = 80
    own: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("lambda_s", "lambda_t", "lambda_d", "learning_rate"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < math.inf:
                raise InputError(f"{name} is a number from 0 up, not {value!r}")
            object.__setattr__(self, name, float(value))
        if not 0 < self.learning_rate <= 1:
            raise InputError(f"learning_rate is above 0 and at most 1, not {self.learning_rate:g}")
        for name, low, high in (("seed", 0, 10**6), ("steps", 1, 1000)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"{name} is a whole number from {low} to {high}, not {value!r}")
        for name, known in (("masks", MASKS), ("D_sees", D_SEES)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        self.config()

    def config(self) -> AdaptationConfig:
        """The settings of the training: the mini preset with these changes, and the last step's running mean."""
        return replace(
            MINI.adaptation,
            weights=LossWeights(self.lambda_s, self.lambda_t, self.lambda_d),
            discriminator_sees=self.D_sees, learning_rate=self.learning_rate, seed=self.seed, steps=self.steps,
            average=AVERAGE, holdout=0.0, validate_every=SAVE_EVERY,
        )  # fmt: skip

    @property
    def key(self) -> str:
        """Name of the run's files: a digest of the settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """What differs from the defaults: "λt = 0, masks = shuffled"."""
        symbols = {"lambda_s": "λs", "lambda_t": "λt", "lambda_d": "λd", "learning_rate": "learning rate"}
        changed = []
        for name, value in asdict(self).items():
            if name == "own":
                changed += [f"own functions ({len(value)})"] if value else []
            elif value != getattr(DEFAULTS, name):
                changed.append(f"{symbols.get(name, name)} = {value if isinstance(value, str) else f'{value:g}'}")
        return ", ".join(changed) or "SE+FD, nothing changed"

    def without_effect(self) -> list[str]:
        """A line for each setting that these others leave without effect."""
        lines = []
        if self.masks != DEFAULTS.masks and self.lambda_t == 0:
            lines.append("The masks have no effect here: only the loss with λt reads them.")
        if self.D_sees != DEFAULTS.D_sees and self.lambda_d == 0:
            lines.append("What D sees has no effect here: with λd = 0 there is no D.")
        return lines


DEFAULTS = Settings()


@dataclass(frozen=True)
class Run:
    """One training of the laboratory, measured on test images of the target.

    Attributes:
        mae, background, crowd: errors in people per image, as in `evaluation.Results`.
        seconds: that the training took.
        about: date, versions.
    """

    settings: Settings
    mae: float
    background: float
    crowd: float
    seconds: float
    about: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"{self.settings}: MAE {self.mae:.1f}, background error {self.background:.1f}, "
            f"crowd error {self.crowd:+.1f} people per image"
        )

    def to_json(self, path: Path) -> None:
        figures = {name: getattr(self, name) for name in FIGURES}
        write_json(path, {"settings": asdict(self.settings), "figures": figures, "seconds": self.seconds, **self.about})

    @classmethod
    def from_json(cls, path: Path) -> Run:
        """Read what `to_json` wrote; an InputError for anything else."""
        stored = read_object(path)
        try:
            settings = Settings(**stored["settings"])
            figures = {name: float(stored["figures"][name]) for name in FIGURES}
            about = {key: value for key, value in stored.items() if key not in ("settings", "figures", "seconds")}
            run = cls(settings, **figures, seconds=float(stored["seconds"]), about=about)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"it is no run of the laboratory: {type(error).__name__} {error}") from None
        if not all(math.isfinite(value) for value in figures.values()) or settings.key != path.stem:
            raise InputError("its figures or its name do not belong to its settings")
        return run


Report = Callable[[int, int], None]  # steps done, steps in all


@dataclass
class Laboratory:
    """Trainings with one thing changed, and what is kept of them.

    Args:
        folder: where runs are kept.
        source, target, test: data; by default the mini world, half of its target images, a third of the test images.
        own: folder of the reader's kept functions.
        made: runs that this session made or showed again, the latest last.
    """

    folder: Path = FOLDER
    source: CrowdDataset | None = None
    target: CrowdDataset | None = None
    test: CrowdDataset | None = None
    own: Path = answers.FOLDER
    made: list[Run] = field(default_factory=list)

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
        """As `run`, but only for a reader who has written down a prediction, which is kept with the run."""
        if not prediction.strip():
            print("… Write your prediction between the quotes, then run the cell again.")
            return None
        found, lines = self.train(**changed)
        found = replace(found, about={**found.about, "prediction": prediction})
        found.to_json(self.folder / f"{found.settings.key}.json")
        self.show(found, [*lines, f"Your prediction: {prediction}"])
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
            found = None if again else self._kept(path)
            if found is None:
                found, said = self._train(settings, mine, again, report)
                found.to_json(path)
                lines += said
            else:
                lines.append(f"This run was made on {found.about.get('date')} and is shown again: {path}")
        self.made = [run for run in self.made if run.settings != settings] + [found]
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
            raise InputError("no function of yours is kept yet; solve an exercise such as 4.2 or 8.1 first")
        return mine, lines

    def _kept(self, path: Path) -> Run | None:
        try:
            return Run.from_json(path) if path.exists() else None
        except InputError:  # it is made again, and then replaced
            return None

    def _train(
        self, settings: Settings, mine: dict[str, answers.Kept], again: bool, report: Report | None
    ) -> tuple[Run, list[str]]:
        folder, lines = self.folder / settings.key, []
        if again:
            shutil.rmtree(folder, ignore_errors=True)
        if (folder / "last.safetensors").exists():
            lines.append("An interrupted run with these settings goes on where it was saved.")
        source, target, _ = self.data
        options: dict[str, Any] = {
            "pseudo_masks": self.masks(settings.masks) if settings.lambda_t > 0 else None,
            "init": notebook.CHECKPOINTS / f"{WARM_START}.safetensors", "description": str(settings),
        }  # fmt: skip
        began = time.perf_counter()
        with answers.in_place_of_the_package(mine) as calls, _reporting(report):
            try:
                model = training.adapt(source, target, settings.config(), folder, resume=True, **options)
            except InputError as error:
                if not folder.exists() or mine:
                    raise
                lines.append(f"What an earlier run left cannot be used, so this one starts anew ({error})")
                shutil.rmtree(folder)
                model = training.adapt(source, target, settings.config(), folder, **options)
            seconds = time.perf_counter() - began
            found = self.measure(settings, model, seconds)
        lines += [f"called {times} {'time' if times == 1 else 'times'}: your {name}" for name, times in calls.items()]
        (folder / "last.safetensors").unlink(missing_ok=True)  # only needed to go on
        return found, lines

    def measure(self, settings: Settings, model: Path, seconds: float = 0.0) -> Run:
        """The row of a model that was trained with these settings."""
        results = evaluate(load_counter(model)[0], self.data[2], kernel=MINI.adaptation.kernel, progress=False)
        about = {"date": datetime.date.today().isoformat(), "images": len(results.rows), "versions": versions()}
        figures = {name: round(getattr(results, name), 4) for name in FIGURES}
        return Run(settings, **figures, seconds=round(seconds, 1), about=about)

    @cached_property
    def data(self) -> tuple[CrowdDataset, CrowdDataset, CrowdDataset]:
        """Source, target and test images."""
        if self.source is not None and self.target is not None and self.test is not None:
            return self.source, self.target, self.test
        world = notebook.world()
        return world.source, world.target.subset(range(0, 200, 2)), world.target_test.subset(range(0, 150, 3))

    def masks(self, kind: str) -> Path:
        """Folder of the pseudo-masks of this kind; they are written once."""
        _, target, _ = self.data
        folder = self.folder / "masks"
        model = notebook.CHECKPOINTS / "segmenter.safetensors"
        predicted = training.write_pseudo_masks(model, target, folder / "predicted")
        return predicted if kind == "predicted" else write_control_masks(kind, target, predicted, folder / kind)

    def runs(self) -> tuple[list[Run], list[str]]:
        """All kept runs, the oldest first, and a line for each file that is not one."""
        found, lines = [], []
        for path in sorted(self.folder.glob("*.json"), key=lambda path: (path.stat().st_mtime, path.name)):
            try:
                found.append(Run.from_json(path))
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
        return markdown_table(["", *FIGURES.values()], _stored_rows() + [_cells(run) for run in runs], aligned=False)

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
        return f"Three test images of the target; each count is the sum of its map. This run: {run.settings}."

    def form(self) -> ipywidgets.VBox:
        """The laboratory as widgets: choose, press Train, read the row that is added."""
        return _Form(self).box


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
        rows.append(["**Warm start, no step yet**", *_figures(start)])
    return rows


def _cells(run: Run) -> list[str]:
    return [f"**{run.settings}**", *_figures({name: getattr(run, name) for name in FIGURES})]


def _figures(of: dict[str, float]) -> list[str]:
    return [f"{of['mae']:.1f}", f"{of['background']:.1f}", f"{of['crowd']:+.1f}"]


def _settings(changed: dict[str, Any], own: dict[str, str]) -> Settings:
    known = [name for name in asdict(DEFAULTS) if name != "own"]
    unknown = [name for name in changed if name not in known]
    if unknown:
        raise InputError(f"there is no setting {unknown[0]}; known are {', '.join(known)}")
    return Settings(**changed, own=own)


def _digest(source: str) -> str:
    """Of a kept answer, without its first line, which holds a date."""
    return hashlib.sha256(source.partition("\n")[2].encode()).hexdigest()[:12]


@contextmanager
def _reporting(report: Report | None) -> Iterator[None]:
    """Report the steps of a training in this block instead of drawing its progress bar."""
    if report is None:
        yield
        return
    tell: Report = report

    class Bar:
        def __init__(self, steps: range, *, initial: int = 0, total: int = 0, **_: Any) -> None:
            self.steps, self.initial, self.total = steps, initial, total

        def __iter__(self) -> Iterator[int]:
            tell(self.initial, self.total)
            for step in self.steps:
                yield step
                tell(step + 1, self.total)

        def set_postfix(self, *_: Any, **__: Any) -> None:
            pass

    with patch.object(loop, "tqdm", Bar):
        yield


# The form ------------------------------------------------------------------------------------------------------------

LAMBDAS = (0.0, 0.0001, 0.001, 0.01, 0.1, 1.0)
RATES = (1e-4, 2e-4, 5e-4, 1e-3, 5e-3)


class _Form:
    """Widgets for the settings, a button, the progress, a line for messages, the table and the maps."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.inputs = {
            "lambda_s": _choice("λs", LAMBDAS, DEFAULTS.lambda_s),
            "lambda_t": _choice("λt", LAMBDAS, DEFAULTS.lambda_t),
            "lambda_d": _choice("λd", LAMBDAS, DEFAULTS.lambda_d),
            "masks": _choice("masks", MASKS, DEFAULTS.masks),
            "D_sees": _choice("D sees", D_SEES, DEFAULTS.D_sees),
            "learning_rate": _choice("learning rate", RATES, DEFAULTS.learning_rate),
            "seed": ipywidgets.BoundedIntText(value=DEFAULTS.seed, min=0, max=10**6, description="seed"),
            "steps": ipywidgets.BoundedIntText(value=DEFAULTS.steps, min=1, max=1000, description="steps"),
            "own": ipywidgets.Checkbox(value=False, description="my own functions", indent=False),
        }
        for control in self.inputs.values():
            control.style.description_width = "95px"
            control.layout.width = "240px"
        self.button = ipywidgets.Button(description="Train", button_style="primary", tooltip="Train with these")
        self.button.on_click(self.train)
        self.progress = ipywidgets.IntProgress(min=0, max=DEFAULTS.steps, layout={"width": "300px"})
        self.said = ipywidgets.HTML().add_class("sdcda-said")
        self.rows = ipywidgets.HTML().add_class("sdcda-rows")
        self.image = ipywidgets.Image(format="jpeg", layout={"max_width": "100%"})
        self.maps = ipywidgets.VBox()  # empty until there is a picture: an image without one shows as broken
        controls = list(self.inputs.values())
        lines = [ipywidgets.HBox(controls[at : at + 3], layout={"flex_flow": "row wrap"}) for at in (0, 3, 6)]
        self.box = ipywidgets.VBox(
            [*lines, ipywidgets.HBox([self.button, self.progress]), self.said, self.rows, self.maps]
        ).add_class("sdcda-laboratory")  # by which the tests find it
        self.show_rows()

    def train(self, _: Any = None) -> None:
        """Train with what is chosen; every error ends in one line, since one in a callback would end in a log."""
        self.button.disabled, self.said.value = True, "Training. The first run also writes the pseudo-masks."
        try:
            values = {name: control.value for name, control in self.inputs.items()}
            found, lines = self.lab.train(report=self.report, **values)
            self.said.value = "<br>".join(html.escape(line) for line in [*lines, f"Done. {found!r}"])
            self.show_rows()
            figure = self.lab.figure(found)
            if figure is not None:
                self.image.value = notebook.picture(figure)
                self.maps.children = (self.image,)
        except KeyboardInterrupt:
            self.said.value = "Interrupted. Press Train again: the run goes on from the step that was saved last."
        except (InputError, TrainingStopped) as error:
            self.said.value = html.escape(str(error))
        except Exception as error:
            self.said.value = html.escape(f"{type(error).__name__}: {error}")
        finally:
            self.button.disabled = False

    def report(self, done: int, total: int) -> None:
        self.progress.max, self.progress.value = total, done

    def show_rows(self) -> None:
        """All kept runs, also those of another session."""
        found, lines = self.lab.runs()
        rows = _stored_rows() + [_cells(run) for run in found]
        space = "style='padding: 0 14px; line-height: 1.6'"
        head = "".join(f"<th {space}>{title}</th>" for title in ["", *FIGURES.values()])
        body = "".join(f"<tr>{''.join(f'<td {space}>{_html(cell)}</td>' for cell in row)}</tr>" for row in rows)
        left_out = "".join(f"<br>{html.escape(line)}" for line in lines)
        self.rows.value = f"<table class='sdcda-table'><tr>{head}</tr>{body}</table>{left_out}"


def _html(cell: str) -> str:
    inner = html.escape(cell.replace("**", ""))
    return f"<b>{inner}</b>" if cell.startswith("**") else inner


def _choice(label: str, options: Sequence[Any], value: Any) -> ipywidgets.Dropdown:
    pairs = [(option if isinstance(option, str) else f"{option:g}", option) for option in options]
    return ipywidgets.Dropdown(options=pairs, value=value, description=label)
