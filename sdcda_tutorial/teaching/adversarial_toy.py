"""The toy of notebook 07: Eq. 10 on points of two numbers, where one can see what E, C and D do to one another.

An "image" is x = (x1, x2). x1 is the look of the background and differs between the domains, x2 is what is to be
counted, and only the source says it. E is one matrix and a shift for both, C reads x2 from f = E(x), D is a small
network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from sdcda_tutorial.evaluation import colours
from sdcda_tutorial.losses import adversarial_loss, discriminator_loss
from sdcda_tutorial.training.hardware import one_thread

Step = Callable[[nn.Module, nn.Module, nn.Module, Optimizer, Optimizer, Tensor, Tensor, float], None]
STEPS, EVERY = 600, 10  # steps of a game, and how often it is looked at
FLOOR = 1e-5  # of the drawn errors of C, on logarithmic axes; what lies below is drawn here


@dataclass(frozen=True)
class Game:
    """What was seen of a game, every `EVERY` steps from the start to the end; all but the features are one per look.

    Attributes:
        gap: distance of the mean features of the domains, in standard deviations of a domain.
        side: the part of it along its first direction: below zero, E has mirrored the domains.
        right: share of D's answers that are right.
        adversarial: E's loss, Eq. 10.
        error: mean squared error of C on the target.
        features: (source, target), each (200, 2), one pair per look.
        kept: length of E's column of x1, at the end; 1 at the start.
    """

    gap: Tensor
    side: Tensor
    right: Tensor
    adversarial: Tensor
    error: Tensor
    features: list[tuple[Tensor, Tensor]]
    kept: float

    def late(self, name: str) -> float:
        """The mean of one of the curves over the second half of the game."""
        values: Tensor = getattr(self, name)
        return float(values[len(values) // 2 :].mean())


def step(
    E: nn.Module, C: nn.Module, D: nn.Module, adam: Optimizer, adam_D: Optimizer,
    xs: Tensor, xt: Tensor, lambda_d: float,
) -> None:  # fmt: skip
    """First E and C against a D that stands still (adam), then D on features that stand still (adam_D)."""
    fs, ft = E(xs), E(xt)
    task = F.mse_loss(C(fs), xs[:, 1:])
    adam.zero_grad()
    (task + lambda_d * adversarial_loss(D(ft))).backward()
    adam.step()
    adam_D.zero_grad()
    discriminator_loss(D(fs.detach()), D(ft.detach())).backward()
    adam_D.step()


def play(lambda_d: float, rate_of_D: float = 0.01, step: Step = step, seed: int = 5) -> Game:
    """A game of `STEPS` steps from the same start, in about half a second.

    Args:
        lambda_d: weight of the adversarial loss in the loss of E and C.
        rate_of_D: D's learning rate; that of E and C is 0.02.
        step: what is done in every step.
        seed: of the points and of the first weights of C and D.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        xs, xt = (torch.randn(200, 2, dtype=torch.float64) * torch.tensor([0.5, 1.0]) for _ in range(2))
        xs[:, 0] -= 1.5
        xt[:, 0] += 1.5
        E, C, D = nn.Linear(2, 2), nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
        nn.init.eye_(E.weight)
        nn.init.zeros_(E.bias)
        for network in (E, C, D):
            network.double()
        adam = Adam([*E.parameters(), *C.parameters()], 0.02)
        adam_D = Adam(D.parameters(), rate_of_D, betas=(0.9, 0.99))
        looks: list[list[float]] = []
        features: list[tuple[Tensor, Tensor]] = []
        for number in range(STEPS + 1):
            if number % EVERY == 0:
                with torch.no_grad():
                    fs, ft = E(xs), E(xt)
                    features.append((fs, ft))
                    error = F.mse_loss(C(ft), xt[:, 1:])
                    looks.append([*_gap(features), *_answers(D(fs), D(ft)), float(error)])
            step(E, C, D, adam, adam_D, xs, xt, lambda_d)
    gap, side, right, adversarial, error = torch.tensor(looks).T
    return Game(gap, side, right, adversarial, error, features, float(E.weight.detach()[:, 0].norm()))


played = lru_cache(maxsize=64)(play)  # for the demo, whose sliders come back to the same settings


