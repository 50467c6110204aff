"""CycleGAN as it is trained, and the translated source: no label is read or changed, and no kill loses or alters."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from native_files import complaint, write_gcc
from PIL import Image
from torch import nn

from sdcda_tutorial.datasets import GCC, CrowdDataset, ImageFolder, open_dataset
from sdcda_tutorial.datasets.batches import Augmentation
from sdcda_tutorial.datasets.formats.gcc import TRANSLATED
from sdcda_tutorial.datasets.sample import Sample
from sdcda_tutorial.errors import TrainingStopped
from sdcda_tutorial.experiments.presets import MINI, PAPER
from sdcda_tutorial.networks import CrowdCounter
from sdcda_tutorial.rivals import cyclegan_losses as losses
from sdcda_tutorial.rivals import translated_source
from sdcda_tutorial.rivals.cyclegan import Generators
from sdcda_tutorial.rivals.cyclegan_losses import TranslationWeights
from sdcda_tutorial.rivals.translated_source import translate, translated_image
from sdcda_tutorial.rivals.translation import (
    Translation,
    TranslationConfig,
    linear_decay,
    load_generators,
    train_translation,
    translation_quality,
)
from sdcda_tutorial.training import checkpoints, loop
from sdcda_tutorial.training.hardware import Hardware

CPU = Hardware(accelerator="cpu", precision="32-true", workers=0)
# All that a resumed run could forget is on: a pool that is full after the first step, the decay, every loss term.
TINY = TranslationConfig(
    weights=TranslationWeights(structure=1.0),
    steps=4,
    batch_size=2,
    augmentation=Augmentation((24, 32)),
    blocks=1,
    width=1 / 16,
    discriminator_width=1 / 16,
    pool=2,
    learning_rate=1e-2,
    preview_every=2,
    save_every=1,
    seed=3,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        yield
    torch.set_num_threads(threads)


def train(source: CrowdDataset, target: CrowdDataset, folder: Path, *, resume: bool = False, **changes: Any) -> Path:
    return train_translation(source, target, replace(TINY, **changes), folder, hardware=CPU, resume=resume)


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this should not have been touched")


def without_labels(dataset: CrowdDataset) -> CrowdDataset:
    """The data set, but whoever looks at a label fails."""
    blind = dataset.subset(range(len(dataset)))
    blind.__class__ = type(
        type(dataset).__name__, (type(dataset),), {"__getitem__": refuse, "_labels": refuse, "_load": refuse}
    )
    return blind


@pytest.fixture(scope="module")
def run(source: CrowdDataset, target: CrowdDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed, on domains whose labels nobody can read."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert train(without_labels(source), without_labels(target), folder) == folder / "model.safetensors"
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def differing(a: Path, b: Path) -> list[str]:
    """Names of the tensors in two checkpoints that are not the same bits."""
    ours, theirs = checkpoints.load(a)[0], checkpoints.load(b)[0]
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


# --- the step ---------------------------------------------------------------------------------------------------------
def test_one_step_is_the_gradient_of_the_written_loss() -> None:
    torch.manual_seed(0)
    translation = Translation(replace(TINY, weights=TranslationWeights(7.0, 0.3, 2.0)), CPU.launch())
    x = {"image": torch.rand(2, 3, 24, 32)}, {"image": torch.rand(2, 3, 24, 32)}
    G, D = copy.deepcopy(translation.generators), copy.deepcopy(translation.discriminators)
    terms = translation.step(*x)

    xs, xt = x[0]["image"], x[1]["image"]
    forth, back = G.to_target, G.to_source
    loss = ((D.of_target(forth(xs)) - 1) ** 2).mean() + ((D.of_source(back(xt)) - 1) ** 2).mean()
    # The weights are for images in [-1, 1], so each absolute difference counts twice.
    loss = loss + 7.0 * 2 * ((back(forth(xs)) - xs).abs().mean() + (forth(back(xt)) - xt).abs().mean())
    loss = loss + 7.0 * 0.3 * 2 * ((back(xs) - xs).abs().mean() + (forth(xt) - xt).abs().mean())
    structure = losses.structure_loss(back(forth(xs)), xs) + losses.structure_loss(forth(back(xt)), xt)
    (loss + 2.0 * structure).backward()
    for ours, theirs in zip(translation.generators.parameters(), G.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    D.zero_grad()
    with torch.no_grad():
        s_to_t, t_to_s = forth(xs), back(xt)
    seen = ((D.of_source(xs) - 1) ** 2).mean() + (D.of_source(t_to_s) ** 2).mean()
    seen = 0.5 * (seen + ((D.of_target(xt) - 1) ** 2).mean() + (D.of_target(s_to_t) ** 2).mean())
    seen.backward()
    for ours, theirs in zip(translation.discriminators.parameters(), D.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    assert float(terms["D_source"] + terms["D_target"]) == pytest.approx(float(seen.detach()), rel=1e-5)
    torch.testing.assert_close(terms["structure"], structure)


def test_cyclegan_is_se_cyclegan_without_the_structure_term() -> None:
    for config in (PAPER.translation, MINI.translation):
        assert config.method("se-cyclegan") == config and config.weights.structure == 1
        assert config.method("cyclegan") == replace(config, weights=replace(config.weights, structure=0.0))
    terms = Translation(replace(TINY, weights=TranslationWeights()), CPU.launch()).step(
        {"image": torch.rand(1, 3, 24, 32)}, {"image": torch.rand(1, 3, 24, 32)}
    )
    assert terms.keys() == {"fooling", "cycle", "identity", "D_source", "D_target"}
    complaint(lambda: TINY.method("stargan"), "stargan", "cyclegan, se-cyclegan")


def test_the_paper_preset_is_cyclegans() -> None:
    config = PAPER.translation
    assert (config.blocks, config.width, config.discriminator_width, config.pool) == (9, 1.0, 1.0, 50)
    assert (config.learning_rate, config.batch_size, config.augmentation.crop) == (2e-4, 1, (256, 256))
    assert (config.weights.cycle, config.weights.identity) == (10, 0.5) and config.total_steps(300) == 200 * 300
    adam = Translation(TINY, CPU.launch()).optimizers
    assert {tuple(adam[name].param_groups[0]["betas"]) for name in adam} == {(0.5, 0.999)}


def test_the_rate_is_constant_and_then_falls_along_a_line() -> None:
    rates = [linear_decay(0.2, step, 10) for step in range(11)]
    assert rates == pytest.approx([0.2] * 6 + [0.16, 0.12, 0.08, 0.04, 0.0])


# --- the run ----------------------------------------------------------------------------------------------------------
def test_a_run_leaves_what_it_should(run: Path) -> None:
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4] and all(np.isfinite(v) for x in log for v in x.values())
    assert json.loads((run / "config.json").read_text())["weights"]["structure"] == 1.0
    assert sorted(p.name for p in (run / "previews").iterdir()) == ["step_000002.png", "step_000004.png"]
    generators, card = load_generators(run / "model.safetensors")
    assert card["kind"] == "translation" and card["chosen"]["step"] == 4 and not generators.training
    assert not any(
        name.startswith(("discriminators", "pools")) for name in checkpoints.load(run / "model.safetensors")[0]
    )


def test_a_preview_is_source_translated_and_back_again(run: Path, source: CrowdDataset) -> None:
    picture = np.asarray(Image.open(run / "previews" / "step_000004.png"))
    # Six rows of three pictures of 24×32 with 4 pixels between: three of the source, three of the target.
    assert picture.shape == (6 * 28 + 4, 3 * 36 + 4, 3)
    generators, _ = load_generators(run / "model.safetensors")
    for row, (there, back) in enumerate([(generators.to_target, generators.to_source)] * 3
                                        + [(generators.to_source, generators.to_target)] * 3):  # fmt: skip
        cells = [picture[4 + 28 * row :][:24, 4 + 36 * column :][:, :32] for column in range(3)]
        with torch.no_grad():
            x = torch.from_numpy(cells[0].copy()).permute(2, 0, 1)[None].float() / 255
            made = [(image[0] * 255).permute(1, 2, 0).numpy() for image in (there(x), back(there(x)))]
        for cell, image in zip(cells[1:], made, strict=True):
            assert float(np.abs(cell - image).max()) < 2
    first = picture[4:28, 4:36]
    assert any(_contains(source.read_image(index), first) for index in range(len(source)))


def _contains(image: np.ndarray, crop: np.ndarray) -> bool:
    """Whether the crop, or its mirror image, is a window of the image."""
    windows = np.lib.stride_tricks.sliding_window_view(image[..., 0], crop.shape[:2])
    return any((windows == window[..., 0]).all(axis=(2, 3)).any() for window in (crop, crop[:, ::-1]))


@pytest.mark.parametrize("done", [1, 3])
def test_a_resumed_run_is_the_unbroken_one(
    source: CrowdDataset, target: CrowdDataset, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    step, calls = Translation.step, 0

    def killed(self: Translation, *batches: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > done:
            raise KeyboardInterrupt
        return step(self, *batches)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Translation, "step", killed)
        train(source, target, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    train(source, target, tmp_path / "run", resume=True)
    for name in ("last.safetensors", "model.safetensors"):
        assert not differing(tmp_path / "run" / name, run / name)
    assert any(name.startswith("pools.") for name in checkpoints.load(run / "last.safetensors")[0])
    ours, theirs = files_of(tmp_path / "run"), files_of(run)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name] and not name.endswith(".safetensors")] == []


def test_what_is_in_the_pool_matters_to_a_resumed_run(
    source: CrowdDataset, target: CrowdDataset, run: Path, tmp_path: Path
) -> None:
    """So the test before this one would notice a pool that is forgotten."""
    shutil.copytree(run, tmp_path / "run")
    last = tmp_path / "run" / "last.safetensors"
    tensors, card = checkpoints.load(last)
    pools = {
        name: torch.zeros_like(t) if name.endswith("images") else t for name, t in tensors.items() if "pool" in name
    }
    models = []
    for name, state in {"as it was": tensors, "forgotten": {**tensors, **pools}}.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "run", folder)
        (folder / "model.safetensors").unlink()
        checkpoints.save(
            folder / "last.safetensors", state, {**card, "state": {**card["state"], "step": 2, "log_sha256": None}}
        )
        models.append(train(source, target, folder, resume=True))
    assert differing(*models)


def test_bad_input_is_one_line(source: CrowdDataset, target: CrowdDataset, run: Path, tmp_path: Path) -> None:
    def started(**changes: Any) -> Callable[[], Path]:
        return lambda: train(source, target, tmp_path / "new", **changes)

    complaint(started(batch_size=0), "batch_size is above 0")
    complaint(lambda: train(source, target, run), run, "`resume`")
    complaint(lambda: train(source, target, run, resume=True, pool=3), "pool = 2, not 3")
    complaint(lambda: train(source, source, run, resume=True), "target_data")
    for crop in ((26, 32), (20, 32)):
        complaint(lambda crop=crop: with_crop(crop), "multiples of 4", f"{crop[0]}x{crop[1]}")  # type: ignore[misc]
    for hardware in (Hardware(devices=2), Hardware(accumulate=2)):
        complaint(
            lambda h=hardware: train_translation(source, target, TINY, tmp_path / "new", hardware=h), "one device"
        )  # type: ignore[misc]
    assert not (tmp_path / "new").exists()
    complaint(lambda: load_generators(run / "last.safetensors"), "no translation", "model.safetensors")
    counter = CrowdCounter(8, 1 / 32)
    card = {"kind": "adaptation", "architecture": {"counter": counter.architecture}}
    checkpoints.save(tmp_path / "counter.safetensors", checkpoints.module_tensors({"counter": counter}), card)
    complaint(lambda: load_generators(tmp_path / "counter.safetensors"), "no translation")
    complaint(lambda: load_generators(tmp_path / "none.safetensors"), "does not exist")


def with_crop(crop: tuple[int, int]) -> TranslationConfig:
    return replace(TINY, augmentation=Augmentation(crop))


def test_a_loss_that_is_no_number_stops_before_it_is_learnt(
    source: CrowdDataset, target: CrowdDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "structure_loss", lambda cycle, x: cycle.sum() * torch.nan)
    with pytest.raises(TrainingStopped, match="the structure loss is not finite at step 0"):
        train(source, target, tmp_path / "run")
    assert checkpoints.read_card(tmp_path / "run" / "last.safetensors")["state"]["step"] == 0


# --- a pair of domains whose answer is known --------------------------------------------------------------------------
GAIN, OFFSET = np.array([0.6, 0.8, 0.5]), np.array([0.05, 0.0, 0.5])  # of R, G and B


def checkered(rng: np.random.Generator) -> np.ndarray:
    """Squares of random colours, (32, 32, 3) in [0, 1].

    No picture is brighter or more colourful than another: instance norm takes just that away from each.
    """
    return np.kron(rng.uniform(0, 1, (8, 8, 3)), np.ones((4, 4, 1)))


@pytest.mark.slow
def test_a_known_change_of_colour_is_recovered(tmp_path: Path) -> None:
    """The target is a darker, bluer source. No picture is in both, and none is seen again in the end."""
    rng = np.random.default_rng(0)
    for domain, gain, offset in (("source", np.ones(3), np.zeros(3)), ("target", GAIN, OFFSET)):
        (tmp_path / domain).mkdir()
        for number in range(40):
            pixels = np.round(255 * (gain * checkered(rng) + offset)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / domain / f"{number:02d}.png")
    config = TranslationConfig(
        weights=TranslationWeights(identity=1.0),
        steps=180,
        batch_size=4,
        augmentation=Augmentation((32, 32)),
        blocks=0,
        width=1 / 8,
        discriminator_width=1 / 8,
        learning_rate=6e-3,
    )
    domains = [ImageFolder(tmp_path / domain) for domain in ("source", "target")]
    model = train_translation(domains[0], domains[1], config, tmp_path / "run", hardware=CPU)
    generators, _ = load_generators(model)
    source = np.stack([checkered(rng) for _ in range(20)])
    xs, xt = (torch.from_numpy(x).permute(0, 3, 1, 2).float() for x in (source, GAIN * source + OFFSET))
    with torch.no_grad():
        forth, back = generators.to_target(xs), generators.to_source(xt)
    untouched = float((xs - xt).abs().mean())
    assert float((forth - xt).abs().mean()) < untouched / 2.5
    assert float((back - xs).abs().mean()) < untouched / 2
    for channel, (gain, offset) in enumerate(zip(GAIN, OFFSET, strict=True)):  # the line that was learnt
        found = np.polyfit(xs[:, channel].flatten().numpy(), forth[:, channel].flatten().numpy(), 1)
        assert found == pytest.approx((gain, offset), abs=0.12)


# --- what a translation does ------------------------------------------------------------------------------------------
def test_the_quality_of_translations_that_change_nothing_and_everything() -> None:
    """Generators that hand the image through are perfect; one that paints all of it gray keeps nothing."""
    rng = np.random.default_rng(1)
    images = [Sample((255 * checkered(rng)).astype(np.uint8), np.zeros((0, 2), np.float32)) for _ in range(120)]
    generators = Generators(0, 1 / 64)
    generators.to_target, generators.to_source = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    perfect = {"cycle_ssim": 1.0, "cycle_l1": 0.0, "translated_ssim": 1.0}
    assert translation_quality(generators, images, images) == {"source": perfect, "target": perfect}

    class Gray(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full_like(x, 0.5)

    generators.to_target = Gray()  # type: ignore[assignment]
    found = translation_quality(generators, images, images)
    seen = range(0, 120, 3)  # at most 50
    by_hand = np.mean([2 * np.abs(images[i].image / 255 - 0.5).mean() for i in seen])
    assert found["source"]["cycle_l1"] == pytest.approx(by_hand, abs=1e-3)
    assert found["source"]["translated_ssim"] < 0.1 and found["target"]["translated_ssim"] == 1.0
    assert found["target"]["cycle_ssim"] == found["source"]["cycle_ssim"] < 0.1


# --- the translated source --------------------------------------------------------------------------------------------
def test_an_image_of_one_block_is_refused(run: Path) -> None:
    generator = load_generators(run / "model.safetensors")[0].to_target
    complaint(lambda: translated_image(generator, np.zeros((40, 4, 3), np.uint8)), "an image of 4x40 is too small")
    assert translated_image(generator, np.zeros((5, 5, 3), np.uint8)).shape == (5, 5, 3)


@pytest.fixture(scope="module")
def translated(run: Path, source: CrowdDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training part of the mini world, translated."""
    out = tmp_path_factory.mktemp("translated") / "gcc"
    assert translate(run / "model.safetensors", source, out, hardware=CPU) == out
    return out


