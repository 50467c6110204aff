"""Demo of notebook 07: the toy game of E, C and D for a weight and a learning rate of D."""

from __future__ import annotations

import ipywidgets
from matplotlib.figure import Figure

from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.teaching.adversarial_toy import EVERY, STEPS, played
from sdcda_tutorial.teaching.demos import choice, explore, slider

WEIGHTS, RATES = (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30), (0.0001, 0.001, 0.01, 0.1)
LIMIT = 8.0  # of both axes; a game that leaves them is drawn on the border


def render_adversarial_game(lambda_d: float, rate_of_D: float, step: int) -> Figure:
    """The features at a step of the game, and gap and right answers of D up to there.

    Raises ValueError for a step before the start or after the end.
    """
    if not 0 <= step <= STEPS:
        raise ValueError(f"a game has the steps 0 to {STEPS}, not {step}")
    game, number = played(lambda_d, rate_of_D), step // EVERY
    figure = Figure(figsize=(9.4, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    looks = (("source", colours.SOURCE, "o"), ("target", colours.TARGET, "^"))
    for features, (name, colour, marker) in zip(game.features[number], looks, strict=True):
        f1, f2 = features.clamp(-LIMIT, LIMIT).T
        left.scatter(f1, f2, s=10, color=colour, marker=marker, alpha=0.6, linewidths=0, label=name)
    left.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), xlabel="$f_1$", ylabel="$f_2$", title=f"features, step {step}")
    left.legend(frameon=False, loc="upper left", markerscale=1.6)
    steps = [EVERY * look for look in range(number + 1)]
    shares = right.twinx()
    curves = [
        *right.plot(steps, game.side[: number + 1], color=colours.INDIGO, label="gap, left axis"),
        *shares.plot(steps, game.right[: number + 1], "--", color=colours.BLACK, label="D, right axis"),
    ]
    right.axhline(0, color=colours.GREY, linewidth=0.6)
    error = float(game.error[number])
    right.set(xlim=(0, STEPS), ylim=(-6, 6), xlabel="step", title=f"error of C on the target: {error:.4f}")
    right.set_ylabel("gap along its first direction, sd")
    shares.set(ylim=(-0.02, 1.02), ylabel="D: share of right answers")
    shares.spines["right"].set_visible(True)
    figure.legend(handles=curves, loc="outside lower right", ncols=2, frameon=False)
    return figure


def adversarial_game() -> ipywidgets.VBox:
    controls = {
        "lambda_d": choice("λd", list(WEIGHTS), 0.1),
        "rate_of_D": choice("learning rate of D", list(RATES), 0.01),
        "step": slider("step", STEPS, 0, STEPS, 20),
    }
    return explore(render_adversarial_game, controls)
