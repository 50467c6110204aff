"""How long a training step of the mini preset takes, by precision and memory order: medians, and ratios to the first.

    python benchmarks/bench_step.py [repeats]

Ratios within one run are what counts: seconds depend on the machine and on what else it is doing.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time

import torch

from sdcda_tutorial import losses
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.training.counter_training import networks_of


def step_time(channels_last: bool, bfloat16: bool, repeats: int) -> float:
    """Median seconds of a step of E, C and S on one source and one target batch."""
    torch.manual_seed(0)
    config = MINI.adaptation
    order = torch.channels_last if channels_last else torch.contiguous_format
    networks = networks_of(config)[0].to(memory_format=order)
    optimizer = torch.optim.Adam(networks.parameters(), config.learning_rate)
    shape = (config.batch_size, 3, *config.source.crop)
    xs, xt = (torch.rand(shape).to(memory_format=order) for _ in range(2))
    density = torch.rand(shape[0], 1, *shape[2:])
    mask = (density > 0.5).float()
    times = []
    for _ in range(repeats + 1):  # the first is a warm-up
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            predicted, logits, _ = networks(xs, xt)
        assert logits is not None
        loss = losses.total_loss(
            losses.density_loss(predicted.float(), density),
            config.weights,
            seg_source=losses.source_segmentation_loss(logits[: len(xs)].float(), mask),
            seg_target=losses.target_segmentation_loss(logits[len(xs) :].float(), mask),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    torch.set_flush_denormal(True)
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    first = None
    for bfloat16, channels_last in itertools.product((False, True), (False, True)):
        seconds = step_time(channels_last, bfloat16, repeats)
        first = first or seconds
        name = f"{'bfloat16' if bfloat16 else 'float32'}, {'channels-last' if channels_last else 'contiguous'}"
        print(f"{name:26s} {seconds * 1000:8.0f} ms   {seconds / first:5.2f}")


if __name__ == "__main__":
    main()
