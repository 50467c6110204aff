"""Demo of notebook 06: the three readings of a pseudo-masked loss for one pixel, as curves over the logit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial import losses
from sdcda_tutorial.teaching.demos import choice, explore, slider

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Eq. 8-9": losses.target_segmentation_loss,
    "naive": losses.source_segmentation_loss,  # Eq. 7, as if the rectangles were the truth
    "entropy": losses.target_entropy_loss,
}
COLOURS = {"Eq. 8-9": "#0072B2", "naive": "#D55E00", "entropy": "#009E73"}
DASHES = {"Eq. 8-9": "-", "naive": "--", "entropy": ":"}
LOGITS = np.linspace(-6, 6, 121)


def value_and_gradient(loss: str, logit: float, z: int) -> tuple[float, float]:
    """The loss of a single pixel and its derivative with respect to the logit, by autograd."""
    x = torch.full((1, 1, 1, 1), logit, dtype=torch.float64, requires_grad=True)
    value = LOSSES[loss](x, torch.full_like(x, z, requires_grad=False))
    (gradient,) = torch.autograd.grad(value, x)
    return value.item(), gradient.item()


@cache
def _curve(loss: str, z: int) -> np.ndarray:
    return np.array([value_and_gradient(loss, logit, z) for logit in LOGITS])


def render_masked_loss(prob: float, z: int, loss: str) -> Figure:
    """Loss and gradient of one pixel over the logit; the chosen loss strong, the others pale, the chosen ẑ as a dot.

    Args:
        prob: ẑ, strictly between 0 and 1.
        z: what the pseudo-mask says, 1 crowd or 0 background.
        loss: a key of `LOSSES`.
    Raises:
        ValueError: ẑ has no finite logit, or z is neither 0 nor 1.
    """
    if not 0 < prob < 1 or z not in (0, 1):
        raise ValueError(f"ẑ lies between 0 and 1 and z is 0 or 1, not {prob} and {z}")
    logit = float(np.log(prob / (1 - prob)))
    value, gradient = value_and_gradient(loss, logit, z)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.1), layout="constrained")
    for name in LOSSES:
        width, strength = (2.6, 1.0) if name == loss else (1.4, 0.45)
        for axis, curve in zip(axes, _curve(name, z).T, strict=True):
            axis.plot(
                LOGITS, curve, DASHES[name], color=COLOURS[name], linewidth=width, alpha=strength, label=name,
                zorder=3 if name == loss else 2,
            )  # fmt: skip
    for axis, height in zip(axes, (value, gradient), strict=True):
        axis.axhline(0, color="#000000", linewidth=0.6)
        axis.plot([logit], [height], "o", color=COLOURS[loss], markeredgecolor="#000000", markersize=8, zorder=4)
        axis.set_xlabel("logit")
    move = "no move" if gradient == 0 else "ẑ falls" if gradient > 0 else "ẑ rises"
    says = "crowd" if z else "background"
    axes[0].set_title(f"z = {z} ({says}), ẑ = {prob:.2f}: loss {value:.3f}")
    axes[1].set_title(f"gradient {gradient:+.3f}, so descent says: {move}" if gradient else f"gradient 0: {move}")
    axes[0].set_ylabel("loss of this pixel")
    axes[1].set_ylabel("d loss / d logit")
    axes[0].set_ylim(-0.2, 6.2)
    axes[1].set_ylim(-1.1, 1.1)
    axes[0].legend(frameon=False, loc="upper center")
    return figure


def masked_loss() -> ipywidgets.VBox:
    """Choose ẑ, what the pseudo-mask says, and the loss."""
    controls = {
        "prob": slider("ẑ, the prediction", 0.8, 0.01, 0.99, 0.01),
        "z": choice("z", [0, 1]),
        "loss": choice("loss", list(LOSSES)),
    }
    return explore(render_masked_loss, controls)
