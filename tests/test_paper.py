"""The tables of paper.py: the figures are the paper's, the names exist, the settings told are those of the presets."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from typing import Any

import pytest
import torch

from sdcda_tutorial.datasets.batches import DensityKernel
from sdcda_tutorial.density import density_map
from sdcda_tutorial.experiments.presets import MINI, PAPER, PHOTOS, SFCN_RATE
from sdcda_tutorial.networks import DensityEstimator, FeatureDiscriminator, FeatureExtractor, SemanticExtractor
from sdcda_tutorial.paper import EQUATIONS, LEDGER, SLIPS, SYMBOLS, TABLE_1, Choice, Score, as_markdown
from sdcda_tutorial.rivals import sfcn
from sdcda_tutorial.training import loop

# Table 1 once more, typed line by line as it is printed: part A, part B, UCF-QNRF, each MAE MSE PSNR SSIM.
PRINTED = """
NoAdpt [16]       | no  | 160.0 216.5 19.01 0.359 22.8 30.6 24.66 0.715 275.5 458.5 20.12 0.554
Cycle GAN [26]    | yes | 143.3 204.3 19.27 0.379 25.4 39.7 24.60 0.763 257.3 400.6 20.80 0.480
SE Cycle GAN [16] | yes | 123.4 193.4 18.61 0.407 19.9 28.3 24.78 0.765 230.4 384.5 21.03 0.660
NoAdpt (ours)     | no  | 190.8 298.1 20.57 0.457 24.6 33.7 24.14 0.687 296.1 467.9 20.46 0.513
SE+FD             | yes | 129.3 187.6 21.58 0.513 16.9 24.7 26.20 0.818 221.2 390.2 23.10 0.708
"""
DATASETS = ("ShanghaiTech A", "ShanghaiTech B", "UCF-QNRF")
NAME = re.compile(r"`([\w.]+)(?:\(([\w, ]+)\))?`")


def resolve(name: str) -> Any:
    """What `name`, from the package on, stands for: the longest part that is a module, then attributes or fields."""
    parts = name.split(".")
    found: Any = importlib.import_module("sdcda_tutorial")
    for index, part in enumerate(parts):
        if inspect.ismodule(found) and not hasattr(found, part):
            importlib.import_module(f"sdcda_tutorial.{'.'.join(parts[: index + 1])}")
        if dataclasses.is_dataclass(found) and part in {field.name for field in dataclasses.fields(found)}:
            assert index == len(parts) - 1, f"{name}: nothing is looked up in a field"
            return part
        found = getattr(found, part)
    return found


def score(method: str, dataset: str) -> Score:
    (found,) = [s for s in TABLE_1 if (s.method, s.dataset) == (method, dataset)]
    return found


def choice(point: str) -> Choice:
    (found,) = [c for c in LEDGER if c.point == point]
    return found


@pytest.mark.parametrize("name", sorted({r.where for r in (*SYMBOLS, *EQUATIONS.values())}))
def test_symbols_and_equations_lead_to_code(name):
    resolve(name)


@pytest.mark.parametrize("row", LEDGER, ids=lambda row: row.point)
def test_switches_exist(row):
    names = NAME.findall(row.switch)
    assert len(names) * 2 == row.switch.count("`"), "a name in backticks is not of the form module.name(argument)"
    assert names or row.switch.startswith("not switchable")
    for name, arguments in names:
        parameters = inspect.signature(resolve(name)).parameters if arguments else {}
        assert [a for a in arguments.split(", ") if a and a not in parameters] == []


def test_resolve_notices_what_is_not_there():
    """The two tests above would be worth nothing if anything resolved."""
    for wrong in ("losses.no_such_loss", "no_such_module.adapt", "training.AdaptationConfig.no_such_field"):
        with pytest.raises((AttributeError, ImportError)):
            resolve(wrong)


def test_equations_are_1_to_11_and_symbols_name_them():
    assert list(EQUATIONS) == [e.number for e in EQUATIONS.values()] == list(range(1, 12))
    numbers = {int(number) for symbol in SYMBOLS for number in re.findall(r"\d+", symbol.equations)}
    assert numbers <= set(EQUATIONS)
    for equation in EQUATIONS.values():
        assert equation.latex.count("{") == equation.latex.count("}")
        assert equation.latex.count(r"\left") == equation.latex.count(r"\right")


@pytest.mark.parametrize("equation", [5, 6, 7, 8, 9, 10, 11])
def test_the_function_of_an_equation_says_so(equation):
    """Its docstring names the number, alone or in a range such as Eq. 8-9."""
    text = inspect.getdoc(resolve(EQUATIONS[equation].where))
    ranges = [(int(a), int(b or a)) for a, b in re.findall(r"Eq\. (\d+)(?:-(\d+))?", text)]
    assert any(first <= equation <= last for first, last in ranges)


def test_table_1_is_the_printed_one():
    assert {s.dataset for s in TABLE_1} == set(DATASETS) and len(TABLE_1) == 15
    for line in PRINTED.strip().splitlines():
        method, adapted, figures = (part.strip() for part in line.split("|"))
        numbers = figures.split()
        for index, dataset in enumerate(DATASETS):
            one = score(method, dataset)
            assert one.adaptation == (adapted == "yes")
            # As printed, with its trailing zeros.
            row = as_markdown([one]).splitlines()[-1]
            assert row == f"| {method} | {adapted} | {dataset} | {' | '.join(numbers[4 * index : 4 * index + 4])} |"


def test_drops_on_part_b_check_out():
    ours, baseline, published = (score(m, "ShanghaiTech B") for m in ("SE+FD", "NoAdpt (ours)", "NoAdpt [16]"))
    says = [f"{100 * (1 - getattr(ours, e) / getattr(baseline, e)):.1f}%" for e in ("mae", "mse")]
    assert says == ["31.3%", "26.7%"]
    from_published = [f"{100 * (1 - getattr(ours, e) / getattr(published, e)):.1f}%" for e in ("mae", "mse")]
    text = SLIPS[2].says + SLIPS[2].figures
    assert [figure for figure in says + from_published if figure not in text] == []


def test_se_fd_is_best_in_10_of_12_cells():
    lost = []
    for dataset in DATASETS:
        others = [s for s in TABLE_1 if s.dataset == dataset and s.method != "SE+FD"]
        for name, best in (("mae", min), ("mse", min), ("psnr", max), ("ssim", max)):
            ours, rival = getattr(score("SE+FD", dataset), name), best(getattr(s, name) for s in others)
            if best(ours, rival) != ours:
                lost.append((dataset, name, ours, rival))
    assert lost == [("ShanghaiTech A", "mae", 129.3, 123.4), ("UCF-QNRF", "mse", 390.2, 384.5)]
    assert SLIPS[0].figures.startswith(f"{12 - len(lost)} of the 12 cells")
    assert all(f"{figure}" in SLIPS[0].figures for _, _, ours, rival in lost for figure in (ours, rival))


def plain(value: float) -> str:
    """1e-5, 2.5e-4: as the prose writes rates."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def channels(discriminator: FeatureDiscriminator) -> str:
    return "-".join(str(p.shape[0]) for p in discriminator.parameters() if p.ndim == 4)


