"""A step in less memory, by micro-batches and recomputed activations, is the step of the whole batch; torch.compile."""

from __future__ import annotations

import copy
import json
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from sdcda_tutorial import losses
from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.datasets.batches import Augmentation, Batch, micro_batches
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.losses import LossWeights
from sdcda_tutorial.networks import FeatureExtractor
from sdcda_tutorial.training import checkpoints, hardware
from sdcda_tutorial.training.config import AdaptationConfig, SegmenterConfig
from sdcda_tutorial.training.counter_training import AdaptationOnDevice, adapt
from sdcda_tutorial.training.hardware import Hardware, recompute_activations
from sdcda_tutorial.training.mask_model import train_segmenter

CPU = Hardware(accelerator="cpu", precision="32-true", workers=0)
CONFIG = AdaptationConfig(
    weights=LossWeights(0.3, 0.2, 2.0),  # all large enough to be missed
    steps=2,
    batch_size=5,
    source=Augmentation((128, 128)),
    target=Augmentation((128, 128)),
    stride=8,
    width=1 / 16,
    label_factor=10.0,
    learning_rate=1e-3,
    discriminator_width=1 / 16,
    average=0.5,
    holdout=0.0,
    seed=3,
)


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image, density, mask = (torch.rand(5, channels, 128, 128, generator=generator) for channels in (3, 1, 1))
    return {"image": image, "density": density / 50, "mask": (mask > 0.5).float()}


def freeze_batch_norm_and_dropout(adaptation: AdaptationOnDevice) -> None:
    """What looks at a whole batch, or draws anew for each pass, is switched off."""
    for module in adaptation.plain.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.Dropout2d)):
            module.eval()


def stepped(where: Hardware, *, freeze: bool) -> tuple[AdaptationOnDevice, dict[str, Tensor]]:
    """Networks after one step, and the terms of the losses."""
    adaptation = AdaptationOnDevice(CONFIG, where.launch())
    adaptation.begin(where)
    if freeze:
        freeze_batch_norm_and_dropout(adaptation)
    torch.manual_seed(1)
    return adaptation, adaptation.step(batch(0), batch(1))


def gradients(adaptation: AdaptationOnDevice) -> dict[str, Tensor]:
    modules = {"networks": adaptation.plain, "D": adaptation.plain_D}
    return {f"{m}.{n}": p.grad for m, module in modules.items() for n, p in module.named_parameters()}  # type: ignore[union-attr, misc]


# --- micro-batches ----------------------------------------------------------------------------------------------------
def test_micro_batches_are_the_batch_in_order() -> None:
    whole = batch(0)
    parts = micro_batches(whole, 2)
    assert [len(part["image"]) for part in parts] == [3, 2]
    for key, value in whole.items():
        assert torch.equal(torch.cat([part[key] for part in parts]), value)
    assert micro_batches(None, 3) == [None, None, None] and micro_batches(whole, 1) == [whole]


@pytest.mark.parametrize("parts", [2, 5])
def test_the_gradients_of_micro_batches_add_up_to_that_of_the_batch(parts: int) -> None:
    one, terms = stepped(CPU, freeze=True)
    other, sums = stepped(replace(CPU, accumulate=parts), freeze=True)
    wanted, found = gradients(one), gradients(other)
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert float((found[name] - gradient).norm()) < 1e-4 * float(gradient.norm()) + 1e-6 * largest, name
    assert terms.keys() == sums.keys()
    for name, value in terms.items():
        assert float(sums[name].detach()) == pytest.approx(float(value.detach()), rel=1e-4), name


@dataclass(frozen=True)
class Scaled(Hardware):
    """Float32 whose loss is scaled as float16 needs it, by twice as much after every step of an optimiser."""

    def launch(self) -> Fabric:
        precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=1))
        precision.forward_context = nullcontext  # type: ignore[method-assign]
        precision._desired_input_dtype = torch.float32
        fabric = Fabric(accelerator="cpu", devices=1, plugins=precision)
        fabric.launch()
        return fabric


