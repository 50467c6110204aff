"""The interactive demos: a pure `render_…` function draws a figure, and the demo itself puts controls above it.

`scene` is always the index of an image; `method` is a key of the mapping of networks or logs, else the name of a stored
model (see `notebook.counter`). Images are (H, W, 3) uint8, networks are in evaluation mode.
"""

import html
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import ipywidgets
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching import notebook

counter = cache(notebook.counter)  # the demos use the same ones again and again, and never train them


@lru_cache(maxsize=256)  # a map of the mini world takes 200 kB; networks and data sets are compared by identity
def predicted(counter: nn.Module, dataset: CrowdDataset, scene: int) -> Tensor:
    """The (H, W) density map of an image, cached because the forward pass is slow."""
    return predict_density(counter, dataset[scene].image)


def explore(
    render: Callable[..., Figure], controls: dict[str, ipywidgets.Widget], fixed: dict[str, Any] | None = None
) -> ipywidgets.VBox:
    """Controls by argument name above the figure that `render(**values, **fixed)` draws, redrawn at every move.

    The figure is an image widget, not an output area: it works alike in JupyterLab, in Colab and beside other demos.
    """
    image = ipywidgets.Image(format="jpeg", layout={"max_width": "100%"})
    problem = ipywidgets.HTML().add_class("sdcda-problem")  # by which the tests find it in the page

    def draw(*_: Any) -> None:
        try:
            values = {name: control.value for name, control in controls.items()}
            image.value = notebook.picture(render(**values, **(fixed or {})))
            problem.value = ""
        except Exception as error:  # an exception in a callback would end in a log
            kind = "" if isinstance(error, InputError) else f"<b>{type(error).__name__}</b>: "
            problem.value = kind + html.escape(str(error))

    for control in controls.values():
        if control.style.has_trait("description_width"):  # a button has no description beside it
            control.style.description_width = "initial"
        control.observe(draw, "value")
    draw()
    return ipywidgets.VBox([*controls.values(), image, problem])


def slider(description: str, value: float, low: float, high: float, step: float) -> ipywidgets.Widget:
    """A slider that redraws when it is let go, so that slow pictures do not queue up."""
    whole = all(float(v).is_integer() for v in (value, low, high, step))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    look = {"description": description, "layout": {"width": "420px"}, "continuous_update": False}
    return kind(value=value, min=low, max=high, step=step, **look)


def choice(description: str, options: list[Any], value: Any = None) -> ipywidgets.Widget:
    """A drop-down list that starts with `value`, by default its first option."""
    return ipywidgets.Dropdown(options=options, value=options[0] if value is None else value, description=description)