def told_settings() -> list[tuple[str, list[str]]]:
    """(open point, what its "ours" must say), made from the presets and the networks as they are."""
    paper, mini, photos, warm = PAPER.adaptation, MINI.adaptation, PHOTOS.adaptation, MINI.warm_start
    translation, photos_warm = MINI.translation, PHOTOS.warm_start
    assert photos_warm is not None and photos_warm.weights.seg_source == paper.weights.seg_source
    assert warm is not None and translation.width == translation.discriminator_width == 1 / 4
    with torch.device("meta"):  # shapes without numbers
        paper_e, mini_e = (FeatureExtractor(c.stride, c.width) for c in (paper, mini))
        paper_d, mini_d = (
            FeatureDiscriminator(e.channels, c.discriminator_width) for e, c in ((paper_e, paper), (mini_e, mini))
        )
        h, w = paper_d(paper_e(torch.zeros(1, 3, *paper.target.crop))).shape[-2:]
    height, width = paper.source.crop
    crop = f"{height}×{width} crop"
    return [
        ("Gaussian of F(y), Eq. 6", [f"mini: σ {mini.kernel.sigma:g}"]),
        ("where E ends", [f"{paper_e.channels} channels, stride {paper.stride}"]),
        ("where E ends", [f"mini: conv4_3, {mini_e.channels} channels, stride {mini.stride}"]),
        (
            "what E starts from",
            [f"{warm.steps} source-only steps", f"photos: {photos_warm.steps} such steps with Eq. 7"],
        ),
        (
            "SFCN of “NoAdpt [16]”",
            [
                f"stride {sfcn.STRIDE}",
                f"at most {plain(SFCN_RATE)}, because at {plain(warm.learning_rate)} it learned to predict zeros",
            ],
        ),
        (
            "Cycle GAN, SE Cycle GAN",
            [f"mini: {translation.blocks} blocks at a quarter of the width, {translation.steps} steps"],
        ),
        ("D", [f"exactly four, {channels(paper_d)} channels", crop, f"{h}×{w} logits", f"mini: {channels(mini_d)}"]),
        ("λd", [f"{paper.weights.adversarial} in paper and mini", f"{plain(photos.weights.adversarial)} in photos"]),
        ("training of D", [f"rate {plain(paper.discriminator_rate)}, mini {plain(mini.discriminator_rate)}"]),
        ("label factor", [f"× {paper.label_factor:g}, mini × {mini.label_factor:g}"]),
        ("reductions in Eq. 6, 7, 9, 10", [f"{height * width // (h * w):,} for a {crop}"]),
        ("length and schedule", [f"mini: {mini.steps} steps after the warm start, rate falling to 0"]),
        ("choice of the model", [f"every {paper.validate_every} steps (mini: more often)"]),
        *(
            ("mask model for zt", [f"above {masks.threshold}, grown by {masks.dilate} pixels"])
            for masks in (PAPER.segmenter, MINI.segmenter, PHOTOS.segmenter)
        ),
    ]