def test_micro_batches_have_one_scale_of_the_loss() -> None:
    """E, C and S step before D's last micro-batch, and that may change the scale; D's sum is of one scale still."""
    wanted, found = (gradients(stepped(where, freeze=True)[0]) for where in (CPU, Scaled(accumulate=2)))
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert float((found[name] - gradient).norm()) < 1e-4 * float(gradient.norm()) + 1e-6 * largest, name


def test_batch_norm_sees_a_micro_batch_at_a_time() -> None:
    """As the option's help says: with batch norm on, its normalisation and its statistics are of the parts."""
    one, _ = stepped(CPU, freeze=False)
    other, _ = stepped(replace(CPU, accumulate=5), freeze=False)
    norms = [next(m for m in a.plain.modules() if isinstance(m, nn.BatchNorm2d)) for a in (one, other)]
    assert [int(norm.num_batches_tracked) for norm in norms] == [1, 5]  # type: ignore[arg-type]
    first = "networks.counter.E.features.0.weight"
    assert not torch.allclose(gradients(one)[first], gradients(other)[first], rtol=1e-3)


def test_a_term_that_is_not_finite_in_any_part_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    adaptation = AdaptationOnDevice(CONFIG, CPU.launch())
    adaptation.begin(replace(CPU, accumulate=2))
    before = copy.deepcopy(list(adaptation.plain.parameters()))
    calls = iter([1.0, float("nan")])
    density_loss = losses.density_loss
    monkeypatch.setattr(losses, "density_loss", lambda *a: density_loss(*a) * next(calls))
    with pytest.raises(FloatingPointError, match="the density loss"):
        adaptation.step(batch(0), batch(1))
    assert all(torch.equal(a, b) for a, b in zip(before, adaptation.plain.parameters(), strict=True))


