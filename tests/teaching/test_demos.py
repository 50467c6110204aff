"""The demos' frame: a control moves, the picture changes; what goes wrong is told, where it can be seen."""

from __future__ import annotations

import math

import ipywidgets
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.rivals.cyclegan import Generators
from sdcda_tutorial.teaching.demos import choice, explore, slider
from sdcda_tutorial.teaching.demos.density_kernel import (
    compare_kernels,
    density_kernel,
    kernel_figures,
    render_density_kernel,
)
from sdcda_tutorial.teaching.demos.translations import DIRECTIONS, render_translation, translations
from sdcda_tutorial.teaching.notebook import picture


def bar(height: float, colour: str = "blue", width: float = 0.5) -> Figure:
    if height < 0:
        raise ValueError("no height below 0")
    figure, axis = plt.subplots(figsize=(2, 2))
    axis.bar(0, height, width, color=colour)
    axis.set_ylim(0, 10)
    return figure


def controls() -> dict[str, ipywidgets.Widget]:
    return {"height": slider("height", 1, -5, 10, 1), "colour": choice("colour", ["blue", "red"])}


def test_moving_a_control_changes_the_picture() -> None:
    box = explore(bar, controls())
    height, colour, image, problem = box.children
    seen = [image.value]
    height.value = 5
    seen.append(image.value)
    colour.value = "red"
    seen.append(image.value)
    assert all(bytes(value[:2]) == b"\xff\xd8" for value in seen), "JPEG"
    assert len(set(seen)) == 3 and problem.value == ""
    height.value, colour.value = 1, "blue"
    assert image.value == seen[0], "a picture is a function of its controls"


def test_fixed_arguments_are_passed_on() -> None:
    narrow, wide = (explore(bar, controls(), {"width": width}).children[2].value for width in (0.1, 0.9))
    assert narrow != wide


def test_an_exception_is_shown_and_goes_away_again() -> None:
    box = explore(bar, controls())
    height, _, image, problem = box.children
    before = image.value
    height.value = -1
    assert problem.value == "<b>ValueError</b>: no height below 0" and image.value == before
    height.value = 3
    assert problem.value == "" and image.value != before


def test_an_exception_at_the_start_is_shown_too() -> None:
    box = explore(bar, {"height": slider("height", -1, -5, 10, 1)})
    assert "no height below 0" in box.children[-1].value


def test_no_figure_stays_open() -> None:
    before = plt.get_fignums()
    box = explore(bar, controls())
    for height in (2, 3, 4):
        box.children[0].value = height
    assert plt.get_fignums() == before


def test_sliders_are_of_one_length() -> None:
    sliders = {"a": slider("a", 1, 0, 9, 1), "b": slider("a longer label", 1, 0, 9, 1)}
    height, longer, *_ = explore(lambda a, b: bar(a + b), sliders).children
    assert height.layout.width == longer.layout.width
    assert height.style.description_width == longer.style.description_width == "14ch"


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ((2, 0, 9, 1), ipywidgets.IntSlider),
        ((2.0, 0.0, 10.0, 2.0), ipywidgets.IntSlider),
        ((2.0, 0.5, 12.0, 0.5), ipywidgets.FloatSlider),
        ((0, 0, 1, 0.1), ipywidgets.FloatSlider),
    ],
)
def test_a_slider_of_whole_numbers_gives_whole_numbers(numbers: tuple, kind: type) -> None:
    made = slider("σ, pixels", *numbers)
    assert type(made) is kind
    assert (made.value, made.min, made.max, made.step) == numbers
    assert isinstance(made.value, int) == (kind is ipywidgets.IntSlider)  # an index, say, must not be 2.0
    assert made.continuous_update and made.description == "σ, pixels"


def test_a_choice_starts_with_the_first_or_the_given_option() -> None:
    assert choice("kernel", ["fixed", "adaptive"]).value == "fixed"
    assert choice("kernel", ["fixed", "adaptive"], "adaptive").value == "adaptive"
    assert choice("stride", [16, 8], 8).value == 8


