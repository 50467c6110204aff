"""The interactive demos: a pure `render_…` function draws a figure, and the demo itself puts controls above it.

`scene` is always the index of an image; `method` is a key of the mapping of networks or logs, else the name of a stored
model (see `notebook.counter`). Images are (H, W, 3) uint8, networks are in evaluation mode.
"""

import html
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import ipywidgets
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.prediction import predict_density
from sdcda_tutorial.teaching import notebook
from sdcda_tutorial.teaching.demos.redrawing import Latest, Redrawing

TRACK = 340  # pixels of a slider and its number, without the label

# Gives the handles of sliders a name for screen readers, now and whenever one is drawn: ipywidgets only writes the name
# beside the slider, and offers no way to put it on the handle.
NAME_HANDLES = """\
window.sdcdaNamesHandles ??= new MutationObserver(() => {
    for (const slider of document.querySelectorAll(".widget-slider")) {
        const label = slider.querySelector(".widget-label")?.textContent ?? "";
        slider.querySelectorAll(".noUi-handle:not([aria-label])").forEach(e => e.setAttribute("aria-label", label));
    }
});
window.sdcdaNamesHandles.observe(document.body, {childList: true, subtree: true});
"""

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
    While it waits for the kernel it has the class "sdcda-stale".
    """
    image = ipywidgets.Image(format="jpeg", layout={"max_width": "100%"})
    redrawing = Redrawing()
    problem = ipywidgets.HTML().add_class("sdcda-problem")  # by which the tests find it in the page

    def draw() -> None:
        try:
            values = {name: control.value for name, control in controls.items()}
            image.value = redrawing.picture(render(**values, **(fixed or {})))
            problem.value = ""
        except Exception as error:  # an exception in a callback would end in a log
            kind = "" if isinstance(error, InputError) else f"<b>{type(error).__name__}</b>: "
            problem.value = kind + html.escape(str(error))
        finally:
            image.remove_class("sdcda-stale")

    latest = Latest(draw)

    def moved(_: Any) -> None:
        image.add_class("sdcda-stale")
        latest.ask()

    labelled = [control for control in controls.values() if control.style.has_trait("description_width")]  # no buttons
    longest = max((len(control.description) for control in labelled), default=0)
    for control in labelled:  # one width for all labels, so that all sliders are of one length
        control.style.description_width = f"{longest}ch"
        control.layout = {"width": f"calc({longest}ch + {TRACK}px)", "max_width": "100%"}
    for control in controls.values():
        control.observe(moved, "value")
    draw()
    if get_ipython() is not None:
        display({"application/javascript": NAME_HANDLES, "text/plain": ""}, raw=True)
    return ipywidgets.VBox([*controls.values(), image, problem])


def slider(description: str, value: float, low: float, high: float, step: float) -> ipywidgets.Widget:
    """A slider that the picture follows while it is dragged."""
    whole = all(float(v).is_integer() for v in (value, low, high, step))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=description)


def choice(description: str, options: list[Any], value: Any = None) -> ipywidgets.Widget:
    """A drop-down list that starts with `value`, by default its first option."""
    return ipywidgets.Dropdown(options=options, value=options[0] if value is None else value, description=description)
