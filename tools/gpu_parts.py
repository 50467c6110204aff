"""The parts of the GPU check: what each measures, and how far it may be from what it is compared with.

`gpu_check.py` runs every part in a process of its own. A part calls the package as a training does (`adapt`, the
command line, `Hardware`, the presets) and says what it found by `found.figures` and `found.check`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, partialmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor, nn

from sdcda_tutorial.datasets import CrowdDataset, open_dataset
from sdcda_tutorial.datasets.batches import SOURCE, TARGET, Augmentation, Batch, Batches, PseudoMasked
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import read_json, write_json
from sdcda_tutorial.mini_world import MiniWorldSettings, ensure_mini_world
from sdcda_tutorial.places import CHECKPOINTS, model
from sdcda_tutorial.training.checkpoints import load, load_counter, read_card
from sdcda_tutorial.training.config import AdaptationConfig
from sdcda_tutorial.training.counter_training import AdaptationOnDevice, adapt
from sdcda_tutorial.training.hardware import Hardware
from sdcda_tutorial.training.saving import read_log

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
# Of a cell of notebook 08 that trains: a number may differ from the stored one by abs + rel · |stored|.
NOTEBOOK_TOLERANCE = {"rel": 0.4, "abs": 4.0}
SCALE = 2.0**16  # with which a GradScaler begins
HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class NotHere(Exception):
    """This machine cannot do what the part is about: no fault of ours."""


class Found:
    """What a part has found so far. It is in a file at once, so it outlives the part.

    Args:
        path: of that file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {"figures": {}, "checks": []}

    def figures(self, **values: Any) -> None:
        """Numbers, texts and lists to be reported; numbers are rounded to four digits."""
        self.content["figures"] |= {name: _rounded(value) for name, value in values.items()}
        write_json(self.path, self.content)

    def check(self, what: str, value: float, at_most: float) -> None:
        """A number that must not be above its limit; one that is no number is."""
        value = float(value)
        passed = value <= at_most
        shown = _rounded(value) if math.isfinite(value) else str(value)
        one = {"what": what, "value": shown, "at_most": _rounded(float(at_most)), "passed": passed}
        self.content["checks"].append(one)
        write_json(self.path, self.content)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Bench:
    """Where the parts work: folders, device, sizes.

    Attributes:
        work: a folder for everything; what `data` makes there, the later parts use.
        device: "cuda", or "cpu" to try the parts themselves.
        small: everything as tiny as it can be.
    """

    work: Path
    device: str
    small: bool

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    def hardware(self, precision: str = "auto", **options: Any) -> Hardware:
        """This device, with the workers that a training there has."""
        return Hardware(accelerator=self.device, precision=precision, **options)

    @property
    def halves(self) -> list[str]:
        """The half precisions that this device computes in."""
        if not self.on_gpu:  # Fabric has no float16 on a CPU
            return ["bf16-mixed"]
        return ["bf16-mixed", "16-mixed"] if torch.cuda.get_device_capability() >= (8, 0) else ["16-mixed"]

    def paper(self, **changes: Any) -> AdaptationConfig:
        """The paper preset of `--random-weights`; small: its crops, batches and networks shrunk."""
        from sdcda_tutorial.cli.options import find_preset

        config = find_preset("paper", random_weights=True).adaptation
        if self.small:
            window = Augmentation((256, 256))  # the least that D's four convolutions can look at, at stride 16
            tiny = {"width": 1 / 16, "discriminator_width": 1 / 16, "batch_size": 2}
            config = replace(config, source=window, target=window, **tiny)  # type: ignore[arg-type]
        return replace(config, **changes)

    def large(self, domain: str, split: str = "train") -> CrowdDataset:
        """Part of the world of large images."""
        return open_dataset(f"mini-{domain}:{self.work / 'large'}", split).cache_if_small()

    def mini(self, domain: str, split: str = "train") -> CrowdDataset:
        """Part of the mini world of seed 0."""
        return open_dataset(f"mini-{domain}:{self.work / 'mini'}", split).cache_if_small()

    @property
    def masks(self) -> Path:
        """Pseudo-masks of the large target images."""
        return self.work / "masks"

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for runs, whose checkpoints are large: it goes when the part ends."""
        with TemporaryDirectory(dir=self.work, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def synchronise(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def memory(self) -> float | None:
        """Peak of the GPU's tensors in GiB since the last call; None on a CPU."""
        if not self.on_gpu:
            return None
        torch.cuda.init()  # there is nothing to reset before
        peak = torch.cuda.max_memory_allocated() / GIB
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return peak

    def seconds(self, work: Callable[[], Any], repeats: int = 1) -> list[float]:
        """Time of each of so many calls."""
        times = []
        for _ in range(repeats):
            self.synchronise()
            began = time.perf_counter()
            work()
            self.synchronise()
            times.append(time.perf_counter() - began)
        return times

    def repeats(self, number: int) -> int:
        return 1 if self.small else number