def test_labels_stay_byte_for_byte(translated: Path, source: CrowdDataset, mini_world: Path) -> None:
    root = mini_world / "source"
    for index in range(len(source)):
        picture, *labels = source.files(index)
        assert len(labels) == 2 and {label.suffix for label in labels} == {".mat", ".raw"}
        for label in labels:
            assert (translated / label.relative_to(root)).read_bytes() == label.read_bytes()
        assert (translated / picture.relative_to(root)).read_bytes() != picture.read_bytes()
    assert (translated / "train.txt").read_bytes() == (root / "train.txt").read_bytes()
    assert not (translated / "test.txt").exists()  # none of its images was translated
    assert len(list(translated.rglob("*.jpg"))) == len(source) and not list(translated.parent.glob(".*"))


def test_the_loader_of_gcc_reads_it(translated: Path, source: CrowdDataset, run: Path) -> None:
    again = open_dataset(f"gcc:{translated}", "train")
    generator = load_generators(run / "model.safetensors")[0].to_target
    assert again.names == source.names
    for before, after in zip(source, again, strict=True):
        np.testing.assert_array_equal(after.points, before.points)
        np.testing.assert_array_equal(after.mask, before.mask)
        assert after.attributes == before.attributes and after.size == before.size
        wanted = translated_image(generator, before.image).astype(float)
        assert float(np.abs(wanted - after.image).mean()) < 4  # what JPEG costs
        assert float(np.abs(wanted - before.image).mean()) > 8


