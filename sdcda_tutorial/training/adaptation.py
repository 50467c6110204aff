"""The paper: train E, C, S and D on labelled synthetic and unlabelled real images, Eq. 5.

One step, as it can be recited:

    1. a source batch (images xs, density maps F(ys), crowd masks zs) and a target batch (images xt, pseudo-masks zt);
    2. features fs, ft = E(xs), E(xt);
    3. ŷs = C(fs) against F(ys), Eq. 6;   ẑs = S(fs) against zs, Eq. 7;
       ẑt = S(ft) against the background of zt, Eq. 8-9;   D(ft) should say "source", Eq. 10;
    4. their weighted sum, Eq. 5, moves E, C and S;
    5. D learns to tell detached fs (1) from detached ft (0).

A λ of zero switches its part off: S, D and the target batch are not even made where no λ asks for them. So no
adaptation, SE, FD and SE+FD are one loop with different weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sdcda_tutorial import losses
from sdcda_tutorial.datasets.base import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import folder_digest
from sdcda_tutorial.inference import predict_density
from sdcda_tutorial.models import CrowdCounter, FeatureDiscriminator, SemanticExtractor, make_counter
from sdcda_tutorial.processes import average_buffers, shared_out
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.batches import SOURCE, TARGET, Batch, Batches, in_parts
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.domains import split_source, without_labels
from sdcda_tutorial.training.hardware import Hardware, denormals_are_zero
from sdcda_tutorial.training.log import Records
from sdcda_tutorial.training.loop import Run, require_finite
from sdcda_tutorial.training.schedule import adaptation_rates
from sdcda_tutorial.training.segmentation import origin_of_masks

if TYPE_CHECKING:
    from sdcda_tutorial.training.dry_run import Rehearsal


class Networks(nn.Module):
    """E, C and, where a λ asks for it, S: one module with one forward pass, as several processes need it."""

    def __init__(self, config: AdaptationConfig) -> None:
        super().__init__()
        self.counter = make_counter(config.stride, config.width, config.kernels, config.label_factor)
        self.S = SemanticExtractor(self.counter.E.channels, config.stride) if config.needs_semantic_extractor else None
        self.D_sees = config.discriminator_sees if config.weights.adversarial > 0 else "features"

    def forward(self, xs: Tensor, xt: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Scaled density ŷs (B, 1, H, W); of source and target the mask logits, and f or what D sees instead."""
        # Both domains in one pass: the batch norm statistics, which the deployed counter keeps, are of both.
        f = self.counter.E(xs if xt is None else torch.cat([xs, xt]))
        density = self.counter.C(f if self.D_sees == "density" else f[: len(xs)])
        mask_logits = None if self.S is None else self.S(f)
        seen = {"features": f, "density": density, "mask": mask_logits}[self.D_sees]
        return density[: len(xs)], mask_logits, seen.float().sigmoid() if self.D_sees == "mask" else seen


