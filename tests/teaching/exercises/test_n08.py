"""Exercises and demo of notebook 08, both ways: answers that are right, and each typical mistake with its own hint."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

from sdcda_tutorial import losses
from sdcda_tutorial.adaptation import Adaptation
from sdcda_tutorial.teaching.demos.training_replay import column, render_training_replay
from sdcda_tutorial.teaching.exercises import verdict
from sdcda_tutorial.teaching.notebook import picture


def stub(*_: Any, **__: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("number", ["8.1", "8.2", "8.3"])
def test_blanks_are_not_attempted(number: str) -> None:
    assert verdict(number, stub)[0] == "not attempted"
    assert verdict(number, ...)[0] == "not attempted"


# 8.1 ------------------------------------------------------------------------------------------------------------------


def with_terms(f: Any, default: float = 0.0) -> Any:
    """An answer with the package's signature that gives f(L, a, b, c, λs, λt, λd)."""

    def answer(density, weights, *, seg_source=default, seg_target=default, adversarial=default):  # type: ignore[no-untyped-def]
        terms = (density, seg_source, seg_target, adversarial)
        return f(*terms, weights.seg_source, weights.seg_target, weights.adversarial)

    return answer


def test_8_1_right() -> None:
    assert verdict("8.1", with_terms(lambda L, a, b, c, s, t, d: L + s * a + t * b + d * c))[0] == "right"
    assert verdict("8.1", losses.total_loss)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda L, a, b, c, s, t, d: L + a + b + c, "where are the λ"),
        (lambda L, a, b, c, s, t, d: L + t * a + s * b + d * c, "swap"),
        (lambda L, a, b, c, s, t, d: L + s * (a + b) + d * c, "a λ of its own"),
        (lambda L, a, b, c, s, t, d: L + s * a + t * b, "adversarial loss is missing"),
        (lambda L, a, b, c, s, t, d: L + s * a + t * b - d * c, "subtracted"),
        (lambda L, a, b, c, s, t, d: (L + s * a + t * b + d * c) / (1 + s + t + d), "not a mean"),
        (lambda L, a, b, c, s, t, d: (L + s * a + t * b + d * c) / 4, "not a mean"),
        (lambda L, a, b, c, s, t, d: s * a + t * b + d * c, "density loss is missing"),
        (lambda L, a, b, c, s, t, d: 1.5 * L + s * a + t * b + d * c, "2.357"),
        (lambda L, a, b, c, s, t, d: L + s * a + t * b + d * c + (0 if d or s else 1), "all λ zero"),
        (lambda L, a, b, c, s, t, d: (L + s * a + t * b + d * c).item(), "lead back to every term"),
        (lambda L, a, b, c, s, t, d: torch.tensor(float(L + s * a + t * b + d * c), requires_grad=True), "lead back"),
        (lambda L, a, b, c, s, t, d: L + s * float(a) + t * b + d * c, "lead back to every term"),
        (lambda L, a, b, c, s, t, d: L + s * a + t * b + (d * c).detach(), "lead back to every term"),
    ],
)
def test_8_1_hints(answer: Any, hint: str) -> None:
    said, text = verdict("8.1", with_terms(answer))
    assert said == "wrong" and hint in text


def test_8_1_the_step_passes_arguments_by_name() -> None:
    said, text = verdict("8.1", lambda L, λ, *, seg_source=0, seg_target=0, adversarial=0: L + 0 * λ)
    assert said == "wrong" and "keep those of the stub" in text


def test_8_1_the_defaults_are_zero() -> None:
    answer = with_terms(lambda L, a, b, c, s, t, d: L + s * a + t * (b or 0) + (c if c == 1 else d * c), default=1.0)
    said, text = verdict("8.1", answer)
    assert said == "wrong" and "defaults of zero" in text


# 8.2 ------------------------------------------------------------------------------------------------------------------