@pytest.mark.parametrize(("point", "expected"), told_settings())
def test_ledger_tells_the_presets(point, expected):
    assert [text for text in expected if text not in choice(point).ours] == []


def test_ledger_is_right_where_it_says_that_we_do_as_others_do():
    paper, mini = PAPER.adaptation, MINI.adaptation
    assert paper.kernel == DensityKernel("fixed", 4.0, 15)  # the authors' 15×15, σ 4
    assert torch.isclose(density_map([[0.2, 0.2]], (40, 40)).sum(), torch.tensor(1.0))  # re-normalised at the corner
    assert paper.pretrained and PAPER.warm_start is None and not mini.pretrained
    assert (paper.learning_rate, paper.batch_size, paper.source.crop) == (1e-5, 8, (480, 640))  # the paper's own
    assert paper.weights == mini.weights
    photos = PHOTOS.adaptation.weights
    assert (photos.seg_source, photos.seg_target) == (paper.weights.seg_source, paper.weights.seg_target)
    assert paper.weights.seg_source == paper.weights.seg_target == mini.weights.seg_source == 0.01
    assert "0.01 each" in next(symbol.meaning for symbol in SYMBOLS if symbol.symbol == "λs, λt")
    assert (paper.epochs, paper.schedule, paper.weight_decay) == (200, "epochs", 1e-4)  # C³'s
    assert (mini.schedule, mini.weight_decay) == ("polynomial", 0)
    assert mini.validate_every < paper.validate_every and max(mini.source.crop) < min(paper.source.crop)
    assert paper.holdout == mini.holdout == 0.1  # "a random tenth"
    assert loop.CHOOSE_FROM == 0.5  # "in the second half"
    assert mini.source.jitter > 0 and mini.target.jitter == paper.source.jitter == 0  # jitter: mini's source only
    assert SemanticExtractor(16, 16).bins == (1, 2, 3, 6)
    kernels = [
        [m.kernel_size[0] for m in DensityEstimator(64, 16, name).modules() if isinstance(m, torch.nn.Conv2d)]
        for name in ("paper", "authors")
    ]
    assert kernels == [[3, 3, 3, 3, 1], [1, 9, 7, 5, 3, 1]]
    assert all(isinstance(FeatureExtractor(stride, 0.1).features[-1], torch.nn.ReLU) for stride in (8, 16))


@pytest.mark.parametrize("records", [SYMBOLS, EQUATIONS.values(), TABLE_1, SLIPS, LEDGER])
def test_markdown_tables_are_rectangular(records):
    lines = as_markdown(records).splitlines()
    assert len(lines) == 2 + len(records)  # heading, rule, one line a record: no text breaks the line
    columns = len(dataclasses.fields(next(iter(records))))
    assert {line.count("|") for line in lines} == {columns + 1}  # no text holds a bar, not even a formula
    assert set(lines[1]) == set("| -")


def test_no_point_is_told_twice_and_none_is_left_empty():
    assert len({row.point for row in LEDGER}) == len(LEDGER)
    for record in (*SYMBOLS, *EQUATIONS.values(), *SLIPS, *LEDGER):
        assert all(value != "" for value in dataclasses.astuple(record)), record


def test_reading_the_tables_needs_only_the_standard_library():
    code = "import sys, sdcda_tutorial.paper; print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
