"""The laboratory of notebook 08 as widgets: choose the settings, press Train, read the row that is added."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from sdcda_tutorial.errors import InputError, TrainingStopped
from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.demos import choice
from sdcda_tutorial.teaching.laboratory_run import DEFAULTS, FIGURES, MASKS, Run
from sdcda_tutorial.training.config import D_SEES

LAMBDAS = (0.0, 0.0001, 0.001, 0.01, 0.1, 1.0)
RATES = (1e-4, 2e-4, 5e-4, 1e-3, 5e-3)


class Form:
    """Widgets for the settings, a button, the progress, a line for messages, the table and the maps.

    Args:
        train: takes the settings and `report`; returns the run, and lines about it.
        figure: the maps of a run, where there are any.
        rows: the cells of the table, and lines about it.
    """

    def __init__(
        self,
        train: Callable[..., tuple[Run, list[str]]],
        figure: Callable[[Run], Figure | None],
        rows: Callable[[], tuple[list[list[str]], list[str]]],
    ) -> None:
        self._train, self._figure, self._rows = train, figure, rows
        self.inputs = {
            "lambda_s": choice("λs", _numbers(LAMBDAS), DEFAULTS.lambda_s),
            "lambda_t": choice("λt", _numbers(LAMBDAS), DEFAULTS.lambda_t),
            "lambda_d": choice("λd", _numbers(LAMBDAS), DEFAULTS.lambda_d),
            "masks": choice("masks", list(MASKS), DEFAULTS.masks),
            "D_sees": choice("D sees", list(D_SEES), DEFAULTS.D_sees),
            "learning_rate": choice("learning rate", _numbers(RATES), DEFAULTS.learning_rate),
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
            found, lines = self._train(report=self.report, **values)
            self.said.value = "<br>".join(html.escape(line) for line in [*lines, f"Done. {found!r}"])
            self.show_rows()
            figure = self._figure(found)
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
        rows, lines = self._rows()
        space = "style='padding: 0 14px; line-height: 1.6'"
        head = "".join(f"<th {space}>{title}</th>" for title in ["", *FIGURES.values()])
        body = "".join(f"<tr>{''.join(f'<td {space}>{_html(cell)}</td>' for cell in row)}</tr>" for row in rows)
        left_out = "".join(f"<br>{html.escape(line)}" for line in lines)
        self.rows.value = f"<table class='sdcda-table'><tr>{head}</tr>{body}</table>{left_out}"


def _html(cell: str) -> str:
    inner = html.escape(cell.replace("**", ""))
    return f"<b>{inner}</b>" if cell.startswith("**") else inner


def _numbers(values: Sequence[float]) -> list[tuple[str, float]]:
    return [(f"{value:g}", value) for value in values]
