"""A counter as a program of its own, for a camera, whose images have one size: it needs PyTorch, not this package."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.files import atomic_path
from sdcda_tutorial.networks import CrowdCounter


class _OfFloats(nn.Module):
    """The counter behind a check that stays in the program: bytes from 0 to 255 would give another count silently."""

    def __init__(self, counter: nn.Module) -> None:
        super().__init__()
        self.counter = counter

    def forward(self, x: Tensor) -> Tensor:
        torch.ops.aten._assert_tensor_metadata.default(x, None, None, torch.float32)
        found: Tensor = self.counter(x)
        return found


@torch.no_grad()
def export_program(counter: CrowdCounter, path: str | Path, size: tuple[int, int]) -> None:
    """Write a counter as a `torch.export` program, which `torch.export.load(path).module()` makes a function again.

    It maps x, (1, 3, height, width) float32 RGB in [0, 1], to people per pixel, (1, 1, height, width), as the counter
    does, and refuses bytes and images of another size. One size, because only so every counter is exact: the padding
    to the stride, and the sweeps of SFCN, which are as many as the rows, become part of the program.

    Args:
        counter: on the device where the program will run.
        path: ends in .pt2.
        size: (height, width), of any number of pixels.
    Raises:
        InputError: the program does not give the map of the counter here, or cannot be written.
    """
    if Path(path).suffix != ".pt2":
        raise InputError(f"{path} should end in .pt2; rename it")
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"size is (height, width), each at least 1, not {size}")
    # In torch's own memory order: the archive does not keep that of convolutions.
    counter = deepcopy(counter).eval().to(memory_format=torch.contiguous_format)
    x = torch.rand(1, 3, *size, device=counter.E.mean.device)
    program = torch.export.export(_OfFloats(counter), (x,), strict=False)
    if not torch.allclose(program.module()(x), counter(x), rtol=1e-4, atol=1e-7):
        raise InputError(f"torch {torch.__version__} does not export this counter exactly; use another version")
    with atomic_path(path) as temporary:
        torch.export.save(program, temporary)
