"""Where to train, and how the same computation is fitted to it: less memory, several devices, another precision."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.networks import FeatureExtractor
from sdcda_tutorial.numbers import check_numbers
from sdcda_tutorial.training.processes import cluster_environment, in_processes, number_started, started

if TYPE_CHECKING:
    from lightning_fabric import Fabric  # slow to import

T = TypeVar("T")

ACCELERATORS = ("auto", "cpu", "cuda", "gpu", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Hardware:
    """Where to train.

    Nothing in here changes what is computed, up to rounding, except `devices` and `accumulate`, which divide a batch:
    the gradient stays the mean over all its images, but batch norm sees the images of one part at a time.

    Attributes:
        devices, nodes: processes on each machine, one per device, and machines; all of them share a batch.
        precision: one of `PRECISIONS`; "auto" is half precision where the hardware computes in it.
        accumulate: micro-batches into which each process divides its share of a batch.
        workers: processes that prepare batches; None: none on a CPU, a few with a GPU.
        checkpoint_activations: compute the activations of E again for the gradient instead of keeping them.
        compile: let torch.compile fuse E, C and S; the first steps are slow.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: str = "auto"
    workers: int | None = None
    accumulate: int = 1
    checkpoint_activations: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, above_zero=("devices", "nodes", "accumulate"))
        for name, known in (("accelerator", ACCELERATORS), ("precision", PRECISIONS)):
            if (given := getattr(self, name)) not in known:
                raise InputError(f"{name} is one of {', '.join(known)}, not {given!r}")
        if self.compile and self.checkpoint_activations:
            raise InputError(
                "a compiled network cannot compute its activations again; drop `compile` or `checkpoint_activations`"
            )

    @property
    def processes(self) -> int:
        """On all machines together."""
        return self.devices * self.nodes

    def refuse_impossible(self) -> None:
        """Raise an InputError where this machine lacks devices, or another number of processes was started."""
        number = number_started()
        if started() and number not in (None, self.processes):
            raise InputError(
                f"{number} processes were started, but {self.devices} device(s) on {self.nodes} machine(s) are "
                f"{self.processes}; give `devices` and `nodes` the numbers that torchrun or srun got"
            )
        if self.accelerator == "cpu" or self.devices == 1:
            return
        if torch.backends.mps.is_available():
            raise InputError("one process at a time can use this machine's GPU; drop `devices`")
        if torch.cuda.is_available() and torch.cuda.device_count() < self.devices:
            raise InputError(
                f"`devices` {self.devices}: {torch.cuda.device_count()} GPU(s) are seen here; ask for fewer"
            )

    def run(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call `function` in all processes of this description; see `processes.in_processes`."""
        self.refuse_impossible()
        return in_processes(self.devices, self.nodes, function, *arguments, **options)

    def launch(self) -> Fabric:
        """A launched Fabric; an InputError where its processes, or the compiler for `compile`, are missing."""
        self.refuse_impossible()
        if self.processes > 1 and not started():
            raise InputError(
                f"this is one process, not {self.processes}; start them by `processes.in_processes`, torchrun or srun"
            )
        from lightning_fabric import Fabric

        # No greeting from each process, no message about the precision for each training.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        try:
            fabric = Fabric(
                accelerator=self.accelerator, devices=self.devices, num_nodes=self.nodes,
                plugins=[cluster_environment()],
                precision=self.resolved_precision(),  # type: ignore[arg-type]
            )  # fmt: skip
            fabric.launch()
        except torch.distributed.DistError as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"the {self.processes} processes did not find each other ({reason}); is one running for every device "
                "of every machine, with the same MASTER_ADDR and MASTER_PORT?"
            ) from None
        if self.compile:
            _require_compiler(str(fabric.device))
        return fabric

    def refuse_small_parts(self, batch_size: int, processes: int, at_least: int, whose: str = "") -> None:
        """Raise an InputError where a pass through the networks would get less than `at_least` images of a batch."""
        if batch_size // processes // self.accumulate < at_least:
            raise InputError(
                f"{whose}a batch of {batch_size} on {processes} device(s) in {self.accumulate} micro-batch(es) leaves "
                f"fewer than {at_least} image(s) a pass, and batch norm needs them; lower `accumulate` or enlarge the "
                "batch"
            )

    def refuse_uneven(self, batch_size: int, whose: str = "") -> None:
        """Raise an InputError where the processes would get different numbers of a batch's images."""
        if batch_size % self.processes:
            raise InputError(
                f"{whose}a batch of {batch_size} cannot be shared by {self.processes} processes; make it a multiple "
                "(`batch_size`), or choose other `devices`"
            )

    def prepare(self, networks: nn.Module, *, channels_last: bool = True) -> None:
        """Set the networks up, in place, before Fabric does; neither weights nor their names change."""
        if channels_last:
            networks.to(memory_format=torch.channels_last)
        for module in networks.modules() if self.checkpoint_activations else ():
            if isinstance(module, FeatureExtractor):
                recompute_activations(module)
        if self.compile:
            networks.compile()

    def resolved_precision(self) -> str:
        """Half precision where the hardware computes in it; emulated it is many times slower than float32."""
        if self.precision != "auto":
            return self.precision
        if self.accelerator != "cpu" and torch.cuda.is_available():
            return "bf16-mixed" if torch.cuda.get_device_capability() >= (8, 0) else "16-mixed"
        return "bf16-mixed" if cpu_has_bf16() else "32-true"


def recompute_activations(E: FeatureExtractor) -> None:
    """While training, E keeps only what passes between VGG's blocks and computes the inside of a block again.

    The same numbers from about two thirds of the memory, more slowly. Weights and their names stay as they are.
    """
    E.features.forward = MethodType(_recomputed, E.features)  # type: ignore[method-assign]


def _recomputed(features: nn.Sequential, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return nn.Sequential.forward(features, x)
    poolings = [i + 1 for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
    for first, end in zip([0, *poolings], [*poolings, len(features)], strict=True):
        block = features[first:end]
        passes = partial(_both_passes, block)
        x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False, context_fn=passes)
    return x


_recomputed.same_without_gradient = True  # type: ignore[attr-defined]  # so `tiling` may trust it


def _both_passes(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first computation of a block, and around the second."""
    return nullcontext(), _statistics_stay(block)


@contextmanager
def _statistics_stay(block: nn.Module) -> Iterator[None]:
    """Batch norm moves copies of its running statistics: the first computation has moved the statistics themselves."""
    norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
    own = [dict(norm.named_buffers()) for norm in norms]
    for norm, statistics in zip(norms, own, strict=True):
        norm._buffers.update({name: statistic.clone() for name, statistic in statistics.items()})
    try:
        yield
    finally:
        for norm, statistics in zip(norms, own, strict=True):
            norm._buffers.update(statistics)


@cache
def _require_compiler(device: str) -> None:
    """Compile a trivial function: a missing compiler shows now, in one line, not at the first step, in hundreds."""
    try:
        torch.compile(lambda x: 2 * x + 1)(torch.ones(2, device=device))
    except Exception as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(
            f"torch.compile does not work here ({reason}); install what PyTorch compiles with (a C++ compiler on a "
            "CPU, triton on a GPU), or drop `compile`"
        ) from None


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX), and the library uses it."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if not any(getattr(torch.cpu, probe, lambda: False)() for probe in probes):
        return False
    # ONEDNN_MAX_CPU_ISA may hold the library to older instructions.
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def computes_in_float16(device: str) -> bool:
    """Whether the hardware does: GPUs ("cuda") from Volta on, and CPUs ("cpu") with AMX-FP16."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (7, 0)
    return bool(getattr(torch.cpu, "_is_amx_fp16_supported", lambda: False)())


def half_device() -> str:
    """ "cuda" or "cpu": where a counter computes faster in float16, with counts within 0.1 % of those in float32.

    It is for the user to choose, since the same photograph should give the same count on every machine. bfloat16, in
    which a training may compute, is not offered: it has three bits less, and moved counts of the stored counters by up
    to 1.5 %, most of them in one direction.

    Raises:
        InputError: there is none; where float16 is emulated it is slower than float32.
    """
    found = next((device for device in ("cuda", "cpu") if computes_in_float16(device)), None)
    if found is None:
        raise InputError("neither a GPU nor the CPU of this machine computes in float16; leave `half` out")
    return found


@contextmanager
def own_state() -> Iterator[None]:
    """A training's own random numbers and its fast arithmetic; afterwards the caller's are as they were before.

    Weights decay towards zero, and a CPU computes with the smallest numbers (denormals) in slow microcode: here they
    are zero.
    """
    were_zero = sys.float_info.min / 2 == 0
    torch.set_flush_denormal(True)
    try:
        with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
            yield
    finally:
        torch.set_flush_denormal(were_zero)


@contextmanager
def one_thread() -> Iterator[None]:
    """For a few numbers, sharing the work between threads takes ten times as long as the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
