"""Experiment of notebook 10: a translation between two domains of coloured squares, whose right answer is known.

The target is the source with its colours changed by a rule. The networks see images of both, never a pair, and are
asked for the rule. `Recolouring().run(cycle=0)` trains for about ten seconds and adds a row to the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sdcda_tutorial.datasets.batches import Augmentation
from sdcda_tutorial.evaluation.pictures import show_pixels
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.rivals.cyclegan_losses import TranslationWeights, reconstruction_loss
from sdcda_tutorial.rivals.translation import Translation, TranslationConfig, linear_decay
from sdcda_tutorial.training.hardware import Hardware, one_thread, own_state

GAIN = torch.tensor([0.6, 0.8, 0.5])[:, None, None]  # of red, green and blue
OFFSET = torch.tensor([0.05, 0.0, 0.5])[:, None, None]
SIDE, SQUARE = 32, 4  # pixels of an image and of a square in it
STEPS, RATE = 180, 6e-3


def squares(images: int, rng: np.random.Generator) -> Tensor:
    """Images of the source: 8 × 8 squares of random colours, (B, 3, 32, 32) in [0, 1]."""
    colours = rng.uniform(0, 1, (images, 3, SIDE // SQUARE, SIDE // SQUARE)).astype(np.float32)
    return torch.from_numpy(np.kron(colours, np.ones((1, 1, SQUARE, SQUARE), np.float32)))


def rule(x: Tensor) -> Tensor:
    """The right answer: the colours of (B, 3, H, W) changed by the rule that leads from source to target."""
    return GAIN * x + OFFSET


@own_state()
def train(weights: TranslationWeights, seed: int = 0) -> Translation:
    """A small CycleGAN that has learned from images of both domains, never from a pair."""
    config = TranslationConfig(
        weights, steps=STEPS, batch_size=4, augmentation=Augmentation((SIDE, SIDE)), blocks=0,
        width=1 / 8, discriminator_width=1 / 8, learning_rate=RATE, seed=seed,
    )  # fmt: skip
    translation, rng = Translation(config, Hardware("cpu", precision="32-true").launch()), np.random.default_rng(seed)
    for step in range(STEPS):
        for optimizer in translation.optimizers.values():
            optimizer.param_groups[0]["lr"] = linear_decay(RATE, step, STEPS)
        xs, xt = squares(4, rng), rule(squares(4, rng))  # the squares of xt are others than those of xs
        translation.step({"image": xs}, {"image": xt})
    return translation


@dataclass(frozen=True)
class Run:
    """One training, and what it does to an image that it has not seen.

    Attributes:
        weights, seed: as they were asked for.
        off, off_inverted: mean absolute difference of the translation from the right answer, and from the answer for
            inverted colours; colours run from 0 to 1.
        cycle: the cycle loss.
        pictures: by title, the first unseen image and what becomes of it, each (3, H, W).
    """

    weights: TranslationWeights
    seed: int
    off: float
    off_inverted: float
    cycle: float
    pictures: dict[str, Tensor]


class Recolouring:
    """The runs that were made, in a table and as pictures."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.x = squares(20, np.random.default_rng(10))  # (20, 3, H, W), images that no run learns from

    def run(self, cycle: float = 10.0, identity: float = 1.0, structure: float = 0.0, seed: int = 0) -> None:
        """Train with these weights (λ, ι, μ) for some ten seconds and keep the result."""
        weights = TranslationWeights(cycle, identity, structure)
        with one_thread():
            generators = train(weights, seed).generators.eval()
        with torch.no_grad():
            made = generators.to_target(self.x)
            again = generators.to_source(made)
        pictures = {
            "image": self.x[0], "translated": made[0], "right answer": rule(self.x)[0],
            "inverted answer": rule(1 - self.x)[0], "and back": again[0],
        }  # fmt: skip
        off, off_inverted = (float((made - rule(x)).abs().mean()) for x in (self.x, 1 - self.x))
        self.runs.append(Run(weights, seed, off, off_inverted, float(reconstruction_loss(again, self.x)), pictures))

    def untouched(self) -> float:
        """How far the images are from the right answer if nothing is done to them."""
        return float((self.x - rule(self.x)).abs().mean())

    def table(self) -> str:
        """A row per run, in Markdown."""
        header = ["λ", "ι", "μ", "seed", "off the right answer", "off the inverted one", "cycle loss"]
        rows = [
            [
                *(f"{weight:g}" for weight in (run.weights.cycle, run.weights.identity, run.weights.structure)),
                str(run.seed), *(f"{value:.2f}" for value in (run.off, run.off_inverted, run.cycle)),
            ]
            for run in self.runs
        ]  # fmt: skip
        return markdown_table(header, rows, aligned=False)

    def picture(self) -> Figure:
        """A row per run: an unseen image, its translation, the right and the inverted answer, and the way back."""
        figure = Figure(figsize=(8.8, 0.3 + 1.55 * len(self.runs)), layout="constrained")
        axes = figure.subplots(len(self.runs), 5, squeeze=False)
        for place, (row, run) in enumerate(zip(axes, self.runs, strict=True)):
            for axis, (title, image) in zip(row, run.pictures.items(), strict=True):
                show_pixels(axis, image.permute(1, 2, 0).clamp(0, 1), "" if place else title)
            weights = run.weights
            named = f"λ {weights.cycle:g}, ι {weights.identity:g}\nμ {weights.structure:g}, seed {run.seed}"
            row[0].text(-0.08, 0.5, named, transform=row[0].transAxes, ha="right", va="center", fontsize=9)
        return figure