@pytest.mark.slow
def test_render_density_kernel(target: CrowdDataset) -> None:
    """Every argument shows; the sum in the title is the count, whatever the kernel."""
    chosen: list[tuple[int, str, float, int]] = [
        (0, "fixed", 4.0, 15), (1, "fixed", 4.0, 15), (0, "adaptive", 4.0, 15), (0, "fixed", 0.5, 15),
        (0, "fixed", 12.0, 73), (0, "fixed", 4.0, 3),
    ]  # fmt: skip
    figures = [render_density_kernel(target, *values) for values in chosen]
    for figure, (scene, *_) in zip(figures, chosen, strict=True):
        assert figure.axes[0].get_title() == f"{target[scene].count} heads"
        assert figure.axes[1].get_title() == f"F(y), people per pixel: sum {target[scene].count:.2f}"
    assert "σ from" in figures[2].get_supxlabel() and "σ from" not in figures[0].get_supxlabel()
    assert len({picture(figure) for figure in figures}) == len(figures)


def test_a_kernels_figures_are_those_of_a_gaussian(target: CrowdDataset) -> None:
    """Wide enough it has the peak 1 / (2πσ²) and is 2.355 σ wide at half of that; the sum is the count."""
    sample = target[0]
    for sigma in (1.5, 2.0, 4.0, 7.0):
        found = kernel_figures(sample, "fixed", sigma, kernel_size=8 * int(sigma) + 9)
        assert found["peak"] == pytest.approx(1 / (2 * math.pi * sigma**2), rel=2e-3)
        assert found["width"] == pytest.approx(2 * sigma * math.sqrt(2 * math.log(2)), rel=1e-3)
        assert found["sum"] == pytest.approx(sample.count, rel=1e-4)
        assert found["largest"] >= found["peak"] / 2
    narrow = kernel_figures(sample, "fixed", sigma=9.0, kernel_size=5)  # cut above half of its peak
    assert narrow["width"] == 5 and narrow["peak"] > 1 / 36


def test_two_kernels_side_by_side(target: CrowdDataset) -> None:
    before, after = ({"kernel": "fixed", "sigma": sigma, "kernel_size": 31} for sigma in (2.0, 4.0))
    table = compare_kernels(target[0], before, after, {"sum": 1, "peak": 0.25, "width": None}).splitlines()
    assert table[0] == "|  | before | after | factor | predicted |"
    factors, guesses = ([line.split(" | ")[place] for line in table[2:]] for place in (3, 4))
    assert factors[:3] == ["1.00", "0.25", "2.00"] and guesses == ["1 |", "0.25 |", "– |", "– |"]
    adaptive = compare_kernels(target[0], before, {"kernel": "adaptive"})
    assert adaptive.splitlines()[2].split(" | ")[3] == "1.00"


@pytest.mark.slow
def test_density_kernel_moves(target: CrowdDataset) -> None:
    box = density_kernel(target)
    scene, kernel, sigma, kernel_size, image, problem = box.children
    seen = {image.value}
    for control, value in ((scene, 1), (sigma, 6.5), (kernel_size, 41), (kernel, "adaptive")):
        control.value = value
        seen.add(image.value)
    assert len(seen) == 5 and problem.value == ""
    assert scene.max == len(target) - 1


@pytest.mark.slow
def test_render_translation_shows_the_way_forth_and_back(source: CrowdDataset, target: CrowdDataset) -> None:
    domains = {"source": source, "target": target}
    generators = {"CycleGAN": Generators(1, 1 / 16), "SE CycleGAN": Generators(1, 1 / 16)}
    chosen = [(0, "CycleGAN"), (1, "CycleGAN"), (0, "SE CycleGAN"), (0, "CycleGAN", DIRECTIONS[1])]
    figures = [render_translation(domains, generators, *values) for values in chosen]
    titles = [axis.get_title() for axis in figures[3].axes]
    assert titles[:3] == ["target image 0", "CycleGAN: target to source", "and back"]
    assert titles[3].startswith("difference; cycle loss ")
    assert len({picture(figure) for figure in figures}) == 4


@pytest.mark.slow
def test_translations_move(source: CrowdDataset, target: CrowdDataset) -> None:
    generators = {"CycleGAN": Generators(1, 1 / 16), "SE CycleGAN": Generators(1, 1 / 16)}
    box = translations({"source": source, "target": target}, generators)
    scene, method, direction, image, problem = box.children
    seen = {image.value}
    for control, value in ((scene, 1), (method, "CycleGAN"), (direction, DIRECTIONS[1])):
        control.value = value
        seen.add(image.value)
    assert len(seen) == 4 and problem.value == ""