def ready(bench: Bench, hardware: Hardware, config: AdaptationConfig) -> tuple[AdaptationOnDevice, Batch, Batch]:
    """A training that can step, and the first batch of either domain, on the device."""
    fabric = hardware.launch()
    adaptation = AdaptationOnDevice(config, fabric)
    adaptation.begin(hardware)
    target = PseudoMasked(bench.large("target"), bench.masks)
    seed, size = config.seed, config.batch_size
    batches = [
        Batches(bench.large("source"), size, config.source, seed=seed, stream=SOURCE, kernel=config.kernel),
        Batches(target, size, config.target, seed=seed, stream=TARGET),
    ]
    source, target_ = (fabric.to_device(one[0]) for one in batches)
    return adaptation, source, target_


def without_chance(adaptation: AdaptationOnDevice, *, batch_norm: bool = True) -> None:
    """Switch off what draws anew in each pass and, unless it may stay, what sees the whole batch at once."""
    for module in adaptation.plain.modules():
        if isinstance(module, nn.Dropout2d) or (isinstance(module, nn.BatchNorm2d) and not batch_norm):
            module.eval()


def gradients(adaptation: AdaptationOnDevice) -> dict[str, Tensor]:
    """Of every weight of E, C, S and D after a step, by name, on the CPU."""
    modules = {"networks": adaptation.plain, "D": adaptation.plain_D}
    return {
        f"{part}.{name}": parameter.grad.detach().float().cpu()
        for part, module in modules.items()
        if module is not None
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def gap(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Length of the difference of all tensors together, as a share of the length of `a`; NaN if names differ."""
    if a.keys() != b.keys():
        return math.nan
    difference = sum(float((a[name].double() - b[name].double()).square().sum()) for name in a)
    return math.sqrt(difference / max(1e-300, sum(float(a[name].double().square().sum()) for name in a)))


# --- what all later parts need ----------------------------------------------------------------------------------------
def machine(bench: Bench, found: Found) -> None:
    from sdcda_tutorial.experiments.benchmark import provenance

    about = provenance()
    hardware = about["hardware"] | {"python_platform": platform.platform()}
    if bench.on_gpu:
        card = torch.cuda.get_device_properties(0)
        hardware |= {
            "gpu": card.name, "gpu_memory_gib": round(card.total_memory / GIB, 1),
            "gpu_capability": f"{card.major}.{card.minor}", "gpu_multiprocessors": card.multi_processor_count,
            "gpus_seen": torch.cuda.device_count(), "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(), "driver": _driver(),
            "tf32_in_convolutions": torch.backends.cudnn.allow_tf32,
        }  # fmt: skip
        found.check("error of 1 + 1 on the GPU", abs(float(torch.ones(1, device="cuda") + 1) - 2), 0)
    found.figures(**about | {"hardware": hardware})


def _driver() -> str | None:
    """Version of NVIDIA's driver, where nvidia-smi tells."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split("\n")[0]
    return None


def data(bench: Bench, found: Found) -> None:
    """Two worlds: one of images as large as the paper's crops need, the other the mini world, as far as it is used."""
    large = MiniWorldSettings(
        height=540, width=960, source_train=20, source_test=2, target_train=16, target_test=4, third_train=1
    )
    mini = MiniWorldSettings(source_test=1, third_train=1)  # an image does not depend on how many there are
    if bench.small:
        size = {"height": 272, "width": 288}  # just above the smallest crop
        large = replace(large, **size, source_train=4, source_test=1, target_train=3, target_test=1)  # type: ignore[arg-type]
        mini = replace(mini, source_train=4, target_train=4, target_test=6)
    for name, settings in (("large", large), ("mini", mini)):
        make = partial(
            ensure_mini_world, bench.work / name, settings=settings, workers=os.cpu_count() or 1, progress=False
        )
        found.figures(**{f"seconds_to_draw_{name}": bench.seconds(make)[0]})
    times = []
    for device in dict.fromkeys((bench.device, "cpu")):
        folder = bench.masks if device == bench.device else bench.work / "masks_cpu"
        times += bench.seconds(partial(_write_masks, bench, device, folder))
    found.figures(seconds_to_write_masks=times)
    if bench.on_gpu:
        names = [f"{name}.png" for name in bench.large("target").names]
        pairs = [(bench.masks / name, bench.work / "masks_cpu" / name) for name in names]
        found.check("share of the pseudo-masks' pixels that differ from the CPU's", _unequal(pairs), 0.002)


def _write_masks(bench: Bench, device: str, folder: Path) -> None:
    from sdcda_tutorial.training.mask_model import write_pseudo_masks

    hardware = replace(bench.hardware(), accelerator=device)
    write_pseudo_masks(model("segmenter"), bench.large("target"), folder, hardware=hardware)


def _unequal(pairs: Sequence[tuple[Path, Path]]) -> float:
    from sdcda_tutorial import masks

    return statistics.mean(float((masks.read_png(a) != masks.read_png(b)).mean()) for a, b in pairs)


# --- tests ------------------------------------------------------------------------------------------------------------
def tests(bench: Bench, found: Found) -> None:
    """The tests marked gpu; without a GPU one of the same file, on the CPU."""
    # To collect all tests takes longer than to run these.
    marked = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.gpu" in path.read_text("utf-8")]
    chosen = ["-m", "gpu"] if bench.on_gpu else ["-k", "mask"]
    written = bench.work / "tests.xml"
    # Without the project's own options: Colab has pytest, but not the plugin for notebooks.
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", f"--junit-xml={written}", *chosen]
    code = subprocess.run([sys.executable, "-m", "pytest", *options, *marked], cwd=ROOT, check=False).returncode
    if code not in (0, 1) or not written.exists():  # 1: some failed; else pytest itself did, or there was no test
        raise RuntimeError(f"pytest ended with exit code {code}; is it installed (pip install pytest)?")
    cases = list(ElementTree.parse(written).iter("testcase"))
    broken = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    found.figures(tests=len(cases), skipped=skipped, broken=broken)
    found.check("tests that failed", len(broken), 0)
    if bench.on_gpu:
        found.check("tests that were skipped (one of them wants bfloat16)", skipped, 1)


# --- the paper's scale ------------------------------------------------------------------------------------------------
def paper(bench: Bench, found: Found, *, precision: str) -> None:
    """The paper preset, whole: data, workers, steps, validation, files."""
    if bench.on_gpu and precision not in bench.halves:
        raise NotHere("this card has no bfloat16 in hardware, and emulated it is many times slower")
    steps = 4 if bench.small else 30
    config, marks = bench.paper(steps=steps), list[float]()

    def report(done: int, all_steps: int) -> None:
        bench.synchronise()
        marks.append(time.perf_counter())

    with bench.folder() as folder:
        hardware = bench.hardware(precision)
        bench.memory()
        path = adapt(
            bench.large("source"), bench.large("target"), config, folder / "run", pseudo_masks=bench.masks,
            hardware=hardware, report=report,
        )  # fmt: skip
        times = [after - before for before, after in itertools.pairwise(marks)]
        card, state = read_card(path), read_card(folder / "run" / "last.safetensors")["state"]
        log = read_log(folder / "run" / "metrics.jsonl")
        size = (folder / "run" / "last.safetensors").stat().st_size
    each = statistics.median(times[len(times) // 3 :])
    terms = [value for line in log for value in line.values()]
    found.figures(
        steps=steps, batch=f"{config.batch_size} + {config.batch_size} at {config.source.crop}",
        seconds_a_step=each, seconds_of_the_first_step=times[0], images_a_second=2 * config.batch_size / each,
        memory_gib=bench.memory(), checkpoint_gib=size / GIB,
        last_losses=[line for line in log if "density" in line][-1],
        precision=card["hardware"]["precision"],
        device=card["hardware"]["device"],
    )  # fmt: skip
    found.check("terms that are not finite", sum(not math.isfinite(term) for term in terms), 0)
    if bench.on_gpu:
        found.check("precisions that were not the one asked for", card["hardware"]["precision"] != precision, 0)
    if state["precision"]:  # the scaler's; each halving is a step that was left out
        scale = float(state["precision"]["scale"])
        found.figures(loss_scale=scale)
        found.check("halvings of the loss scale", math.log2(SCALE / scale), 10)


def memory_orders(bench: Bench, found: Found) -> None:
    """The same step with channels-last and with contiguous memory, and with cuDNN's own search, in turn."""
    config = bench.paper()
    adaptation, *batches = ready(bench, bench.hardware(), config)

    def steps(order: torch.memory_format) -> list[float]:
        adaptation.plain.to(memory_format=order)
        parts = [batch | {"image": batch["image"].contiguous(memory_format=order)} for batch in batches]
        bench.seconds(lambda: adaptation.step(*parts))  # the first one in another order warms up
        return bench.seconds(lambda: adaptation.step(*parts), bench.repeats(5))

    for name, searches in (("default", False), ("with_cudnn_benchmark", True)):
        torch.backends.cudnn.benchmark = searches
        turns = [(steps(torch.channels_last), steps(torch.contiguous_format)) for _ in range(bench.repeats(3))]
        last, plain = (statistics.median(itertools.chain(*one)) for one in zip(*turns, strict=True))
        found.figures(**{f"{name}_channels_last": last, f"{name}_contiguous": plain, f"{name}_ratio": last / plain})


def compiled(bench: Bench, found: Found) -> None:
    """`--compile` against plain, in one run: the first step, the later ones, and the same losses."""
    config, times, terms = bench.paper(), dict[str, float](), dict[str, Any]()
    if not bench.on_gpu:  # generating code for a CPU takes minutes; tracing, which is what can fail, is done here too
        nn.Module.compile = partialmethod(nn.Module.compile, backend="aot_eager")  # type: ignore[method-assign, assignment]
    for name in ("plain", "compiled"):
        try:
            adaptation, *batches = ready(bench, bench.hardware(compile=name == "compiled"), config)
        except InputError as error:
            raise NotHere(str(error)) from None
        without_chance(adaptation)  # the compiler may draw other random numbers
        step = partial(adaptation.step, *batches)
        first = bench.seconds(lambda: terms.update({name: step()}))[0]  # noqa: B023
        bench.seconds(step, bench.repeats(2))
        times[name] = statistics.median(bench.seconds(step, bench.repeats(9)))
        found.figures(**{f"{name}_first": first, f"{name}_step": times[name], f"{name}_memory_gib": bench.memory()})
    found.figures(ratio=times["compiled"] / times["plain"])
    for term, value in terms["plain"].items():
        if term != "D_accuracy":  # counts pixels, which may lie on the edge
            off = abs(float(terms["compiled"][term]) - float(value)) / abs(float(value))
            found.check(f"relative difference of the {term} loss of the first step", off, 0.02)


class PowerCut(Exception):
    """Ends a training at a certain step."""


def resumed(bench: Bench, found: Found) -> None:
    """A run that is cut off and gone on with ends where an unbroken one does.

    On a CPU they are equal, bit for bit. A GPU adds up in another order each time, so two unbroken runs differ too,
    and the broken one may differ from them as they do from each other.
    """
    config = bench.paper(steps=6 if bench.small else 12, batch_size=2, validate_every=4 if not bench.small else 2)
    for precision in bench.halves:
        with bench.folder() as folder:
            run = partial(
                adapt, bench.large("source"), bench.large("target"), config, pseudo_masks=bench.masks,
                hardware=bench.hardware(precision),
            )  # fmt: skip
            for name in ("unbroken", "again"):
                run(folder=folder / name)
            with contextlib.suppress(PowerCut):
                run(folder=folder / "broken", report=cut_after(config.steps - 3))
            run(folder=folder / "broken", resume=True)
            found_by = {name: load(folder / name / "last.safetensors") for name in ("unbroken", "again", "broken")}
        tensors = {name: tensors for name, (tensors, _) in found_by.items()}
        scales = {str(card["state"]["precision"].get("scale")) for _, card in found_by.values()}
        noise, difference = (gap(tensors["unbroken"], tensors[name]) for name in ("again", "broken"))
        found.figures(**{f"{precision}_two_unbroken_runs": noise, f"{precision}_broken_and_unbroken": difference})
        found.check(f"{precision}: difference of the broken run", difference, 5 * noise)
        found.check(f"{precision}: scales beyond the one that all end with", len(scales) - 1, 0)


def cut_after(step: int) -> Callable[[int, int], None]:
    def report(done: int, steps: int) -> None:
        if done == step:
            raise PowerCut

    return report


def micro_batches(bench: Bench, found: Found) -> None:
    """The gradients of two micro-batches add up to those of the batch, batch norm aside."""
    config = bench.paper(batch_size=4)
    # Not in float16, whose first steps overflow until the scale of the loss fits.
    half = [("bf16-mixed", 0.05)] if "bf16-mixed" in bench.halves else []
    torch.backends.cudnn.allow_tf32 = False  # so that only the order of sums differs in float32
    for precision, at_most in [("32-true", 1e-3), *half]:
        result = {}
        for parts in (1, 2):
            adaptation, *batches = ready(bench, bench.hardware(precision, accumulate=parts), config)
            without_chance(adaptation, batch_norm=False)
            bench.memory()
            adaptation.step(*batches)
            found.figures(**{f"{precision}_{parts}_memory_gib": bench.memory()})
            result[parts] = gradients(adaptation)
        found.check(f"{precision}: difference of all gradients together", gap(result[1], result[2]), at_most)


# --- the method -------------------------------------------------------------------------------------------------------
def mini_method(bench: Bench, found: Found) -> None:
    """The run of notebook 08's laboratory: mask model, masks, SE+FD from the stored warm start, evaluation.

    Compared with the figures of the same run on a CPU, data/results/laboratory.json.
    """
    from sdcda_tutorial.evaluation.results import evaluate
    from sdcda_tutorial.teaching.laboratory_run import DEFAULTS
    from sdcda_tutorial.training.mask_model import write_pseudo_masks

    stored = read_json(ROOT / "data/results/laboratory.json")
    target, test = bench.mini("target"), bench.mini("target", "test")
    target, test = (one.subset(range(0, len(one), each)) for one, each in ((target, 2), (test, 3)))
    warm_start = ROOT / CHECKPOINTS / "noadapt-early.safetensors"

    def measured(checkpoint: Path) -> dict[str, float]:
        counter = load_counter(checkpoint)[0].to(bench.device)
        results = evaluate(counter, test, kernel=DEFAULTS.config().kernel, progress=False)
        return {name: getattr(results, name) for name in ("mae", "background", "crowd")}

    start = measured(warm_start)
    found.figures(start=start, start_on_a_cpu=stored["start"])
    with bench.folder() as folder:
        masks = write_pseudo_masks(model("segmenter"), target, folder / "masks", hardware=bench.hardware())
        seeds = {cell["seed"]: cell for cell in stored["cells"] if cell["question"] == "0"}
        for seed in list(seeds)[: 1 if bench.small else 2]:
            config = replace(DEFAULTS, seed=seed, steps=3 if bench.small else DEFAULTS.steps).config()
            began = time.perf_counter()
            path = adapt(
                bench.mini("source"), target, config, folder / str(seed), pseudo_masks=masks, init=warm_start,
                hardware=bench.hardware(),
            )  # fmt: skip
            end, seconds = measured(path), time.perf_counter() - began
            cpu = {name: seeds[seed][name] for name in end}
            found.figures(**{f"seed_{seed}": end, f"seed_{seed}_on_a_cpu": cpu, f"seed_{seed}_seconds": seconds})
            found.check(f"seed {seed}: errors that are not finite", sum(not math.isfinite(v) for v in end.values()), 0)
            if not bench.small:  # few steps on few images are not the stored run
                off = abs(end["mae"] - cpu["mae"])
                allowed = NOTEBOOK_TOLERANCE["abs"] + NOTEBOOK_TOLERANCE["rel"] * cpu["mae"]
                found.check(f"seed {seed}: difference of the MAE from the CPU's", off, allowed)
    if not bench.small:
        off = abs(start["mae"] - stored["start"]["mae"]) / stored["start"]["mae"]
        found.check("relative difference of the warm start's MAE from the CPU's", off, 0.02)


def command_line(bench: Bench, found: Found) -> None:
    """The commands as a user types them: doctor, a dry run, a training, its resumption, and what comes after."""
    source, target = (f"mini-{domain}:{bench.work / 'large'}" for domain in ("source", "target"))
    with bench.folder() as folder:
        options = ["--source", source, "--target", target, "--masks", bench.masks, "--out", folder / "runs"]
        chosen = ["--preset", "mini", "--warm-steps", "0"] if bench.small else ["--preset", "paper", "--random-weights"]
        train = ["train", "--method", "se+fd", *chosen, "--batch-size", "2", "--steps", "2", *options]
        trained, photo = folder / "runs/se+fd/model.safetensors", bench.large("target", "test").files(0)[0]
        commands = {
            "doctor": ["doctor"], "dry run": [*train, "--dry-run"], "train": train, "resume": [*train, "--resume"],
            "evaluate": ["evaluate", "--checkpoint", trained, "--target", target, "--out", folder / "evaluation"],
            "predict": ["predict", "--checkpoint", trained, "--out", folder / "predictions", photo],
        }  # fmt: skip
        for name, words in commands.items():
            began = time.perf_counter()
            code = _sdcda(*words)
            found.figures(**{f"{name.replace(' ', '_')}_seconds": time.perf_counter() - began})
            found.check(f"exit code of {name}", code, 0)


def _sdcda(*words: object) -> int:
    from sdcda_tutorial.cli import main

    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


# --- inference --------------------------------------------------------------------------------------------------------
def counted(counter: nn.Module, images: Sequence[Any], bench: Bench, precision: str = "32-true") -> list[float]:
    """The counts of images, as a training counts them for its validation."""
    from sdcda_tutorial.prediction import predict_density

    with bench.hardware(precision).launch().autocast():
        return [float(predict_density(counter, image).sum(dtype=torch.float64)) for image in images]


def predict(bench: Bench, found: Found) -> None:
    """Counts of the stored counters on the GPU against the CPU's, and in half precision against float32."""
    test = bench.mini("target", "test")
    images = [test[index].image for index in range(6 if bench.small else len(test))]
    few = images[: 4 if bench.small else 20]
    for name in ("se+fd", "noadapt"):
        counter = load_counter(model(name))[0]
        cpu = replace(bench, device="cpu")
        on_cpu = counted(counter, few, cpu)
        counter.to(bench.device).to(memory_format=torch.channels_last)
        whole = counted(counter, images, bench)
        found.check(f"{name}: relative difference of GPU and CPU", _off(on_cpu, whole[: len(few)]), 5e-3)
        found.figures(**{f"{name}_float32_seconds": bench.seconds(lambda: counted(counter, images, bench))[0]})  # noqa: B023
        halves = {}
        for precision in bench.halves:
            half = counted(counter, images, bench, precision)
            seconds = bench.seconds(lambda: counted(counter, images, bench, precision))[0]  # noqa: B023
            halves[precision] = abs(sum(half) - sum(whole)) / sum(whole)
            found.figures(**{
                f"{name}_{precision}": {"sum_is_off_by": halves[precision], "images_are_off_by": _off(whole, half),
                                        "seconds": seconds}
            })  # fmt: skip
        best = min(halves, key=lambda precision: halves[precision])
        if bench.on_gpu:  # a CPU has bfloat16 only, which is off by some tenths of a percent
            found.check(f"{name}: relative difference of all people in {best} and float32", halves[best], 1e-3)


def _off(wanted: Sequence[float], counts: Sequence[float]) -> float:
    """Mean absolute difference of counts as a share of the mean count."""
    return sum(abs(a - b) for a, b in zip(wanted, counts, strict=True)) / sum(wanted)


def tiles(bench: Bench, found: Found) -> None:
    """A large image in tiles against the whole, with the paper's counter: map, count, time, memory."""
    from sdcda_tutorial.networks import make_counter
    from sdcda_tutorial.prediction import PASS_PIXELS, predict_density

    config = bench.paper()
    torch.manual_seed(0)
    counter = make_counter("paper", stride=config.stride, width=config.width, label_factor=config.label_factor)
    counter.to(bench.device).to(memory_format=torch.channels_last)
    # Random weights without their batch norm's statistics give the same density everywhere.
    for norm in counter.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # the statistics become those of one pass
    with torch.no_grad():
        counter.train()(torch.rand(2, 3, 256, 256, device=bench.device))
    # The first two convolutions want some 800 bytes a pixel at full width.
    pixels = 24e6 if bench.on_gpu and torch.cuda.get_device_properties(0).total_memory > 60 * GIB else 6e6
    side = 500 if bench.small else round(math.sqrt(pixels))
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 1 + side // 20, 1 + side // 20, generator=generator)
    picture = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")[0]
    image = (picture * 255).byte().permute(1, 2, 0).contiguous().numpy()
    pass_pixels = 400**2 if bench.small else PASS_PIXELS
    torch.backends.cudnn.allow_tf32 = False  # so that only the order of sums differs
    maps = {}
    for name, most in (("whole", side * side), ("tiles", pass_pixels)):
        bench.memory()
        seconds = bench.seconds(lambda: maps.update({name: predict_density(counter, image, most)}))[0]  # noqa: B023
        found.figures(**{f"{name}_seconds": seconds, f"{name}_memory_gib": bench.memory()})
    whole, tiled = maps["whole"].double(), maps["tiles"].double()
    found.figures(megapixels=side * side / 1e6, people=float(whole.sum()), spread=float(whole.std() / whole.mean()))
    found.check("a map of one value, which would show nothing", whole.max() <= 1.01 * whole.min(), 0)
    found.check("largest difference of the maps, as a share of the largest value", _farthest(whole, tiled), 1e-3)
    found.check("relative difference of the counts", abs(float(tiled.sum() / whole.sum()) - 1), 1e-4)


def _farthest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max())


# --- speed ------------------------------------------------------------------------------------------------------------
def large_batches(bench: Bench, found: Found) -> None:
    """Time per image and memory with the preset's batch and its multiples, and with the largest in eight parts."""
    size = bench.paper().batch_size

    def cost(factor: int, parts: int) -> dict[str, Any]:
        config = bench.paper(batch_size=factor * size)
        adaptation, *batches = ready(bench, bench.hardware(accumulate=parts), config)
        bench.memory()
        bench.seconds(lambda: adaptation.step(*batches))
        times = bench.seconds(lambda: adaptation.step(*batches), bench.repeats(3))
        return {"seconds_an_image": statistics.median(times) / (2 * factor * size), "memory_gib": bench.memory()}

    fits, most = {}, 2 if bench.small else 8
    for factor, parts in ((1, 1), (2, 1), (4, 1), (8, 1), (most, most)):
        if factor > most:
            continue
        name = f"{factor}x" + (f" in {parts} parts" if parts > 1 else "")
        try:
            about = cost(factor, parts)
        except RuntimeError as error:  # out of memory, which cuDNN may say in words of its own
            about = {"failed": str(error).partition("\n")[0]}
        fits[name] = "failed" not in about
        found.figures(**{name: about})
    lacking = [name for name in ("1x", f"{most}x in {most} parts") if not fits[name]]
    found.check("failures of the preset's batch and of the largest in parts", len(lacking), 0)


def share_of_peak(bench: Bench, found: Found) -> None:
    """FLOPs of a step, and its rate as a share of that of a large matrix multiplication in the same precision.

    The peak is measured, not looked up: a table of data sheets lacks cards, and a card's clock is not the sheet's.
    """
    from torch.utils.flop_counter import FlopCounterMode

    for precision in bench.halves:
        adaptation, *batches = ready(bench, bench.hardware(precision), bench.paper())
        adaptation.step(*batches)
        with FlopCounterMode(display=False) as counter:
            adaptation.step(*batches)
        flops = counter.get_total_flops()
        seconds = statistics.median(bench.seconds(lambda: adaptation.step(*batches), bench.repeats(9)))  # noqa: B023
        peak = matmul_rate(bench, HALVES[precision])
        found.figures(**{
            precision: {"teraflop_a_step": flops / 1e12, "seconds_a_step": seconds,
                        "teraflop_a_second": flops / seconds / 1e12, "matmul_teraflop_a_second": peak / 1e12,
                        "share_of_matmul": flops / seconds / peak}
        })  # fmt: skip
        if bench.on_gpu:
            found.check(
                f"{precision}: share of the peak, which only a wrong count brings above 1", flops / seconds / peak, 1
            )
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            adaptation.networks(batches[0]["image"], batches[1]["image"])
        # Backward is about twice forward; of E's first convolution it is once, and D comes on top.
        passes = flops / forward.get_total_flops()
        found.check(f"{precision}: forward passes that a step is worth, from 3", abs(passes - 3), 0.5)


def matmul_rate(bench: Bench, dtype: torch.dtype) -> float:
    """FLOPs a second of the fastest of several multiplications of two large square matrices."""
    side = 256 if bench.small else 8192
    a, b = (torch.randn(side, side, device=bench.device, dtype=dtype) for _ in range(2))
    bench.seconds(lambda: a @ b, 3)
    return 2 * side**3 / min(bench.seconds(lambda: a @ b, bench.repeats(20)))


# --- the list ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Part:
    """One part of the check.

    Attributes:
        name: for people, and of its figures in the report.
        question: what it finds out.
        limit: seconds after which it is ended.
        work: measures.
    """

    name: str
    question: str
    limit: float
    work: Callable[[Bench, Found], None]


NEEDED = ("machine", "data")  # by all others, so they are done again when a check goes on
PARTS = (  # what matters most comes first: the time may be up before the last one
    Part("machine", "Which card, which driver, which versions?", 60, machine),
    Part("data", "Draw large images and the mini world; write pseudo-masks on the GPU and on the CPU", 120, data),
    Part("tests", "Do the tests marked gpu pass?", 90, tests),
    Part("paper-bf16", "Does the paper preset train in bfloat16?", 75, partial(paper, precision="bf16-mixed")),
    Part("paper-fp16", "Does it train in float16, with a scaled loss?", 75, partial(paper, precision="16-mixed")),
    Part("mini-method", "Is the method on this device what it was on a CPU?", 90, mini_method),
    Part("resumed", "Does a run that was cut off end as an unbroken one?", 120, resumed),
    Part("micro-batches", "Do two micro-batches have the gradient of one batch?", 60, micro_batches),
    Part("predict", "Are counts the same on GPU and CPU, and in half precision?", 60, predict),
    Part("tiles", "Is a large image in tiles the whole one?", 60, tiles),
    Part("share-of-peak", "What share of the card's peak does a step reach?", 45, share_of_peak),
    Part("large-batches", "What does an image cost in larger batches?", 60, large_batches),
    Part("memory-orders", "What is channels-last worth?", 45, memory_orders),
    Part("command-line", "Do the commands work on this device?", 90, command_line),
    Part("compile", "What is --compile worth?", 150, compiled),
)