def test_a_translation_goes_on_where_it_was(
    translated: Path, source: CrowdDataset, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def killed_after(number: int) -> Callable[..., np.ndarray]:
        def one(*arguments: Any) -> np.ndarray:
            nonlocal calls
            calls += 1
            if calls > number:
                raise KeyboardInterrupt
            return translated_image(*arguments)

        return one

    def go() -> Path:
        return translate(run / "model.safetensors", source, tmp_path / "gcc", hardware=CPU)

    with monkeypatch.context() as patch:
        patch.setattr(translated_source, "translated_image", killed_after(3))
        with pytest.raises(KeyboardInterrupt):
            go()
        assert not (tmp_path / "gcc").exists()  # nobody takes a part for the whole
        for place in {path.parent for path in (tmp_path / ".gcc.translating").rglob("*")}:
            (place / f".tmp-{'0a' * 8}.jpg").touch()  # what a kill in the middle of writing leaves
        damaged = next((tmp_path / ".gcc.translating").rglob("[!.]*.jpg"))  # it is made again
        damaged.write_bytes(damaged.read_bytes()[:300])
        calls = 0
        patch.setattr(translated_source, "translated_image", killed_after(len(source) - 2))
        go()
        patch.setattr(translated_source, "translated_image", refuse)
        go()  # it is complete
    assert calls == len(source) - 2
    ours, theirs = files_of(tmp_path / "gcc"), files_of(translated)
    assert {**ours, TRANSLATED: b""} == {**theirs, TRANSLATED: b""}


def test_nothing_of_another_origin_is_mixed_or_lost(
    translated: Path, source: CrowdDataset, target: CrowdDataset, run: Path, tmp_path: Path
) -> None:
    def go(out: Path, data: CrowdDataset = source, model: Path = run / "model.safetensors") -> Callable[[], Path]:
        return lambda: translate(model, data, out, hardware=CPU)

    before = files_of(translated)
    complaint(go(translated, source.subset([0])), translated, "source: images = 8, not 1")
    other = tmp_path / "other.safetensors"
    tensors, card = checkpoints.load(run / "model.safetensors")
    checkpoints.save(other, {name: tensor + 1 for name, tensor in tensors.items()}, card)
    complaint(go(translated, model=other), translated, "weights_sha256")
    assert files_of(translated) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    complaint(go(tmp_path / "mine"), tmp_path / "mine", "something else")
    complaint(go(tmp_path / "new", target), "GCC's layout", target.name)
    assert not (tmp_path / "new").exists() and files_of(tmp_path / "mine") == {"thesis.txt": b"mine"}
    (tmp_path / "begun").with_name(".begun.translating").mkdir()
    shutil.copy(translated / TRANSLATED, tmp_path / ".begun.translating" / TRANSLATED)
    complaint(go(tmp_path / "begun", model=other), ".begun.translating", "weights_sha256")


def test_sizes_that_are_no_multiples_of_four_pngs_and_shrunk_images(run: Path, tmp_path: Path) -> None:
    points = np.array([[3, 5], [30, 50]])
    for id_, kind, size in (("1000000001", "jpg", (37, 53)), ("1000000002", "png", (42, 55))):
        write_gcc(tmp_path / "gcc", "scene_01_0", id_, points, size=size, kind=kind, mask=np.eye(*size))
    (tmp_path / "empty").mkdir()
    for name, options in {"stored": {}, "empty": {"max_side": 27}}.items():
        source = GCC(tmp_path / "gcc", **options)  # without lists: every scene there is
        out = translate(run / "model.safetensors", source, tmp_path / name, hardware=CPU)
        stored = GCC(out)
        assert [sample.size for sample in stored] == [(37, 53), (42, 55)] and stored.names == source.names
        assert [path.suffix for path in stored.image_paths] == [".jpg", ".png"]
        assert all(sample.count == 2 and sample.dropped == 0 for sample in stored)
        assert files_of(out / "scene_01_0" / "mats") == files_of(tmp_path / "gcc" / "scene_01_0" / "mats")
    generator = load_generators(run / "model.safetensors")[0].to_target
    wanted = translated_image(generator, GCC(tmp_path / "gcc").read_image(1))
    np.testing.assert_array_equal(GCC(tmp_path / "stored").read_image(1), wanted)  # a PNG loses nothing


def test_of_a_part_of_a_list_the_lines_stay_as_they_are(
    mini_world: Path, source: CrowdDataset, run: Path, tmp_path: Path
) -> None:
    root = tmp_path / "source"
    shutil.copytree(mini_world / "source", root)
    fields = [line.split() for line in (root / "train.txt").read_text().splitlines()]
    foreign = [" ".join([*f[:3], f"/authors/own/{f[3]}", *f[4:]]) + "\r\n" for f in fields]
    (root / "train.txt").write_text("".join(foreign), newline="")
    part = open_dataset(f"gcc:{root}", "train").subset([5, 2])
    out = translate(run / "model.safetensors", part, tmp_path / "out", hardware=CPU)
    assert (out / "train.txt").read_bytes().decode() == foreign[2] + foreign[5]
    assert sorted(open_dataset(f"gcc:{out}", "train").names) == sorted(part.names)
