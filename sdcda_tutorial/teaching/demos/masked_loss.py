"""Demo of notebook 06: three readings of the pseudo-masked loss for one pixel, as curves over the logit."""

from collections.abc import Callable
from functools import cache

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial import losses
from sdcda_tutorial.evaluation.colours import BLACK, INDIGO, WINE
from sdcda_tutorial.teaching.demos import choice, explore, slider

LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str, str]] = {  # name -> loss, line style, colour
    "Eq. 8–9": (losses.target_segmentation_loss, "-", INDIGO),
    "naive": (losses.source_segmentation_loss, "--", WINE),  # Eq. 7, as if the rectangles were the truth
    "entropy": (losses.target_entropy_loss, ":", BLACK),
}
LOGITS = np.linspace(-6, 6, 121)


@cache
def value_and_gradient(loss: str, logit: float, z: int) -> tuple[float, float]:
    """The loss of a single pixel and its derivative with respect to the logit, by autograd."""
    x = torch.full((1, 1, 1, 1), logit, dtype=torch.float64, requires_grad=True)
    value = LOSSES[loss][0](x, torch.full_like(x, z, requires_grad=False))
    (gradient,) = torch.autograd.grad(value, x)
    return value.item(), gradient.item()


def render_masked_loss(prob: float, z: int, loss: str) -> Figure:
    """Loss and gradient of one pixel over the logit: the chosen loss strong, the others pale, the chosen ẑ as a dot.

    ẑ is `prob`; the pseudo-mask's `z` is 1 for crowd, 0 for background. Raises ValueError unless 0 < ẑ < 1 and z fits.
    """
    if not 0 < prob < 1 or z not in (0, 1):
        raise ValueError(f"ẑ lies between 0 and 1 and z is 0 or 1, not {prob} and {z}")
    logit = float(np.log(prob / (1 - prob)))
    value, gradient = value_and_gradient(loss, logit, z)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.1), layout="constrained")
    for which, (axis, height) in enumerate(zip(axes, (value, gradient), strict=True)):
        for name, (_, dashes, colour) in LOSSES.items():
            width, strength, order = (2.8, 1.0, 3) if name == loss else (1.6, 0.8, 2)
            curve = [value_and_gradient(name, x, z)[which] for x in LOGITS]
            axis.plot(LOGITS, curve, dashes, color=colour, linewidth=width, alpha=strength, label=name, zorder=order)
        axis.axhline(0, color=BLACK, linewidth=0.6)
        axis.plot([logit], [height], "o", color=LOSSES[loss][2], markeredgecolor=BLACK, markersize=8, zorder=4)
    signed = f"{gradient:+.3f}".replace("-", "−")
    move = f"{signed}, so descent says: ẑ {'falls' if gradient > 0 else 'rises'}" if gradient else "0: no move"
    says = f"z = {z} ({'crowd' if z else 'background'}), ẑ = {prob:.2f}: loss {value:.3f}"
    axes[0].set(title=says, xlabel="logit", ylabel="loss of this pixel", ylim=(-0.2, 6.2))
    axes[1].set(title=f"gradient {move}", xlabel="logit", ylabel="d loss / d logit", ylim=(-1.1, 1.1))
    axes[0].legend(frameon=False, loc="upper center")
    return figure


def masked_loss() -> ipywidgets.VBox:
    controls = {
        "prob": slider("ẑ, the prediction", 0.8, 0.01, 0.99, 0.01),
        "z": choice("z", [0, 1]),
        "loss": choice("loss", list(LOSSES)),
    }
    return explore(render_masked_loss, controls)