def step_with(mistake: str = "") -> Any:
    """The worked solution, and typical mistakes by name."""

    def step(self, source, target):  # type: ignore[no-untyped-def]
        λ, B = self.weights, len(source["image"])
        xt, zt = (None, None) if target is None else (target["image"], target.get("mask"))
        density, mask_logits, f = self.networks(source["image"], xt)
        factor = 10 if mistake == "factor 10" else 1 if "factor" in mistake else self.label_factor
        terms = {"density": losses.density_loss(density, source["density"] * factor)}
        if λ.seg_source > 0 or mistake == "no source if":
            terms["seg_source"] = losses.source_segmentation_loss(mask_logits[:B], source["mask"])
        if λ.seg_target > 0 or (mistake == "no target if" and target is not None):
            terms["seg_target"] = self.target_loss(mask_logits[B:], zt)
        if self.D is not None or "no if" in mistake:
            with self.fixed(self.D):
                terms["adversarial"] = losses.adversarial_loss(self.D(f[:B] if "found out" in mistake else f[B:]))
        if mistake != "E stays":
            self.minimise("networks", (2 if mistake == "twice" else 1) * losses.total_loss(weights=λ, **terms), terms)
        if self.D is not None and mistake != "D stays":
            seen = f if mistake == "attached" else f.detach()
            s, t = self.D(seen).tensor_split([B])
            loss = losses.discriminator_loss(t, s) if "swapped" in mistake else losses.discriminator_loss(s, t)
            self.minimise("D", 3 * loss if mistake == "D thrice" else loss, {"discriminator": loss})
            terms |= {"discriminator": loss}
        return None if mistake == "returns nothing" else {name: term.detach() for name, term in terms.items()}

    return step


def test_8_2_right() -> None:
    assert verdict("8.2", step_with())[0] == "right"
    assert verdict("8.2", Adaptation.step)[0] == "right"


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ("factor, found out, swapped", "another bug"),
        ("found out", "E is rewarded for *source*"),
        ("factor", "too few people, by that factor"),
        ("swapped", "the source is 0"),
        ("attached", "f.detach()"),
        ("E stays", "E, C and S did not move"),
        ("D stays", "D did not move"),
        ("twice", "E, C and S are not where"),
        ("D thrice", "D is not where"),
        ("returns nothing", "`step` gave back nothing"),
        ("no if", "Keep the lines that ask"),
        ("no source if", "Keep the lines that ask"),
        ("no target if", "Keep the lines that ask"),
        ("factor 10", "E, C and S are not where"),
    ],
)
def test_8_2_hints(mistake: str, hint: str) -> None:
    said, text = verdict("8.2", step_with(mistake))
    assert said == "wrong" and hint in text


# 8.3 ------------------------------------------------------------------------------------------------------------------


def choose(history: list[dict], steps: int) -> int:
    lines = [line for line in history if "validation" in line and line["step"] >= steps / 2]
    return min(lines, key=lambda line: line["validation"])["step"]


def test_8_3_right() -> None:
    assert verdict("8.3", choose)[0] == "right"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda h, n: min((x for x in h if "target_error" in x), key=lambda x: x["target_error"])["step"], "*target*"),
        (lambda h, n: min(h, key=lambda x: x["density"])["step"], "*training* loss"),
        (lambda h, n: min((x for x in h if "validation" in x), key=lambda x: x["validation"])["step"], "first half"),
        (lambda h, n: min(reversed([x for x in h if "validation" in x and x["step"] >= n / 2]),
                          key=lambda x: x["validation"])["step"], "the first is kept"),
        (lambda h, n: h[-1]["step"], "is the last"),
        (lambda h, n: max((x for x in h if "validation" in x), key=lambda x: x["validation"])["step"], "highest"),
        (lambda h, n: min((x for x in h if "validation" in x and x["step"] > n / 2),
                          key=lambda x: x["validation"])["step"], "itself included"),
        (lambda h, n: h[0], "number of a step"),
    ],
)  # fmt: skip
def test_8_3_hints(answer: Any, hint: str) -> None:
    said, text = verdict("8.3", answer)
    assert said == "wrong" and hint in text


# The demo -------------------------------------------------------------------------------------------------------------

LOGS = {
    "noadapt": [{"step": s, "density": 1 / s} for s in (10, 20, 30)],
    "se+fd": [{"step": s, "density": 1 / s, "adversarial": 0.7, "discriminator": 0.6, "D_accuracy": s / 40}
              for s in (10, 20, 30)] + [{"step": 30, "validation": 4.0}],
}  # fmt: skip


def test_a_column_stops_where_it_should() -> None:
    assert column(LOGS["se+fd"], "D_accuracy", 20) == ([10, 20], [0.25, 0.5])
    assert column(LOGS["noadapt"], "D_accuracy") == ([], [])


@pytest.mark.slow
def test_render_changes_with_method_and_step_and_takes_the_extremes() -> None:
    seen = []
    for method in LOGS:
        for at in (0, 10, 30):
            figure = render_training_replay(LOGS, method, at)
            assert isinstance(figure, Figure)
            seen.append(picture(figure))
    assert len(set(seen)) == len(seen)
    plt.close("all")