def test_the_mask_model_accumulates_too(third: CrowdDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    loss = losses.source_segmentation_loss
    monkeypatch.setattr(losses, "source_segmentation_loss", lambda *a: (seen.append(len(a[0])), loss(*a))[1])
    config = SegmenterConfig(
        steps=2, batch_size=5, augmentation=Augmentation((64, 64)), stride=8, width=1 / 16
    )  # fmt: skip
    model = train_segmenter(third, config, tmp_path / "run", hardware=replace(CPU, accumulate=2))
    assert seen == [3, 2, 3, 2] and checkpoints.load_segmenter(model)


@pytest.mark.parametrize(("weights", "batch_size", "accumulate", "at_least"), [
    (LossWeights(0.3, 0.2, 2.0), 5, 6, 1),
    (LossWeights(0.3, 0, 0), 5, 3, 2),  # S, and no target beside the source
])  # fmt: skip
def test_parts_that_are_too_small_are_refused_first(
    weights: LossWeights, batch_size: int, accumulate: int, at_least: int, source: CrowdDataset, target: CrowdDataset,
    pseudo_masks: Path, tmp_path: Path,
) -> None:  # fmt: skip
    config = replace(CONFIG, weights=weights, batch_size=batch_size)
    with pytest.raises(
        InputError, match=rf"a batch of {batch_size} .*{accumulate} micro.* fewer than {at_least} image"
    ):
        adapt(
            source, target, config, tmp_path / "run", pseudo_masks=pseudo_masks,
            hardware=replace(CPU, accumulate=accumulate),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


# --- recomputed activations -------------------------------------------------------------------------------------------
def test_recomputed_activations_change_nothing() -> None:
    """Losses, gradients and weights to the bit; and batch norm's statistics, which a second pass would move again."""
    one, terms = stepped(CPU, freeze=False)
    other, again = stepped(replace(CPU, checkpoint_activations=True), freeze=False)
    assert "forward" in vars(other.plain.counter.E.features) and "forward" not in vars(one.plain.counter.E.features)
    assert all(torch.equal(terms[name], again[name]) for name in terms)
    wanted, found = gradients(one), gradients(other)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    for name, value in one.plain.state_dict().items():  # weights, running means and variances, counters
        assert torch.equal(other.plain.state_dict()[name], value), name


def test_recomputation_keeps_fewer_activations() -> None:
    def kept(extractor: FeatureExtractor) -> int:
        sizes: list[int] = []

        def note(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            extractor(torch.rand(2, 3, 64, 64))
        return sum(sizes)

    extractor = FeatureExtractor(16, 1 / 16)
    plain = kept(extractor)
    recompute_activations(extractor)
    assert 0 < kept(extractor) < plain / 5
    with torch.no_grad():  # nothing to save where no gradient is asked for
        assert kept(extractor) == 0


def test_frozen_batch_norm_stays_frozen_when_activations_are_recomputed() -> None:
    extractor = FeatureExtractor(8, 1 / 16).eval()
    x = torch.rand(2, 3, 64, 64)
    plain = extractor(x)
    recompute_activations(extractor)
    before = copy.deepcopy(dict(extractor.named_buffers()))
    features = extractor(x)
    features.sum().backward()
    assert torch.equal(features, plain)
    assert all(torch.equal(value, before[name]) for name, value in extractor.named_buffers())


# --- torch.compile ----------------------------------------------------------------------------------------------------
def eager(model: nn.Module, **_: Any) -> None:
    """torch.compile with a back end that traces and checks but generates no code: fast, and needs no compiler."""
    nn.Module.compile(model, backend="aot_eager")


@pytest.mark.slow
def test_compiled_networks_have_the_old_names_and_can_be_gone_on_with(
    source: CrowdDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Augmentation((64, 64))
    config = replace(CONFIG, weights=LossWeights(0, 0, 0), steps=1, batch_size=2, source=window)
    found = {}
    for name, compiler in (("plain", None), ("compiled", eager)):
        with monkeypatch.context() as patch:
            patch.setattr(Hardware, "prepare", prepared_by(compiler))
            adapt(source, None, config, tmp_path / name, hardware=CPU)
        log = json.loads((tmp_path / name / "metrics.jsonl").read_text())
        found[name] = log["density"], checkpoints.load(tmp_path / name / "last.safetensors")[0].keys()
    assert found["plain"][0] == pytest.approx(found["compiled"][0], rel=1e-3)
    assert found["plain"][1] == found["compiled"][1]  # no `_orig_mod` anywhere, nor in the running mean
    checkpoints.load_counter(tmp_path / "compiled" / "model.safetensors")
    networks = nn.Linear(2, 2)
    Hardware(compile=True).prepare(networks)  # compiled when it is first called
    assert networks._compiled_call_impl is not None and networks.state_dict().keys() == {"weight", "bias"}
    # The checkpoint does not tell: it can be gone on with without compiling.
    adapt(source, None, config, tmp_path / "compiled", hardware=CPU, resume=True)


def prepared_by(compiler: Any) -> Any:
    original = Hardware.prepare

    def prepare(self: Hardware, networks: nn.Module) -> None:
        original(self, networks)
        if compiler is not None:
            compiler(networks)

    return prepare


def test_no_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("\nNo working C++ compiler found\nand a hundred lines more")

    monkeypatch.setattr(torch, "compile", fail)
    hardware._require_compiler.cache_clear()
    with pytest.raises(
        InputError, match=r"does not work here \(No working C\+\+ compiler found\).*drop `compile`"
    ) as e:
        replace(CPU, compile=True).launch()
    assert "\n" not in str(e.value)
    hardware._require_compiler.cache_clear()
    with pytest.raises(InputError, match="drop `compile` or `checkpoint_activations`"):
        Hardware(compile=True, checkpoint_activations=True)
