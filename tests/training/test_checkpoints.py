"""Checkpoints: what comes back is what went in, and a file that is none says so in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sdcda_tutorial import networks
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.networks import CrowdCounter, FeatureDiscriminator, SemanticExtractor
from sdcda_tutorial.training import checkpoints
from sdcda_tutorial.training.checkpoints import save_file
from sdcda_tutorial.training.saving import Log

ARCHITECTURE = {"stride": 8, "width": 1 / 16, "counter": "authors", "label_factor": 10.0}
CARD = {"kind": "adaptation", "architecture": {"counter": ARCHITECTURE}, "note": "λ"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and resource limits are POSIX")


def make_counter(**changes: Any) -> CrowdCounter:
    """A counter whose batch norms have seen something, channels-last as in training."""
    torch.manual_seed(0)
    counter = networks.make_counter(**{**ARCHITECTURE, **changes}).to(memory_format=torch.channels_last)
    counter(torch.rand(2, 3, 32, 32))
    return counter


@pytest.fixture(scope="module")
def counter() -> CrowdCounter:
    return make_counter()


@pytest.fixture
def path(counter: CrowdCounter, tmp_path: Path) -> Path:
    file = tmp_path / "run" / "model.safetensors"
    checkpoints.save(file, checkpoints.module_tensors({"counter": counter}), CARD)
    return file


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def one_line(caught: pytest.ExceptionInfo[InputError], path: Path) -> str:
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


# --- round trips ------------------------------------------------------------------------------------------------------
def test_tensors_and_card_come_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = {
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": torch.randn(7).half(),
        "count": torch.tensor(12),
        "view": torch.arange(12.0).view(3, 4).t(),
        "odd": torch.tensor([float("inf"), -0.0, 1e-45]),
    }
    checkpoints.save(tmp_path / "a.safetensors", tensors, CARD)
    loaded, card = checkpoints.load(str(tmp_path / "a.safetensors"))
    assert card == CARD and loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and torch.equal(loaded[name], tensor)
    assert torch.signbit(loaded["odd"][1])


def test_the_counter_comes_back_bit_for_bit_and_ready_to_predict(counter: CrowdCounter, path: Path) -> None:
    loaded, card = checkpoints.load_counter(path)
    assert card == CARD and same(loaded, counter) and not loaded.training
    x = torch.rand(1, 3, 37, 50)
    reference = make_counter().eval()
    assert torch.equal(loaded.to(memory_format=torch.channels_last)(x), reference(x))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no UTF-8")
def test_a_folder_whose_name_is_no_utf_8(counter: CrowdCounter, path: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    copy = shutil.copy(path, folder / "model.safetensors")
    for name, tensor in checkpoints.load(path)[0].items():
        assert torch.equal(checkpoints.load(copy)[0][name], tensor)
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="is broken"):
        checkpoints.load(copy)


def test_half_precision_files_load_as_float32(counter: CrowdCounter, path: Path, tmp_path: Path) -> None:
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in checkpoints.load(path)[0].items()}
    checkpoints.save(tmp_path / "half.safetensors", tensors, CARD)
    loaded, _ = checkpoints.load_counter(tmp_path / "half.safetensors")
    for name, value in loaded.state_dict().items():
        stored = counter.state_dict()[name]
        assert value.dtype == stored.dtype
        assert torch.equal(value, stored.half().float() if stored.is_floating_point() else stored)


def test_an_export_is_half_the_size_and_counts_the_same(counter: CrowdCounter, path: Path, tmp_path: Path) -> None:
    checkpoints.export(path, tmp_path / "half.safetensors", {"mae": 3.5})
    loaded, card = checkpoints.load_counter(tmp_path / "half.safetensors")
    assert card == {**CARD, "mae": 3.5}
    for name, value in loaded.state_dict().items():
        stored = counter.state_dict()[name]
        assert torch.equal(value, stored.half().float() if stored.is_floating_point() else stored), name
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * path.stat().st_size
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert float(loaded(x).sum()) == pytest.approx(float(counter.eval()(x).sum()), rel=5e-3)


def test_an_export_leaves_d_out_and_refuses_what_does_not_fit(counter: CrowdCounter, tmp_path: Path) -> None:
    full = tmp_path / "full.safetensors"
    D = FeatureDiscriminator(counter.E.channels, 1 / 16)
    checkpoints.save(full, checkpoints.module_tensors({"counter": counter, "D": D}), CARD)
    checkpoints.export(full, tmp_path / "half.safetensors")
    assert not any(name.startswith("D.") for name in checkpoints.load(tmp_path / "half.safetensors")[0])
    with torch.no_grad():
        counter.E.features[0].bias[0] = 1e6  # more than float16 holds
    checkpoints.save(full, checkpoints.module_tensors({"counter": counter}), CARD)
    with pytest.raises(InputError, match=r"counter.E.features.0.bias .* does not fit into half precision"):
        checkpoints.export(full, tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_segmenters_and_adapted_models_with_an_s_load_as_segmenters(counter: CrowdCounter, tmp_path: Path) -> None:
    S = SemanticExtractor(counter.E.channels, 8)
    for modules in ({"counter.E": counter.E, "S": S}, {"counter": counter, "S": S}):
        checkpoints.save(tmp_path / "s.safetensors", checkpoints.module_tensors(modules), CARD)
        loaded, _ = checkpoints.load_segmenter(tmp_path / "s.safetensors")
        assert same(loaded["E"], counter.E) and same(loaded["S"], S) and not loaded.training


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_optimisers_come_back_bit_for_bit(kind: Any, tmp_path: Path) -> None:
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(1)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 3)).to(
            memory_format=torch.channels_last
        )
        return net, kind(net.parameters(), 1e-2)

    def work(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        net(torch.rand(2, 3, 9, 9)).square().mean().backward()
        optimizer.step()

    net, optimizer = build()
    work(net, optimizer, 1)
    work(net, optimizer, 2)
    stored = checkpoints.module_tensors({"net": net}) | checkpoints.optimizer_tensors({"main": optimizer})
    checkpoints.save(tmp_path / "last.safetensors", stored, {})
    again, its_optimizer = build()
    tensors, _ = checkpoints.load(tmp_path / "last.safetensors")
    checkpoints.load_weights(again, tensors, "net", "last")
    checkpoints.restore_optimizers({"main": its_optimizer}, tensors, "last")
    for p, q in zip(net.parameters(), again.parameters(), strict=True):
        for key, value in optimizer.state[p].items():
            restored = its_optimizer.state[q][key]
            assert torch.equal(restored, value) and restored.stride() == value.stride()
    work(net, optimizer, 3)
    work(again, its_optimizer, 3)
    assert same(net, again)

    with pytest.raises(InputError, match="does not fit this run"):  # not: go on without the moments
        checkpoints.restore_optimizers({"other": its_optimizer}, tensors, "last")
    tensors["optimizer.main.0.exp_avg"] = torch.zeros(5, 5)
    with pytest.raises(InputError, match=r"optimizer\.main\.0\.exp_avg has another shape"):
        checkpoints.restore_optimizers({"main": its_optimizer}, tensors, "last")


# --- files that are none ----------------------------------------------------------------------------------------------
LOADERS = [checkpoints.load_counter, checkpoints.load_segmenter]


@pytest.mark.parametrize("load", LOADERS)
def test_missing_files_and_folders(load: Callable[[Path], Any], tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none.safetensors", "does not exist"), (tmp_path, "is a folder; name a .safe")):
        with pytest.raises(InputError, match=says) as caught:
            load(path)
        one_line(caught, path)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_truncated_files(load: Callable[[Path], Any], kept: float, path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, int(kept * size) if isinstance(kept, float) else kept % size)
    with pytest.raises(InputError, match="is broken") as caught:
        load(path)
    one_line(caught, path)


@pytest.mark.parametrize("load", LOADERS)
def test_files_of_another_kind(load: Callable[[Path], Any], path: Path) -> None:
    path.write_bytes(b"\x80\x02}q\x00." * 1000)  # a pickle, say
    with pytest.raises(InputError, match="is broken") as caught:
        load(path)
    one_line(caught, path)
    cards = ["no JSON", "[" * 100_000, '{"a":' * 600 + "1" + "}" * 600, f'{{"step": {"9" * 5000}}}', '{"a": 1, "a": 2}']
    for metadata in (None, {"format": "pt"}, *({"card": card} for card in cards)):
        save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
        with pytest.raises(InputError, match="not written by this package") as caught:
            load(path)
        one_line(caught, path)
    for card in (None, [], {}, {"architecture": None}, {"architecture": {"counter": 3}}):
        save_file({"weight": torch.zeros(3)}, path, metadata={"card": json.dumps(card)})
        with pytest.raises(InputError) as caught:
            load(path)
        one_line(caught, path)


@pytest.mark.parametrize(
    ("changes", "tensor"),
    [({"width": 1 / 8}, r"counter\.E"), ({"stride": 16}, r"counter\."), ({"counter": "paper"}, r"counter\.C")],
)
def test_another_architecture(changes: dict[str, Any], tensor: str, counter: CrowdCounter, path: Path) -> None:
    tensors, _ = checkpoints.load(path)
    other = make_counter(**changes)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(InputError, match=f"of another architecture: {tensor}.* should have shape") as caught:
        checkpoints.load_weights(other, tensors, "counter", path)
    one_line(caught, path)
    assert before.keys() == other.state_dict().keys()
    card = {**CARD, "architecture": {"counter": {**ARCHITECTURE, **changes}}}  # a card that belongs to other weights
    checkpoints.save(path, tensors, card)
    with pytest.raises(InputError, match="of another architecture"):
        checkpoints.load_counter(path)


def test_a_card_with_the_names_of_an_earlier_version_reads_as_todays(path: Path, tmp_path: Path) -> None:
    tensors, card = checkpoints.load(path)
    old = {"stride": 8, "width": 1 / 16, "kernels": "authors", "label_factor": 10.0}
    was = {**card, "architecture": {"counter": old}, "config": {"kernels": "paper", "scales": [1.0], "steps": 3}}
    checkpoints.save(tmp_path / "old.safetensors", tensors, was)
    now = checkpoints.load(tmp_path / "old.safetensors")[1]
    assert now == {**card, "config": {"counter": "paper", "steps": 3}}
    assert checkpoints.read_card(tmp_path / "old.safetensors") == now
    again, counter = checkpoints.load_counter(tmp_path / "old.safetensors")[0], checkpoints.load_counter(path)[0]
    assert again.architecture == counter.architecture
    assert checkpoints.current_names({"scales": [1.0, 2.0]}) == {"scales": [1.0, 2.0]}  # was a choice: it stays


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    "changes",
    [{"dropout": 0.5}, {"stride": 7}, {"stride": [8]}, {"width": "wide"}, {"width": float("inf")}, {"width": 1e30},
     {"counter": "ours"}, {"label_factor": "ten"}, {"label_factor": 0}],
    ids=str,
)  # fmt: skip
def test_a_card_of_another_version(load: Callable[[Path], Any], changes: dict[str, Any], path: Path) -> None:
    card = {**CARD, "architecture": {"counter": {**ARCHITECTURE, **changes}}}
    checkpoints.save(path, checkpoints.load(path)[0], card)
    with pytest.raises(InputError, match=r"is of another version of this package \(.+\); train it again") as caught:
        load(path)
    one_line(caught, path)


def test_a_counter_without_s_is_no_segmenter(path: Path) -> None:
    with pytest.raises(InputError, match=r"S\..*the file has nothing") as caught:
        checkpoints.load_segmenter(path)
    one_line(caught, path)


# --- disk full, kill --------------------------------------------------------------------------------------------------
def test_disk_full_keeps_the_old_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = path.read_bytes()

    def full(tensors: Any, file: Path, metadata: Any = None) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left") as caught:
        checkpoints.save(path, {"a": torch.zeros(3)}, {})
    one_line(caught, path)
    assert path.read_bytes() == old and list(path.parent.iterdir()) == [path]


def save_with_little_space(path: Path, report: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    try:
        checkpoints.save(path, {"a": torch.zeros(100_000)}, {})
    except InputError as error:
        report.write_text(str(error))


def save_half_and_die(path: Path) -> None:
    def half(tensors: Any, file: Path, metadata: Any = None) -> None:
        save_file(tensors, file, metadata=metadata)
        os.truncate(file, os.path.getsize(file) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.save_file = half  # type: ignore[assignment]
    checkpoints.save(path, {"a": torch.zeros(100_000)}, {})


@posix
def test_no_space_for_the_whole(path: Path, tmp_path: Path, start: Callable[..., Any]) -> None:
    old, report = path.read_bytes(), tmp_path / "report"
    process = start(save_with_little_space, path, report)
    process.join(60)
    assert process.exitcode == 0
    assert report.read_text().startswith(f"cannot write {path}: ") and "\n" not in report.read_text()
    assert path.read_bytes() == old and list(path.parent.iterdir()) == [path]


@pytest.mark.alone
@posix
def test_a_kill_half_way_leaves_the_old_checkpoint(
    counter: CrowdCounter, path: Path, start: Callable[..., Any]
) -> None:
    process = start(save_half_and_die, path)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(list(path.parent.iterdir())) == 2  # it did begin to write
    assert same(checkpoints.load_counter(path)[0], counter)


def test_saving_twice_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "first")
    checkpoints.save(path, *checkpoints.load(path))
    assert path.read_bytes() == (tmp_path / "first").read_bytes()


@pytest.mark.parametrize(
    "line", [b'{"step"', b"\xff", b"[" * 100_000, b'{"step": 1' + b"0" * 5000 + b"}", b"{}", b"[]"]
)
def test_a_damaged_log_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 9}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged in line 2"):
        Log(tmp_path, 5)
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"step": 9}\n')
    assert Log(tmp_path, 5).lines == [{"step": 1}]


def test_the_state_of_a_run_is_no_model_to_begin_with(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "last.safetensors", {"a": torch.zeros(1)}, {"kind": "adaptation", "state": {}})
    with pytest.raises(InputError, match=r"is the state of a run, to go on from; use the model\.safetensors"):
        checkpoints.load_model(tmp_path / "last.safetensors")