def _gap(features: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Of the last look: the distance of the means, and the part of it along the direction of the first look."""
    (first_s, first_t), (fs, ft) = features[0], features[-1]
    spread = torch.cat([fs - fs.mean(0), ft - ft.mean(0)]).square().sum(1).mean().sqrt()
    first, difference = first_s.mean(0) - first_t.mean(0), fs.mean(0) - ft.mean(0)
    return float(difference.norm() / spread), float(difference @ first / first.norm() / spread)


def _answers(of_source: Tensor, of_target: Tensor) -> tuple[float, float]:
    """The share of D's answers that are right, and E's loss."""
    right = ((of_source > 0).float().mean() + (of_target < 0).float().mean()) / 2
    return float(right), float(adversarial_loss(of_target))


def _one_sum(
    E: nn.Module, C: nn.Module, D: nn.Module, adam: Optimizer, adam_D: Optimizer,
    xs: Tensor, xt: Tensor, lambda_d: float,
) -> None:  # fmt: skip
    """A fault: all losses train all networks."""
    fs, ft = E(xs), E(xt)
    loss = F.mse_loss(C(fs), xs[:, 1:]) + lambda_d * adversarial_loss(D(ft)) + discriminator_loss(D(fs), D(ft))
    adam.zero_grad()
    adam_D.zero_grad()
    loss.backward()
    adam.step()
    adam_D.step()


def _labels_mixed_up(
    E: nn.Module, C: nn.Module, D: nn.Module, adam: Optimizer, adam_D: Optimizer,
    xs: Tensor, xt: Tensor, lambda_d: float,
) -> None:  # fmt: skip
    """A fault: E's loss takes the target for 0, as D's does, so E helps D."""
    fs, ft = E(xs), E(xt)
    adam.zero_grad()
    (F.mse_loss(C(fs), xs[:, 1:]) + lambda_d * adversarial_loss(-D(ft))).backward()
    adam.step()
    adam_D.zero_grad()
    discriminator_loss(D(fs.detach()), D(ft.detach())).backward()
    adam_D.step()


# The games of exercise 7.3: what is wrong, and how to play it. The seed is not that of the games in the notebook.
FAULTS: dict[int, tuple[str, Callable[[], Game]]] = {
    1: ("one sum", lambda: play(0.1, step=_one_sum, seed=3)),
    2: ("λd too large", lambda: play(10, seed=3)),
    3: ("labels mixed up", lambda: play(0.1, step=_labels_mixed_up, seed=3)),
    4: ("D too slow", lambda: play(0.1, rate_of_D=1e-4, seed=3)),
}


def clouds(games: dict[str, tuple[Game, int]]) -> Figure:
    """The features of games by title, each at a step, on shared axes; three to a row."""
    figure = Figure(figsize=(9.4, 3.0 * math.ceil(len(games) / 3)), layout="constrained")
    axes = figure.subplots(math.ceil(len(games) / 3), 3, sharex=True, sharey=True, squeeze=False)
    for axis, (title, (game, number)) in zip(axes.flat, games.items(), strict=True):
        fs, ft = game.features[number // EVERY]
        axis.scatter(*fs.T, s=9, color=colours.SOURCE, marker="o", alpha=0.6, linewidths=0, label="source")
        axis.scatter(*ft.T, s=10, color=colours.TARGET, marker="^", alpha=0.6, linewidths=0, label="target")
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("$f_1$")
    for axis in axes[:, 0]:
        axis.set_ylabel("$f_2$")
    axes[0, 0].legend(frameon=False, loc="upper left", markerscale=1.6)
    return figure


def sweep(games: dict[float, list[Game]]) -> Figure:
    """Gap and C's error on the target over λd, a dot for each game and a line through the medians."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    places = range(len(games))
    shown = ("gap", "gap", "sd of a domain"), ("error", "error of C on the target", "mean squared error")
    for axis, (name, title, unit) in zip(axes, shown, strict=True):
        for place, of_one in zip(places, games.values(), strict=True):
            values = [max(game.late(name), FLOOR) for game in of_one]
            axis.scatter([place] * len(values), values, s=22, color=colours.GREY, alpha=0.6, linewidths=0)
        medians = [max(median(game.late(name) for game in of_one), FLOOR) for of_one in games.values()]
        axis.plot(places, medians, "o-", color=colours.BLACK)
        axis.set_xticks(places, [f"{value:g}" for value in games])
        axis.set(xlabel="λd", title=title, ylabel=unit)
    axes[0].set_ylim(bottom=0)
    axes[1].set_yscale("log")
    return figure