class Adaptation:
    """The networks of one training, what moves them, and the step that does: Eq. 5.

    Made with random weights; load others into `networks` if you like, then `begin`, then `step` as often as you like.

    Attributes:
        networks: E, C and S.
        D: the discriminator, or None where λd = 0.
        deployed: the networks that become the model: `networks`, or their running mean where the config asks for one.
        optimizers: "networks" for E, C and S together; "D".
    """

    def __init__(self, config: AdaptationConfig, fabric: Fabric) -> None:
        self.config, self.fabric = config, fabric
        torch.manual_seed(config.seed)
        self.networks = Networks(config)
        self.D: FeatureDiscriminator | None = None
        if config.weights.adversarial > 0:
            channels = self.networks.counter.E.channels if config.discriminator_sees == "features" else 1
            self.D = FeatureDiscriminator(channels, config.discriminator_width)

    def begin(self, hardware: Hardware | None = None) -> None:
        """Move everything to its device and make the optimisers and the running mean."""
        config, hardware = self.config, hardware or Hardware()
        self._micro_batches = hardware.accumulate
        hardware.prepare(self.networks)
        adam = torch.optim.Adam(self.networks.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self._networks, optimizer = self.fabric.setup(self.networks, adam)
        self.optimizers: dict[str, Any] = {"networks": optimizer}
        self.average: AveragedModel | None = None
        self.deployed = self.networks
        if config.average > 0:
            # Single steps, adversarial ones above all, swing the counts up and down; their running mean does not.
            mean = get_ema_multi_avg_fn(config.average)
            self.average = AveragedModel(self.networks, multi_avg_fn=mean, use_buffers=True)
            self.deployed = cast(Networks, self.average.module)
        if self.D is not None:
            adam = torch.optim.Adam(self.D.parameters(), config.discriminator_rate, betas=(0.9, 0.99))
            self._D, self.optimizers["D"] = self.fabric.setup(self.D, adam)

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """One step of E, C and S, then one of D; the loss terms of both by name, and D's accuracy.

        Args:
            source: images, density maps and, where λs > 0, masks; see `Batches`.
            target: images and, where λt > 0, pseudo-masks; None where no λ needs the target.
        Raises:
            FloatingPointError: a loss is NaN or infinite; the weights it would have moved are untouched.
        """
        self.optimizers["networks"].zero_grad()
        terms, fs, ft = self._backward(source, target)
        self.optimizers["networks"].step()
        average_buffers(self.networks, self.fabric)
        if self.average is not None:
            self.average.update_parameters(self.networks)
        return terms if self.D is None else terms | self._step_of_D(fs, ft)

    def _losses(self, source: Batch, target: Batch | None) -> tuple[dict[str, Tensor], Tensor]:
        """The terms of Eq. 5 by name, and the features they came from: the source's, then the target's."""
        weights, n = self.config.weights, len(source["image"])
        density, mask_logits, f = self._networks(source["image"], None if target is None else target["image"])
        terms = {"density": losses.density_loss(density, source["density"] * self.config.label_factor)}
        if mask_logits is not None and weights.seg_source > 0:
            terms["seg_source"] = losses.source_segmentation_loss(mask_logits[:n], source["mask"])
        if mask_logits is not None and weights.seg_target > 0 and target is not None:
            by_entropy = self.config.target_loss == "entropy"  # the other reading of Eq. 9
            loss = losses.target_entropy_loss if by_entropy else losses.target_segmentation_loss
            terms["seg_target"] = loss(mask_logits[n:], target["mask"])
        if self.D is not None:
            # E is to change here, not D: the plain module with frozen weights lets the gradient through to f.
            self.D.requires_grad_(False)
            with self.fabric.autocast():
                terms["adversarial"] = losses.adversarial_loss(self.D(f[n:]).float())
            self.D.requires_grad_(True)
        return terms, f

    def _backward(self, source: Batch, target: Batch | None) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The gradients of Eq. 5; its terms by name, and the features fs and ft without the way back to E.

        Where memory is short, a batch passes in parts (`Hardware.accumulate`), whose gradients and terms add up.
        """
        terms: dict[str, Tensor] = {}
        fs, ft = [], []
        for part_s, part_t in in_parts(self.fabric, self._networks, self._micro_batches, source, target):
            n = len(part_s["image"])
            share = n / len(source["image"])
            found, f = self._losses(part_s, part_t)
            require_finite(found)
            self.fabric.backward(losses.total_loss(weights=self.config.weights, **found) * share)
            terms = {name: terms.get(name, 0) + value.detach() * share for name, value in found.items()}
            fs.append(f[:n].detach())
            ft.append(f[n:].detach())
        return terms, torch.cat(fs), torch.cat(ft)

    def _step_of_D(self, fs: Tensor, ft: Tensor) -> dict[str, Tensor]:
        """D learns to tell the source's features from the target's."""
        domain_logits = self._D(torch.cat([fs, ft]))  # one pass over both domains
        of_source, of_target = domain_logits[: len(fs)], domain_logits[len(fs) :]
        loss = losses.discriminator_loss(of_source, of_target)
        require_finite({"discriminator": loss})
        self.optimizers["D"].zero_grad()
        self.fabric.backward(loss)
        self.optimizers["D"].step()
        with torch.no_grad():
            right = (of_source > 0).float().mean() + (of_target < 0).float().mean()
        return {"discriminator": loss, "D_accuracy": right / 2}

    def modules(self) -> dict[str, nn.Module]:
        """All that training changes, by name."""
        known = {"networks": self.networks, "average": self.average, "D": self.D}
        return {name: module for name, module in known.items() if module is not None}

    def parts(self) -> dict[str, nn.Module]:
        """What the model is made of afterwards, by symbol."""
        known = {"counter": self.deployed.counter, "S": self.deployed.S, "D": self.D}
        return {name: module for name, module in known.items() if module is not None}


@denormals_are_zero()
def adapt(
    source: CrowdDataset,
    target: CrowdDataset | None,
    config: AdaptationConfig,
    folder: str | Path,
    *,
    pseudo_masks: str | Path | None = None,
    init: str | Path | None = None,
    vgg_weights: str | Path | None = None,
    hardware: Hardware | None = None,
    records: Records | None = None,
    resume: bool = False,
    description: str = "adapt",
    rehearsal: Rehearsal | None = None,
) -> Path:
    """Train a crowd counter on the labelled `source` and the unlabelled `target`.

    Args:
        source: labelled images; a part (`config.holdout`) is kept back to choose the model.
        target: images of the target domain; their labels are never read. None where no λ needs them.
        config: what to do.
        folder: a new folder for the run (`training.loop` lists what it will hold); with `resume` an old one.
        pseudo_masks: folder of the target's masks, needed where λt > 0.
        init: checkpoint whose E and C to begin with.
        vgg_weights: file with torchvision's VGG16-BN weights, for `config.pretrained` without a network.
        records: what to leave besides the run's own files.
        rehearsal: take a few steps, measure and write nothing; see `training.dry_run`.

    Returns:
        Path of the chosen model.

    Raises:
        InputError: data, masks, checkpoint or folder do not fit.
        TrainingStopped: a loss became NaN or infinite.
    """
    hardware, folder = hardware or Hardware(), Path(folder)
    fabric = hardware.launch()
    if config.batch_size < 1 or config.steps < 0:
        raise InputError(f"cannot do {config.steps} steps of {config.batch_size} images; give positive numbers")
    trained_on, held_out = split_source(source, config)
    steps = config.total_steps(len(trained_on))
    # Before anything is written: a missing mask must not leave a folder that counts as a run.
    unlabelled = without_labels(target, pseudo_masks, config, stand_ins=rehearsal is not None)
    at_least = 2 if config.needs_semantic_extractor and unlabelled is None else 1
    hardware.refuse_small_parts(config.batch_size, fabric.world_size, at_least)

    adaptation = Adaptation(config, fabric)
    counter = adaptation.networks.counter
    if init is not None:
        tensors, card = checkpoints.load(init)
        checkpoints.refuse_other_architecture(card, counter.architecture, init)
        checkpoints.load_weights(counter, tensors, "counter", init)
    elif config.pretrained and not (resume and (folder / "last.safetensors").exists()):
        with fabric.rank_zero_first(local=True):  # one download a machine
            counter.E.load_imagenet(vgg_weights)
    adaptation.begin(hardware)

    has_masks = config.weights.seg_target > 0 and pseudo_masks is not None
    origin = origin_of_masks(str(pseudo_masks)) if has_masks else None
    run = (Run if rehearsal is None else rehearsal.run)(
        folder,
        config={
            **asdict(config),
            "source_data": source.describe(),
            "target_data": target.describe() if config.needs_target and target is not None else None,
            "pseudo_masks": folder_digest(Path(str(pseudo_masks))) if has_masks else None,
            "init": None if init is None else checkpoints.weights_digest(init),
        },
        card={"kind": "adaptation", "architecture": {"counter": counter.architecture}, "masks": origin},
        modules=adaptation.modules(),
        deployed=adaptation.parts(),
        optimizers=adaptation.optimizers,
        fabric=fabric,
        records=records or Records(),
    )
    start = run.begin(resume)

    shared: dict[str, Any] = {"seed": config.seed, "rank": fabric.global_rank, "world_size": fabric.world_size}
    source_batches = Batches(
        trained_on, config.batch_size, config.source,
        stream=SOURCE, kernel=config.kernel, mask=config.weights.seg_source > 0, **shared,
    ).on_device(fabric, start, steps, hardware.workers)  # fmt: skip
    target_batches: Iterator[Batch | None] = itertools.repeat(None)
    if unlabelled is not None:
        target_batches = Batches(
            unlabelled, config.batch_size, config.target,
            stream=TARGET, mask=config.weights.seg_target > 0, **shared,
        ).on_device(fabric, start, steps, hardware.workers)  # fmt: skip

    return run.train(
        adaptation.step,
        zip(source_batches, target_batches, strict=False),
        start=start,
        steps=steps,
        images=len(trained_on),
        description=description,
        learning_rate=adaptation_rates(config, steps, len(trained_on)),
        validate=None if held_out is None else lambda images: _count_error(adaptation.deployed.counter, images, fabric),
        held_out=held_out,
        validate_every=config.validate_every,
    )


def _count_error(counter: CrowdCounter, dataset: CrowdDataset, fabric: Fabric) -> float:
    """MAE of the counts on whole images, in people; the same in all processes, which share the images."""

    def error(index: int) -> float:
        sample = dataset[index]
        return abs(float(predict_density(counter, sample.image).sum()) - sample.count)

    with fabric.autocast():
        return float(np.mean(shared_out(error, len(dataset), fabric)))
