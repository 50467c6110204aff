"""What one decides before a translation is trained, and the values at the paper's scale and on a laptop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sdcda_tutorial.datasets.batches import Augmentation
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.rivals.cyclegan import REDUCTION
from sdcda_tutorial.rivals.cyclegan_losses import TranslationWeights

TRANSLATIONS = ("cyclegan", "se-cyclegan")
_SMALLEST = 24  # pixels a side: what leaves the discriminator one value


@dataclass(frozen=True)
class TranslationConfig:
    """Everything that decides the result of `train_translation`, apart from the data.

    Attributes:
        weights: of the loss terms; `method` switches that of SE CycleGAN off.
        steps: optimisation steps; or give `epochs` over the source and leave `steps` zero.
        batch_size: source images a step, and as many target images. 1, CycleGAN's, gives the discriminators most
            steps for the time.
        augmentation: of both domains, without jitter: colours are what is to be learnt.
        blocks, width, discriminator_width: see `Generator` and `PatchDiscriminator`.
        pool: capacity of each `ImagePool`.
        learning_rate: Adam (0.5, 0.999) for generators and discriminators; constant in the first half of the steps,
            then falling to zero along a line.
        preview_every: steps between two pictures of how far it is.
    """

    weights: TranslationWeights = field(default_factory=TranslationWeights)
    steps: int = 0
    epochs: int = 0
    batch_size: int = 1
    augmentation: Augmentation = field(default_factory=lambda: Augmentation((256, 256)))
    blocks: int = 9
    width: float = 1.0
    discriminator_width: float = 1.0
    pool: int = 50
    learning_rate: float = 2e-4
    preview_every: int = 1000
    save_every: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if any(side % REDUCTION or side < _SMALLEST for side in self.augmentation.crop):
            raise InputError(
                f"crops of a translation have sides that are multiples of {REDUCTION} from {_SMALLEST} up, "
                f"not {self.augmentation.crop[0]}x{self.augmentation.crop[1]}"
            )

    def total_steps(self, images: int) -> int:
        return self.steps or max(1, self.epochs * images // self.batch_size)

    def method(self, name: str) -> TranslationConfig:
        """For "se-cyclegan" the same, for "cyclegan" without the structure term."""
        if name not in TRANSLATIONS:
            raise InputError(f"unknown translation {name!r}; known are {', '.join(TRANSLATIONS)}")
        return self if name == "se-cyclegan" else replace(self, weights=replace(self.weights, structure=0.0))


def linear_decay(rate: float, step: int, steps: int) -> float:
    """`rate` in the first half of the steps, then along a line to zero."""
    return rate * min(1.0, 2 * (1 - step / steps))


# μ = 1 is recalled from SE CycleGAN and not confirmed.
PAPER_TRANSLATION = TranslationConfig(weights=TranslationWeights(structure=1.0), epochs=200)

# Images of 192×256: 6 blocks, CycleGAN's number for small images, at a quarter of the width, and as many steps as a
# quarter of an hour allows. On the mini world of seed 0, with its labels in view, a counter's MAE on the target after
# CycleGAN was 52 % of the mean count with 2000 steps at 5e-4, 40 % with 2000 at 2e-4, and 29 % with 4000 at 2e-4.
MINI_TRANSLATION = TranslationConfig(
    weights=TranslationWeights(structure=1.0),
    steps=4000,
    augmentation=Augmentation((128, 128)),
    blocks=6,
    width=0.25,
    discriminator_width=0.25,
    preview_every=400,
    save_every=200,
)
