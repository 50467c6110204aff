"""Wrong answers that look right on easy examples, and right ones in another form."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sdcda_tutorial import losses, masks
from sdcda_tutorial.adaptation import Adaptation
from sdcda_tutorial.teaching.exercises import verdict


def clipped_with_the_height(boxes: Any, size: Any) -> np.ndarray:
    height = size[0]
    mask = np.zeros(size, np.uint8)
    for x0, y0, x1, y1 in boxes:
        if x1 > x0 and y1 > y0:
            x0, x1 = np.clip([np.floor(x0), np.ceil(x1)], 0, height).astype(int)
            y0, y1 = np.clip([np.floor(y0), np.ceil(y1)], 0, height).astype(int)
            mask[y0:y1, x0:x1] = 1
    return mask


def rounded_in_place(boxes: Any, size: Any) -> np.ndarray:
    made = masks.from_boxes(boxes, size)
    boxes[:] = np.round(boxes)
    return made


def without_a_tolerance(a: np.ndarray, b: np.ndarray) -> float:
    signs = np.array(list(itertools.product([1, -1], repeat=len(a))))
    return float((abs((signs * (a - b)).mean(1)) >= abs((a - b).mean())).mean())


def hard_coded(a: np.ndarray, b: np.ndarray) -> float:
    signs = np.array(list(itertools.product([1, -1], repeat=5)))
    return float((abs((signs * (a - b)).mean(1)) >= abs((a - b).mean()) - 1e-9).sum() / 32)


def half_loss(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return 0.5 * (p - t).square().mean()


def by_number_of_dimensions(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    if p.ndim != t.ndim:
        raise ValueError
    return half_loss(p, t)


def detached_anew(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return torch.tensor(by_number_of_dimensions(p, t).item(), requires_grad=True)


def of_D(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 0.5 * (F.softplus(-source).mean() + F.softplus(target).mean())


def of_E_7(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(x, z)


def of_background(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return F.softplus(x)[z == 0].mean() * (z == 0).float().mean()


def by_value(pool: list[Any], capacity: int, image: Any, coin: float, place: int) -> Any:
    if len(pool) < capacity:
        pool.append(image)
        return image
    if coin >= 0.5:
        return image
    old = pool[place]
    pool[pool.index(old)] = image
    return old


def in_place(gains: list[float]) -> tuple[float, float]:
    gains.sort()
    return (sum(gains) - gains[-1]) / (len(gains) - 1), (sum(gains) - gains[0]) / (len(gains) - 1)


def by_x(heads: Any) -> list[str]:
    keys = {name: points[points[:, 0].argsort(kind="stable")].tolist() for name, points in heads.items()}
    return sorted(name for name, key in keys.items() if key and list(keys.values()).count(key) > 1)


def forgets_done(steps: int, done: int, step: float, loading: float, workers: int) -> float:
    return steps * (step + loading) / 3600 if workers == 0 else (steps - done) * max(step, loading / workers) / 3600


def level_off(S: Any, f: torch.Tensor, level: int) -> Any:
    return S.pyramid(f)


def replaced(S: Any, f: torch.Tensor, level: int) -> torch.Tensor:
    S.pyramid[level] = nn.Identity()
    return torch.zeros(2, 1, 192, 256)


def hooked(S: Any, f: torch.Tensor, level: int) -> torch.Tensor:
    S.pyramid[level].register_forward_hook(lambda module, inputs, output: output * 0)
    found: torch.Tensor = S(f)
    return found


def by_its_brightest(image: Any) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / image.max()


def in_one_corner(F_y: torch.Tensor, size: Any) -> torch.Tensor:
    made = torch.zeros(size)
    made[0, 0] = F_y.sum()
    return made


def upside_down(F_y: torch.Tensor, size: Any) -> torch.Tensor:
    small = F.interpolate(F_y[None, None], size=size, mode="area")[0, 0].flip((0, 1))
    return small * F_y.sum() / small.sum()


def by_number_of_images(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    if p.ndim != t.ndim or len(p) != len(t):
        raise ValueError
    return half_loss(p, t)


def identity(xs: Any, xt: Any, to_target: Any, to_source: Any) -> torch.Tensor:
    found: torch.Tensor = 2 * ((to_target(xt) - xt).abs().mean() + (to_source(xs) - xs).abs().mean())
    return found


class _Constant(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.shape = x.shape
        return F.softplus(-x).mean()

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> torch.Tensor:
        return -torch.ones(ctx.shape)


def not_fixed(self: Any, source: Any, target: Any) -> Any:
    with patch.object(self, "fixed", lambda network: nullcontext()):
        return Adaptation.step(self, source, target)


def zeros_in_the_log(self: Any, source: Any, target: Any) -> Any:
    return {name: value * 0 for name, value in Adaptation.step(self, source, target).items()}


def lazy_without_masks(self: Any, source: Any, target: Any) -> Any:
    if self.weights.needs_S:
        return Adaptation.step(self, source, target)
    density, _, _ = self.networks(source["image"], None)
    terms = {"density": losses.density_loss(density, source["density"])}
    self.minimise("networks", terms["density"], terms)
    return terms


CAUGHT = [
    ("1.3", in_one_corner, "stay where they were"),
    ("1.3", upside_down, "stay where they were"),
    ("3.1", by_its_brightest, "the brightest value"),
    ("4.1", by_number_of_images, "which broadcast"),
    ("7.2", _Constant.apply, "push every target logit up"),
    ("8.2", not_fixed, "reached D's weights"),
    ("8.2", zeros_in_the_log, "the log would show them"),
    ("8.2", lazy_without_masks, "leaves E, C and S elsewhere"),
    ("10.2", lambda *given: identity(*given).detach(), "would learn nothing"),
    ("0.1", lambda predicted, truth: predicted[truth == 0], "return one number"),
    ("0.1", lambda predicted, truth: predicted[truth < 1e-5].sum(), "the edge of a head"),
    ("2.1", clipped_with_the_height, "columns 6 and 7"),
    ("2.1", rounded_in_place, "changed the boxes"),
    ("2.1", lambda boxes, size: torch.from_numpy(masks.from_boxes(boxes, size)), "a NumPy array"),
    ("3.1", lambda image: torch.from_numpy(image / 255).permute(2, 0, 1)[None], "computes in float32"),
    ("3.3", lambda x, eps=1e-5: F.batch_norm(x, None, None, training=True, eps=max(1e-5, min(eps, 0.01))), "for 0.5"),
    ("4.1", by_number_of_dimensions, "(2, 1, 1, 3) and (1, 1, 1, 3)"),
    ("4.1", detached_anew, "nothing would learn"),
    ("4.3", lambda pred, truth: (pred[truth == 0], pred.sum() - truth.sum()), "return two numbers"),
    ("5.1", lambda x, z: of_E_7(x, z).detach(), "no gradient leads back"),
    ("5.3", level_off, "your code stopped in line"),
    ("5.3", replaced, "you changed S itself"),
    ("5.3", hooked, "you changed S itself"),
    ("6.1", lambda x, z: (1 - z).mul(F.softplus(x)).mean().detach(), "no gradient leads back"),
    ("6.1", of_background, "where all is crowd"),
    ("7.1", lambda s, t: of_D(s, t).item(), "D would learn nothing"),
    ("7.1", lambda s, t: of_D(s, t.detach()), "D would learn nothing"),
    ("8.3", lambda history, steps: min(
        (line for line in history if "validation" in line and line["step"] >= steps // 2),
        key=lambda line: line["validation"],
    )["step"], "step 3 is the first of the second half"),
    ("9.4", without_a_tolerance, "break such a tie"),
    ("9.4", hard_coded, "your code stopped"),
    ("10.3", by_value, "may be in the pool twice"),
    ("10.4", in_place, "changed the list"),
    ("11.1", by_x, "sort by x and then y"),
    ("11.3", forgets_done, "half of the steps are done"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "answer", "hint"), CAUGHT)
def test_what_only_looks_right_is_caught(number: str, answer: Any, hint: str) -> None:
    said, text = verdict(number, answer)
    assert said == "wrong" and hint in text, text


def field(layers: Any) -> Any:
    steps = np.cumprod([1, *(stride for _, stride, _ in layers)])[:-1]
    return 1 + sum(((k - 1) * d * j for (k, _, d), j in zip(layers, steps, strict=True)), np.int64(0))


def choose(history: Any, steps: int) -> Any:
    kept = [line for line in history if "validation" in line and line["step"] >= steps / 2]
    return np.array([line["step"] for line in kept])[np.argmin([line["validation"] for line in kept])]


def cost(mask: np.ndarray, heads: np.ndarray) -> np.ndarray:
    inside = mask[tuple(heads.astype(int).T[::-1])]
    return np.array([(inside == 0).mean(), (mask == 0).mean()])


def keeps_mean(height: int, width: int, grid: int, stride: int = 8) -> torch.Tensor:
    return torch.tensor([height // stride % grid, width // stride % grid]).eq(0).all()


def test_right_answers_in_another_form_are_right() -> None:
    tensors = (("3.2", lambda layers: torch.tensor(field(layers))), ("5.2", keeps_mean))
    for number, answer in (("3.2", field), ("8.3", choose), ("2.2", cost), *tensors):
        assert verdict(number, answer)[0] == "right", verdict(number, answer)
