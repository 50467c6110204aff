"""Learning rates as functions of the step alone: a resumed run needs no saved state to know its own."""

from __future__ import annotations

from collections.abc import Callable

from sdcda_tutorial.training.config import AdaptationConfig


def polynomial(rate: float, step: int, steps: int) -> float:
    """Falls from `rate` to zero as (1 - step / steps)^0.9."""
    return rate * (1 - step / steps) ** 0.9


def by_epoch(rate: float, step: int, batch_size: int, images: int) -> float:
    """The C³ framework's: times 0.995 after every epoch of `images`."""
    return rate * 0.995 ** (step * batch_size // images)


def adaptation_rates(config: AdaptationConfig, steps: int, images: int) -> Callable[[int], dict[str, float]]:
    """The rate of each optimiser of the adaptation at a step; D's follows the same schedule as the others'."""

    def rates(step: int) -> dict[str, float]:
        if config.schedule == "polynomial":
            factor = polynomial(1.0, step, steps)
        else:
            factor = by_epoch(1.0, step, config.batch_size, images)
        both = {"networks": config.learning_rate * factor, "D": config.discriminator_rate * factor}
        return both if config.weights.needs_D else {"networks": both["networks"]}

    return rates
