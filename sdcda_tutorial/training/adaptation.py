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
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sdcda_tutorial import losses
from sdcda_tutorial.datasets.base import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import folder_digest
from sdcda_tutorial.models import CrowdCounter, FeatureDiscriminator, SemanticExtractor
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.batches import SOURCE, TARGET, Batch, Batches, PseudoMasked
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.loop import Hardware, Run, denormals_are_zero, polynomial, require_finite
from sdcda_tutorial.training.segmentation import origin_of_masks


class Networks(nn.Module):
    """E, C and, where a λ asks for it, S: one module with one forward pass, as several processes need it."""

    def __init__(self, config: AdaptationConfig) -> None:
        super().__init__()
        self.counter = CrowdCounter(config.stride, config.width, config.kernels, config.label_factor)
        self.S: SemanticExtractor | None = None
        if config.needs_semantic_extractor:
            self.S = SemanticExtractor(self.counter.E.channels, config.stride)

    def forward(self, xs: Tensor, xt: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Scaled density ŷs (B, 1, H, W), mask logits and features f of the source images, then the target images."""
        # Both domains in one pass: the batch norm statistics, which the deployed counter keeps, are of both.
        f = self.counter.E(xs if xt is None else torch.cat([xs, xt]))
        density = self.counter.C(f[: len(xs)])
        return density, None if self.S is None else self.S(f), f


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
        self.D = (
            FeatureDiscriminator(self.networks.counter.E.channels, config.discriminator_width)
            if config.weights.adversarial > 0
            else None
        )

    def begin(self) -> None:
        """Move everything to its device and make the optimisers and the running mean."""
        config = self.config
        self.networks.to(memory_format=torch.channels_last)
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
        weights, xs, n = self.config.weights, source["image"], len(source["image"])
        density, mask_logits, f = self._networks(xs, None if target is None else target["image"])
        terms = {"density": losses.density_loss(density, source["density"] * self.config.label_factor)}
        if mask_logits is not None and weights.seg_source > 0:
            terms["seg_source"] = losses.source_segmentation_loss(mask_logits[:n], source["mask"])
        if mask_logits is not None and weights.seg_target > 0 and target is not None:
            terms["seg_target"] = losses.target_segmentation_loss(mask_logits[n:], target["mask"])
        if self.D is not None:
            # E is to change here, not D: the plain module with frozen weights lets the gradient through to f.
            self.D.requires_grad_(False)
            with self.fabric.autocast():
                terms["adversarial"] = losses.adversarial_loss(self.D(f[n:]).float())
            self.D.requires_grad_(True)
        require_finite(terms)
        self._descend("networks", losses.total_loss(weights=weights, **terms))
        if self.average is not None:
            self.average.update_parameters(self.networks)
        return terms if self.D is None else terms | self._step_of_D(f.detach(), n)

    def _step_of_D(self, f: Tensor, n: int) -> dict[str, Tensor]:
        """D learns to tell the first n features, the source's, from the others."""
        domain_logits = self._D(f)  # one pass over both domains
        loss = losses.discriminator_loss(domain_logits[:n], domain_logits[n:])
        require_finite({"discriminator": loss})
        self._descend("D", loss)
        with torch.no_grad():
            right = (domain_logits[:n] > 0).float().mean() + (domain_logits[n:] < 0).float().mean()
        return {"discriminator": loss, "D_accuracy": right / 2}

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        self.fabric.backward(loss)
        self.optimizers[name].step()

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
    resume: bool = False,
    description: str = "adapt",
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
    unlabelled = _unlabelled(target, pseudo_masks, config)

    adaptation = Adaptation(config, fabric)
    counter = adaptation.networks.counter
    if init is not None:
        tensors, card = checkpoints.load(init)
        checkpoints.refuse_other_architecture(card, counter.architecture, init)
        checkpoints.load_weights(counter, tensors, "counter", init)
    elif config.pretrained and not (resume and (folder / "last.safetensors").exists()):
        counter.E.load_imagenet(vgg_weights)
    adaptation.begin()

    run = Run(
        folder,
        config={
            **asdict(config),
            "source_data": source.describe(),
            "target_data": target.describe() if config.needs_target and target is not None else None,
            "pseudo_masks": None if config.weights.seg_target == 0 else folder_digest(Path(str(pseudo_masks))),
            "init": None if init is None else checkpoints.weights_digest(init),
        },
        card={
            "kind": "adaptation",
            "architecture": {"counter": counter.architecture},
            "masks": None if config.weights.seg_target == 0 else origin_of_masks(str(pseudo_masks)),
        },
        modules=adaptation.modules(),
        deployed=adaptation.parts(),
        optimizers=adaptation.optimizers,
        fabric=fabric,
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
        lambda step: adaptation.step(next(source_batches), next(target_batches)),
        start=start,
        steps=steps,
        description=description,
        learning_rate=_schedule(config, steps, len(trained_on)),
        validate=None if held_out is None else lambda: _count_error(adaptation.deployed.counter, held_out, fabric),
        validate_every=config.validate_every,
    )


def _unlabelled(
    target: CrowdDataset | None, pseudo_masks: str | Path | None, config: AdaptationConfig
) -> PseudoMasked | None:
    """The target without its labels, or None where no λ needs it."""
    if not config.needs_target:
        return None
    if target is None:
        raise InputError("this method learns from target images, but no target was given; name one with --target")
    if config.weights.seg_target == 0:
        return PseudoMasked(target, None)
    if pseudo_masks is None:
        raise InputError(
            "λt > 0 needs pseudo-masks of the target; make them with `sdcda masks` and give --masks FOLDER"
        )
    return PseudoMasked(target, pseudo_masks)


def split_source(source: CrowdDataset, config: AdaptationConfig) -> tuple[CrowdDataset, CrowdDataset | None]:
    """(trained on, held out): a random part of the source, by the seed, that only chooses the model."""
    kept_back = round(config.holdout * len(source))
    if kept_back == 0:
        return source, None
    if kept_back >= len(source):
        raise InputError(f"holdout {config.holdout} leaves nothing of {len(source)} source images to train on")
    order = np.random.default_rng([config.seed, 2]).permutation(len(source)).tolist()
    return source.subset(sorted(order[kept_back:])), source.subset(sorted(order[:kept_back]))


def _count_error(counter: CrowdCounter, dataset: CrowdDataset, fabric: Fabric) -> float:
    """MAE of the counts on whole images, in people."""
    training = counter.training
    counter.eval()
    errors = []
    with torch.inference_mode(), fabric.autocast():
        for sample in dataset:
            image = torch.from_numpy(sample.image).permute(2, 0, 1)[None].float().div(255)
            errors.append(abs(float(counter(fabric.to_device(image)).sum()) - sample.count))
    counter.train(training)
    return float(np.mean(errors))


def _schedule(config: AdaptationConfig, steps: int, images: int) -> Callable[[int], dict[str, float]]:
    def rates(step: int) -> dict[str, float]:
        if config.schedule == "polynomial":
            factor = polynomial(1.0, step, steps)
        else:
            factor = 0.995 ** (step * config.batch_size // images)
        both = {"networks": config.learning_rate * factor, "D": config.discriminator_rate * factor}
        return both if config.weights.adversarial > 0 else {"networks": both["networks"]}

    return rates
