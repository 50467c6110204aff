"""A training step of the mini preset against this machine's rate of matrix products, and against a plain loop.

    python benchmarks/bench_step.py [rounds]

The plain loop has the same networks, losses and batches, written as most repositories write theirs: float32,
contiguous, and `.item()` for every loss in every step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from rounds import in_turn, main
from torch.utils.flop_counter import FlopCounterMode

from sdcda_tutorial import losses
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.training.counter_training import networks_of
from sdcda_tutorial.training.hardware import cpu_has_bf16, own_state

SIDE = 2048  # of the matrices; the rate changes little beyond


def step_of(channels_last: bool, bfloat16: bool, item: bool = False, batch: int | None = None) -> Callable[[], None]:
    """A step of E, C and S on one source and one target batch, to be called again and again."""
    torch.manual_seed(0)
    config = MINI.adaptation
    order = torch.channels_last if channels_last else torch.contiguous_format
    networks = networks_of(config)[0].to(memory_format=order)
    optimizer = torch.optim.Adam(networks.parameters(), config.learning_rate)
    shape = (batch or config.batch_size, 3, *config.source.crop)
    xs, xt = (torch.rand(shape).to(memory_format=order) for _ in range(2))
    density = torch.rand(shape[0], 1, *shape[2:])
    mask = (density > 0.5).float()

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            predicted, logits, _ = networks(xs, xt)
        assert logits is not None
        terms = {
            "density": losses.density_loss(predicted.float(), density),
            "seg_source": losses.source_segmentation_loss(logits[: len(xs)].float(), mask),
            "seg_target": losses.target_segmentation_loss(logits[len(xs) :].float(), mask),
        }
        optimizer.zero_grad()
        losses.total_loss(weights=config.weights, **terms).backward()
        optimizer.step()
        if item:
            for term in terms.values():
                term.item()

    return step


def step_time(channels_last: bool, bfloat16: bool, repeats: int) -> float:
    """Median seconds of a step; the first is a warm-up."""
    with own_state():
        return in_turn({"step": step_of(channels_last, bfloat16)}, repeats)["step"]


def flops(step: Callable[[], None]) -> int:
    """Floating-point operations of a step, forward and backward, a multiplication and an addition counted as two."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def measure(quick: bool) -> dict[str, float]:
    bfloat16, batch, side = cpu_has_bf16(), (1 if quick else None), (256 if quick else SIDE)
    a, b = torch.rand(2, side, side, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    ours, plain = step_of(True, bfloat16, batch=batch), step_of(False, False, item=True, batch=batch)
    work = flops(plain)

    def as_trained() -> None:
        with own_state():
            ours()

    found = in_turn({"ours": as_trained, "plain": plain, "matmul": lambda: a @ b}, repeats=1 if quick else 3)
    return {
        "training step / matrix product, share of its rate": work / found["ours"] / (2 * side**3 / found["matmul"]),
        "plain loop / training step": found["plain"] / found["ours"],
    }


if __name__ == "__main__":
    main(measure)
