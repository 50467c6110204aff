"""CycleGAN and SE CycleGAN: learn, from unpaired images alone, to repaint the source in the style of the target.

The rivals of Table 1 translate first (`train_translation`, then `translated_source.translate`) and train a counter on
the translated images, with the source's labels, as if they were real.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sdcda_tutorial.adaptation import Batch
from sdcda_tutorial.datasets.batches import SOURCE, TARGET, Augmentation, Batches, PseudoMasked
from sdcda_tutorial.datasets.crowd_dataset import CrowdDataset
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path
from sdcda_tutorial.networks import batch_for
from sdcda_tutorial.rivals import cyclegan_losses as losses
from sdcda_tutorial.rivals.cyclegan import REDUCTION, Discriminators, Generators, ImagePool
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.config import Settings
from sdcda_tutorial.training.hardware import Hardware, own_state
from sdcda_tutorial.training.loop import Training, require_finite
from sdcda_tutorial.training.rehearsal import Rehearsal
from sdcda_tutorial.training.saving import Records, RunFolder

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # slow to import

TRANSLATIONS = ("cyclegan", "se-cyclegan")
KIND = "translation"
PREVIEW_IMAGES = 3  # of each domain
QUALITY_IMAGES = 50  # of each domain
_SMALLEST = 24  # pixels a side: what leaves the discriminator one value


@dataclass(frozen=True)
class TranslationConfig(Settings):
    """Everything that decides the result of `train_translation`, apart from the data.

    Attributes:
        weights: of the loss terms; `method` switches the one of SE CycleGAN off.
        steps, epochs: see `Settings`.
        batch_size: source images per step, and as many target images. 1, as in CycleGAN, gives the discriminators
            the most steps for the time.
        augmentation: of both domains, without jitter: the colours are to be learnt.
        blocks, width, discriminator_width: see `Generator` and `PatchDiscriminator`.
        pool: capacity of each `ImagePool`.
        learning_rate: Adam (0.5, 0.999) for generators and discriminators; constant in the first half of the steps,
            then falling linearly to zero.
        preview_every: steps between two preview pictures.
    """

    weights: losses.TranslationWeights = field(default_factory=losses.TranslationWeights)
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
        super().__post_init__()
        self.refuse_crops(self.augmentation.crop, stride=REDUCTION, smallest=_SMALLEST)

    def method(self, name: str) -> TranslationConfig:
        """For "se-cyclegan" the same, for "cyclegan" without the structure term."""
        if name not in TRANSLATIONS:
            raise InputError(f"unknown translation {name!r}; known are {', '.join(TRANSLATIONS)}")
        return self if name == "se-cyclegan" else replace(self, weights=replace(self.weights, structure=0.0))


class Translation:
    """The networks of one training, what moves them, and the step that does.

    Attributes:
        generators, discriminators: see `rivals.cyclegan`.
        pools: old images "s_to_t" and "t_to_s".
        optimizers: "generators", "discriminators".
        modules: all that training changes, by name.
    """

    def __init__(self, config: TranslationConfig, fabric: Fabric, hardware: Hardware | None = None) -> None:
        self.config, self.fabric = config, fabric
        torch.manual_seed(config.seed)
        self.generators = Generators(config.blocks, config.width)
        self.discriminators = Discriminators(config.discriminator_width)
        size = config.augmentation.crop
        self.pools = {name: ImagePool(config.pool, size).to(fabric.device) for name in ("s_to_t", "t_to_s")}
        self.optimizers: dict[str, Any] = {}
        both: dict[str, nn.Module] = {"generators": self.generators, "discriminators": self.discriminators}
        self.modules = {**both, "pools": nn.ModuleDict(self.pools)}
        for name, networks in both.items():
            # In channels_last a step on the CPU took twice as long: instance norm wants a channel in one piece.
            (hardware or Hardware()).prepare(networks, channels_last=False)
            adam = torch.optim.Adam(networks.parameters(), config.learning_rate, betas=(0.5, 0.999))
            # The wrapped module goes: there is one process, and the step says itself what runs in which precision.
            _, self.optimizers[name] = fabric.setup(networks, adam)

    def step(self, source: Batch, target: Batch) -> dict[str, Tensor]:
        """Learn from source images xs and target images xt, which are no pairs.

        1. translate xs and xt, translate them back, and pass each to the generator into its own domain too;
        2. translated images should look real to the discriminators;
        3. cycles should end where they began;
        4. images that are of a domain already should stay as they are;
        5. SE CycleGAN: cycles should keep the structure (SSIM);
        6. the weighted sum moves both generators;
        7. the discriminators learn to tell images of their domain (1) from translated ones (0), some of them old.

        Returns: the loss terms by name, each summed over both directions; scalars.

        Raises:
            FloatingPointError: a loss is NaN or infinite; the weights it would have moved are untouched.
        """
        xs, xt, weights = source["image"], target["image"], self.config.weights  # (B, 3, H, W)
        D_source, D_target = self.discriminators.of_source, self.discriminators.of_target
        self.discriminators.requires_grad_(False)  # they let the gradient through and stay as they are
        with self.fabric.autocast():
            made = self.generators(xs, xt)  # six times (B, 3, H, W)
            looks = D_target(made["s_to_t"]), D_source(made["t_to_s"])  # (B, 1, H // 8 - 2, W // 8 - 2)
        self.discriminators.requires_grad_(True)
        terms = {"fooling": losses.fooling_loss(looks[0]) + losses.fooling_loss(looks[1])}
        for name, loss, kind in (
            ("cycle", losses.reconstruction_loss, "cycle"),
            ("identity", losses.reconstruction_loss, "same"),
            ("structure", losses.structure_loss, "cycle"),
        ):
            if name != "structure" or weights.structure > 0:
                terms[name] = loss(made[f"s_{kind}"], xs) + loss(made[f"t_{kind}"], xt)
        self.minimise("generators", losses.generator_loss(terms, weights), terms)
        shown = {name: pool.exchange(made[name]) for name, pool in self.pools.items()}  # old and new, detached
        with self.fabric.autocast():
            seen = {
                "D_source": losses.patch_loss(D_source(xs), D_source(shown["t_to_s"])),
                "D_target": losses.patch_loss(D_target(xt), D_target(shown["s_to_t"])),
            }
        self.minimise("discriminators", seen["D_source"] + seen["D_target"], seen)
        return {name: value.detach() for name, value in (terms | seen).items()}

    def minimise(self, name: str, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        """Move the weights of `optimizers[name]` against the gradient of `loss`, the sum of these terms."""
        require_finite(terms)
        self.optimizers[name].zero_grad()
        self.fabric.backward(loss)
        self.optimizers[name].step()


@own_state()
def train_translation(
    source: CrowdDataset,
    target: CrowdDataset,
    config: TranslationConfig,
    folder: str | Path,
    *,
    hardware: Hardware | None = None,
    records: Records | None = None,
    resume: bool = False,
    rehearsal: Rehearsal | None = None,
) -> Path:
    """Train the generators between two domains, whose labels are never read, and return the path of their checkpoint.

    Args and errors as in `training.adapt`; `folder` gets `previews/step_000200.png` and so on too, and several devices
    are an InputError.
    """
    hardware, folder = hardware or Hardware(), Path(folder)
    refuse_several_devices(hardware)
    steps = config.total_steps(len(source))
    fabric = hardware.launch()
    translation = Translation(config, fabric, hardware)
    domains = [
        Batches(
            PseudoMasked(dataset, None), config.batch_size, config.augmentation,
            seed=config.seed, stream=stream, mask=False,
        )
        for dataset, stream in ((source, SOURCE), (target, TARGET))
    ]  # fmt: skip

    # Previews show the same crops every time, so that one sees how their translation changes.
    crops = [torch.cat([domain[step]["image"] for step in range(PREVIEW_IMAGES)]) for domain in domains]
    xs, xt = (images[:PREVIEW_IMAGES].to(fabric.device) for images in crops)

    @torch.no_grad()
    def preview(done: int) -> None:
        """A PNG of rows "image, translated, and back again": first of source images, then of target images."""
        if done % config.preview_every and done != steps:
            return
        made = translation.generators(xs, xt)
        rows = [
            *zip(xs, made["s_to_t"], made["s_cycle"], strict=True),
            *zip(xt, made["t_to_s"], made["t_cycle"], strict=True),
        ]
        _save_preview(folder / "previews" / f"step_{done:06d}.png", rows)

    training = Training(
        RunFolder(
            folder, fabric=fabric, records=records or Records(),
            config={**asdict(config), **_data(source, target)},
            card={"kind": KIND, "architecture": {"generators": translation.generators.architecture}},
            modules=translation.modules, deployed={"generators": translation.generators},
            optimizers=translation.optimizers,
        ),
        step=translation.step, domains=domains, steps=steps, images=len(source), description="translation",
        workers=hardware.workers, after=preview,
        rates=lambda step: dict.fromkeys(translation.optimizers, linear_decay(config.learning_rate, step, steps)),
        save_every=config.save_every, data=partial(_data, source, target),
    )  # fmt: skip
    return training.finish(resume) if rehearsal is None else rehearsal.measure(training, resume)


def _data(source: CrowdDataset, target: CrowdDataset) -> dict[str, Any]:
    return {"source_data": source.describe(labelled=False), "target_data": target.describe(labelled=False)}


def _save_preview(path: Path, rows: Sequence[tuple[Tensor, ...]]) -> None:
    from torchvision.utils import save_image  # slow to import

    with atomic_path(path) as temporary:
        save_image([image for row in rows for image in row], temporary, nrow=3, padding=4, pad_value=1.0)


def linear_decay(rate: float, step: int, steps: int) -> float:
    """`rate` in the first half of the steps, then falling linearly to zero."""
    return rate * min(1.0, 2 * (1 - step / steps))


def refuse_several_devices(hardware: Hardware) -> None:
    """Raise an InputError for hardware that would divide a batch."""
    if hardware.processes > 1 or hardware.accumulate > 1:
        raise InputError("a translation is trained on one device, a batch at a time; drop `devices` and `accumulate`")


def load_generators(path: str | Path) -> tuple[Generators, dict[str, Any]]:
    """The generators of a checkpoint from `train_translation`, ready to translate, and its card.

    Raises:
        InputError: the file is missing, broken, or holds no translation.
    """
    tensors, card = checkpoints.load(path)
    if card.get("kind") != KIND or "state" in card:
        raise InputError(f"checkpoint {path} holds no translation; give the model.safetensors of a translation's run")
    generators = checkpoints.build(lambda: Generators(**card["architecture"]["generators"]), path)
    checkpoints.load_weights(generators, tensors, "generators", path)
    return generators.eval(), card


@torch.no_grad()
def translation_quality(
    generators: Generators, source: Sequence[Sample], target: Sequence[Sample]
) -> dict[str, dict[str, float]]:
    """Means over at most 50 held-out images of each domain, seen whole; labels are not read.

    Returns:
        For "source" and "target": cycle_ssim and cycle_l1 (in units of half the range) of image and cycle, the subject
        of the losses; translated_ssim of image and translation in gray, which no loss sees: how much of the image's
        structure is still there once it looks like the other domain.
    """
    found = {}
    G, F = generators.to_target, generators.to_source  # CycleGAN's names
    for name, images, forth, back in (("source", source, G, F), ("target", target, F, G)):
        rows = []
        for index in range(0, len(images), math.ceil(len(images) / QUALITY_IMAGES)):
            x = batch_for(generators, images[index].image)
            made = forth(x)
            cycle = back(made)
            structure, kept = losses.structure_loss(cycle, x), losses.structure_loss(_gray(made), _gray(x))
            rows.append((1 - float(structure), float(losses.reconstruction_loss(cycle, x)), 1 - float(kept)))
        means = [round(mean, 4) for mean in torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()]
        found[name] = dict(zip(("cycle_ssim", "cycle_l1", "translated_ssim"), means, strict=True))
    return found


def _gray(x: Tensor) -> Tensor:
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
