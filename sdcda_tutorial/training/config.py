"""Settings of a training, of the counter or the mask model. Their values are in `experiments/presets.py`.

Learning rates are functions of the step alone, so a resumed run needs no saved state to know its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sdcda_tutorial.datasets.batches import Augmentation, DensityKernel
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.networks import COUNTERS
from sdcda_tutorial.numbers import check_numbers

D_SEES = ("features", "mask", "density")
SCHEDULES = ("polynomial", "epochs")
TARGET_LOSSES = ("background", "entropy")


def polynomial(rate: float, step: int, steps: int) -> float:
    """Falls from `rate` to zero as (1 - step / steps)^0.9."""
    return rate * (1 - step / steps) ** 0.9


# Numbers are from zero up; these have narrower bounds.
ABOVE_ZERO = {"batch_size", "discriminator_width", "label_factor", "preview_every", "save_every", "stride"}
ABOVE_ZERO |= {"validate_every", "width"}
BELOW_ONE, TO_ONE = {"average", "holdout"}, {"threshold"}


class Settings:
    """Settings of one training: so many `steps` or, where they are zero, so many `epochs` over the source."""

    steps: int
    epochs: int = 0
    batch_size: int

    def __post_init__(self) -> None:
        check_numbers(self, above_zero=ABOVE_ZERO, below_one=BELOW_ONE, to_one=TO_ONE)

    def refuse_crops(self, *crops: tuple[int, int], stride: int, smallest: int) -> None:
        """Raise an InputError at a crop that a network cannot take: its sides are in pixels."""
        for height, width in crops:
            if height % stride or width % stride or min(height, width) < smallest:
                sides = f"multiples of {stride} from {smallest} up"
                raise InputError(f"the sides of a crop are {sides} here, not {height}x{width}")

    def total_steps(self, images: int) -> int:
        """Steps over a source of so many images; an InputError where there would be none."""
        if images < 1 or not (self.steps or self.epochs):
            raise InputError(f"{self.steps} steps or {self.epochs} epochs of {images} images are no training")
        return self.steps or max(1, self.epochs * images // self.batch_size)


@dataclass(frozen=True)
class AdaptationConfig(Settings):
    """Everything that decides the result of `adapt`, apart from the data.

    Attributes:
        weights: λs, λt, λd of Eq. 5; all zero is training without adaptation.
        steps, epochs: see `Settings`.
        batch_size: source images per step, and as many target images; over all processes.
        counter, stride, width, label_factor: see `networks.COUNTERS` and `CrowdCounter`.
        pretrained: start E from ImageNet weights (they need width 1).
        discriminator_sees: one of `D_SEES`: the features f, as in the paper, the mask ẑ, as in AdaptSegNet, or the
            density ŷ; C then sees the target too, and so does its batch norm.
        target_loss: one of `TARGET_LOSSES`, readings of Eq. 9: "background", or `losses.target_entropy_loss`.
        target_batch_norm: pass the target through E even where no λ asks for it, so that the batch norm statistics
            see both domains: a control, not a method.
        learning_rate, schedule, weight_decay: Adam for E, C, S. "polynomial" falls to zero; "epochs" is the C³
            framework's factor 0.995 per epoch.
        discriminator_rate: Adam (0.9, 0.99) for D, same schedule.
        average: decay of the running mean of the weights that is kept as the model; 0 keeps the last step's weights.
        holdout: part of the source that is not trained on but chooses the model.
    """

    weights: LossWeights = field(default_factory=LossWeights)
    steps: int = 0
    epochs: int = 0
    batch_size: int = 8
    source: Augmentation = field(default_factory=lambda: Augmentation((480, 640)))
    target: Augmentation = field(default_factory=lambda: Augmentation((480, 640)))
    kernel: DensityKernel = field(default_factory=DensityKernel)
    stride: int = 16
    width: float = 1.0
    counter: str = "paper"
    label_factor: float = 100.0
    pretrained: bool = False
    discriminator_sees: str = "features"
    target_loss: str = "background"
    target_batch_norm: bool = False
    learning_rate: float = 1e-5
    schedule: Literal["polynomial", "epochs"] = "epochs"
    weight_decay: float = 1e-4
    discriminator_rate: float = 1e-4
    discriminator_width: float = 1.0
    average: float = 0.0
    holdout: float = 0.1
    validate_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (
            ("discriminator_sees", D_SEES), ("target_loss", TARGET_LOSSES), ("schedule", SCHEDULES),
            ("counter", tuple(COUNTERS)),
        ):  # fmt: skip
            if (given := getattr(self, name)) not in known:
                raise InputError(f"{name} is one of {', '.join(known)}, not {given!r}")
        smallest = 16 * self.stride if self.weights.needs_D and self.discriminator_sees == "features" else self.stride
        crops = [self.source.crop, self.target.crop][: 2 if self.needs_target else 1]
        self.refuse_crops(*crops, stride=self.stride, smallest=smallest)
        if self.discriminator_sees == "mask" and self.weights.needs_D and not self.weights.needs_S:
            raise InputError("D can look at the mask only where there is an S: λs or λt must be above zero")

    @property
    def needs_target(self) -> bool:
        return self.weights.needs_target or self.target_batch_norm

    def rates(self, step: int, steps: int, images: int) -> dict[str, float]:
        """Learning rate of each optimiser at one of so many steps, with so many images in an epoch."""
        if self.schedule == "polynomial":
            factor = polynomial(1.0, step, steps)
        else:
            factor = 0.995 ** (step * self.batch_size // images)
        rates = {"networks": self.learning_rate * factor}
        return rates | ({"D": self.discriminator_rate * factor} if self.weights.needs_D else {})


@dataclass(frozen=True)
class SegmenterConfig(Settings):
    """Everything that decides the mask model, apart from its data.

    Attributes:
        augmentation: its `scale` shrinks the large people of the boxes' domain to the size they have in the target.
        threshold, dilate: how `write_pseudo_masks` turns probabilities into masks; see there.
    """

    steps: int = 20000
    batch_size: int = 8
    augmentation: Augmentation = field(default_factory=lambda: Augmentation((480, 640), scale=(0.25, 1.0), jitter=0.2))
    stride: int = 16
    width: float = 1.0
    pretrained: bool = False
    learning_rate: float = 1e-4
    threshold: float = 0.3
    dilate: int = 2
    save_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_crops(self.augmentation.crop, stride=self.stride, smallest=self.stride)
