"""Numbers read as numbers: what is one, what passes, what fails, and nbval itself on notebooks made for it."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output
from tools_of_notebooks import tool

from sdcda_tutorial.errors import InputError
from sdcda_tutorial.markdown import markdown_table
from sdcda_tutorial.teaching.tolerance import Tolerance, reconcile, reconcile_outputs, tolerance_of

ROOT = Path(__file__).parents[2]
FIVE_PERCENT = Tolerance(rel=0.05)
ANYTHING = Tolerance(abs=1e9)  # lets every number pass, so that what still differs was read as text


def passes(stored: str, new: str, tolerance: Tolerance = FIVE_PERCENT) -> bool:
    return reconcile(stored, new, tolerance)[0] == stored


# What passes and what does not


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("MAE 49.4 people", "MAE 50.3 people"),
        ("MAE 49.4 ± 3.10", "MAE 48.9 ± 3.21"),
        ("MAE  9.8, MSE 14.0", "MAE 10.2, MSE 13.9"),  # a number of another width
        ("   9.8\n  12.0", "  10.2\n  12.0"),
        ("(  9.8)", "( 10.1)"),
        ("(  9.8)", "(10.1)"),
        ("[ 0.98, -1.00]", "[ 1.01, -1.02]"),
        ("1.00e-03 and 12.5%", "1.03e-03 and 12.4%"),
        ("9.99e-04", "1.01e-03"),
        ("12,345 pixels", "12,400 pixels"),
        ("-3.00", "-3.10"),
        ("−3.00", "-3.10"),
        ("3.1x faster", "3.0x faster"),
        ("<td>100.0</td>", "<td>99.0</td>"),
        ("tensor([1., 2.])", "tensor([1.0100, 1.9900])"),
        ("nan, inf, -inf", "nan, inf, -inf"),
        ("18/24", "18/24"),
    ],
)
def test_within(stored: str, new: str) -> None:
    assert passes(stored, new)


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        ("MAE 49.4 people", "MAE 52.3 people"),
        ("MAE 49.4 people", "MAE 49.4 heads"),  # a word
        ("MAE 49.4 people", "MAE 49.4 people."),
        ("MAE 49.4 people", "MAE -49.4 people"),
        ("MAE 49.4 ± 3.1", "MAE 49.4"),  # a number is missing
        ("MAE 49.4", "MAE 49.4 ± 3.1"),
        ("MAE 49.4\nMSE 60.0", "MAE 49.4"),  # a line
        ("MAE 49.4\nMSE 60.0", "MSE 60.0\nMAE 49.4"),
        ("a b", "ab"),
        ("1.00e-03", "1.00e-02"),
        ("12.5%", "12.5"),
        ("12,345", "12,999"),
        ("float32", "float33"),
        ("conv2 of VGG16", "conv2 of VGG17"),
        ("2x", "3x"),
        ("0.0", "0.001"),  # nothing is 5 % of nothing
        ("nan", "1.0"),
        ("1.0", "nan"),
        ("inf", "-inf"),
        ("inf", "1e308"),
        ("True", "False"),
    ],
)
def test_beyond(stored: str, new: str) -> None:
    assert not passes(stored, new)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("x1", "x2"), ("λ1", "λ2"), ("float32", "float64"), ("VGG-16", "VGG-19"), ("2x", "3x"), ("3D", "2D"),
        ("16-bit", "32-bit"), ("seed_3", "seed_4"), ("007", "008"), ("2026-01-02", "2026-01-03"),
        ("12:30", "12:40"), ("1.2.3", "1.2.4"), ("v1.2", "v1.3"), ("torch-2.3", "torch-2.4"), ("#123456", "#123457"),
        ("0x1f", "0x2f"), ("1_000", "2_000"), ("1e5x", "2e5x"), ("information", "inf"), ("nano", "nan"),
    ],
)  # fmt: skip
def test_digits_of_a_word_are_text(text: str, other: str) -> None:
    assert not passes(f"a {text} b", f"a {other} b", ANYTHING)


@pytest.mark.parametrize(
    ("stored", "new", "off"),
    [
        ("3-5", "3-7", 2), ("3–5", "3–7", 2), ("(-5)", "(-7)", 2), ("[-1, 2]", "[1, 2]", 2), ("3 -5", "3 -7", 2),
        ("5%-7%", "5%-9%", 2), ("±2", "±4", 2), ("480×640", "480×642", 2), ("=-2", "=-4", 2), ("+2", "-2", 4),
        ("2026-1", "2028-1", 2), ("1,234", "1,236", 2), ("18/24", "20/24", 2), ("|-2|", "|-4|", 2), (".5", "2.5", 2),
        ("10^-3", "10^-5", 2), ("at 5.", "at 7.", 2),
    ],
)  # fmt: skip
def test_signs_and_how_far_off(stored: str, new: str, off: float) -> None:
    """A hyphen between two numbers makes neither of them negative."""
    met, misses = reconcile(stored, new, Tolerance(abs=1))
    assert met == new and [miss.off for miss in misses] == [pytest.approx(off)]
    assert passes(stored, new, Tolerance(abs=off))


def test_abs_and_rel_add_up() -> None:
    tolerance = Tolerance(rel=0.1, abs=1)
    assert passes("100.0", "111.0", tolerance) and not passes("100.0", "111.1", tolerance)
    assert passes("-100.0", "-89.0", tolerance) and not passes("-100.0", "-88.9", tolerance)
    assert passes("0.10", "0.15", Tolerance(abs=0.05)), "the distance of two floats is not rounded against the reader"


def test_what_is_beyond_stays_to_be_seen() -> None:
    """nbval's report then shows that number and no other."""
    met, misses = reconcile("a 10.0 b 20.0\nc 30.0", "a 10.1 b 25.0\nc 30.2", FIVE_PERCENT)
    assert met == "a 10.0 b 25.0\nc 30.0"
    assert [str(miss) for miss in misses] == ["20.0 is stored, 25.0 came out: off by 5, where 1 is allowed"]


def test_a_table_whose_columns_grow() -> None:
    def table(mae: str) -> str:
        return markdown_table(["method", "MAE"], [["SE+FD", mae], ["NoAdapt", "49.4"]])

    assert len(table("99.9")) != len(table("100.1"))
    assert passes(table("99.9"), table("100.1")) and passes(table("100.1"), table("99.9"))
    assert not passes(table("99.9"), table("109.9")) and not passes(table("99.9"), table("99.9").replace("SE", "FD"))


# Properties

numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
words = st.text("abcλ²_:;,()[]|%=/ #é\n", max_size=8)
tolerances = st.builds(Tolerance, rel=st.floats(0, 1), abs=st.floats(0, 100))


@settings(deadline=None)
@given(st.lists(st.tuples(words, numbers), max_size=6), words, tolerances)
def test_a_text_meets_itself(parts: list[tuple[str, float]], end: str, tolerance: Tolerance) -> None:
    text = "".join(f"{word} {number}" for word, number in parts) + end
    assert reconcile(text, text, tolerance) == (text, [])


@settings(deadline=None)
@given(st.text(max_size=60), tolerances)
def test_any_text_meets_itself(text: str, tolerance: Tolerance) -> None:
    assert reconcile(text, text, tolerance) == (text, [])


@settings(deadline=None)
@given(numbers, numbers, tolerances, st.sampled_from(["MAE {} people", "a\n| {} |", "<b>{}</b>", "{}", "±{}%"]))
def test_a_number_passes_exactly_within(stored: float, new: float, tolerance: Tolerance, form: str) -> None:
    room = tolerance.abs + tolerance.rel * abs(stored)
    assume(not math.isclose(abs(new - stored), room, rel_tol=1e-6, abs_tol=1e-6))
    met, misses = reconcile(form.format(stored), form.format(new), tolerance)
    assert (met == form.format(stored)) is (abs(new - stored) < room) is (not misses)


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_text_without_numbers_passes_only_if_it_is_the_same(stored: str, new: str) -> None:
    assume(not any(letter.isdigit() for letter in stored + new))
    assume(not {"nan", "inf"} & set((stored + new).lower().split()))
    met, _ = reconcile(stored, new, ANYTHING)
    if met == stored:
        assert "".join(stored.replace("-", "").split()) == "".join(new.replace("-", "").split())


# All kinds of output


def shown(kind: str, text: str) -> Any:
    return new_output("display_data", data={kind: text})


@pytest.mark.parametrize("kind", ["text/plain", "text/markdown", "text/html", "text/latex"])
def test_shown_text_of_every_kind(kind: str) -> None:
    stored, new = [shown(kind, "1.00"), shown(kind, "2.00")], [shown(kind, "1.01"), shown(kind, "2.50")]
    met, misses = reconcile_outputs(stored, new, FIVE_PERCENT)
    assert [output.data[kind] for output in met] == ["1.00", "2.50"]
    assert [miss.new for miss in misses] == ["2.50"]
    assert new[0].data[kind] == "1.01", "what came out is not changed"


def test_streams_meet_streams_of_their_name() -> None:
    stored = [new_output("stream", name="stderr", text="1.00"), new_output("stream", name="stdout", text="2.00")]
    new = [new_output("stream", name="stdout", text="2.02"), new_output("stream", name="stderr", text="1.01")]
    met, misses = reconcile_outputs(stored, new, FIVE_PERCENT)
    assert [output.text for output in met] == ["2.00", "1.00"] and misses == []


def test_other_kinds_stay_as_they_are() -> None:
    stored = [new_output("display_data", data={"application/json": {"a": 1.0}, "image/svg+xml": "<svg>1.00</svg>"})]
    new = [new_output("display_data", data={"application/json": {"a": 1.01}, "image/svg+xml": "<svg>1.01</svg>"})]
    assert reconcile_outputs(stored, new, FIVE_PERCENT) == (new, [])
    assert reconcile_outputs([], new, FIVE_PERCENT) == (new, [])


# Metadata


def test_metadata() -> None:
    assert tolerance_of({}) is None and tolerance_of({"tags": ["a"]}) is None
    assert tolerance_of({"sdcda": {"tolerance": {"rel": 0.05}}}) == Tolerance(rel=0.05, abs=0)
    assert tolerance_of({"sdcda": {"tolerance": {"abs": 2, "rel": 1}}}) == Tolerance(rel=1, abs=2)


BAD = [
    {}, {"tolerances": {"rel": 0.1}}, {"tolerance": {"rel": 0.1}, "seconds": 3}, [], "rel", None, {"tolerance": 0.05},
    {"tolerance": {}}, {"tolerance": {"relative": 0.1}}, {"tolerance": {"rel": 0.1, "absolute": 1}},
    {"tolerance": {"rel": -0.1}}, {"tolerance": {"abs": "0.1"}}, {"tolerance": {"abs": True}},
    {"tolerance": {"rel": 5}}, {"tolerance": {"abs": math.inf}}, {"tolerance": {"abs": math.nan}},
    {"tolerance": {"abs": None}},
    {"tolerance": {"rel": 0, "abs": 0.0}}, {"tolerance": None}, {"tolerance": [["rel", 0.1]]},
]  # fmt: skip


@pytest.mark.parametrize("ours", BAD, ids=str)
def test_metadata_that_cannot_be_meant(ours: Any) -> None:
    with pytest.raises(InputError) as caught:
        tolerance_of({"sdcda": ours})
    assert "\n" not in str(caught.value)


# nbval itself


STUB = """\
import sdcda_tutorial.mini_world
sdcda_tutorial.mini_world.ensure_mini_world = lambda root: None  # no world is drawn for this
"""
CELLS = {
    # name: (source, stored output, metadata of the cell, whether it passes)
    "within": ("print('MAE 50.3 people')", "MAE 49.4 people\n", {"rel": 0.05}, True),
    "wider": ("print(f'MAE {10.1:5.1f}')", "MAE   9.9\n", {"abs": 0.2}, True),
    "beyond": ("print('MAE 52.5 people')", "MAE 49.4 people\n", {"rel": 0.05}, False),
    "word": ("print('MAE 49.4 heads')", "MAE 49.4 people\n", {"rel": 0.05}, False),
    "missing": ("print('MAE 49.4')", "MAE 49.4 ± 3.1\n", {"rel": 0.05}, False),
    "silent": ("pass", "MAE 49.4\n", {"rel": 0.05}, False),
    "strict": ("print('MAE 49.401')", "MAE 49.4\n", None, False),
    "strict-same": ("print('MAE 49.4')", "MAE 49.4\n", None, True),
    "bad": ("print('MAE 49.4')", "MAE 49.4\n", {"relative": 0.05}, False),
    "markdown": ("from IPython.display import Markdown\nMarkdown('**5.1**')", "", {"abs": 0.2}, True),
    "markdown-beyond": ("Markdown('**5.1**')", "", {"abs": 0.05}, False),
}


def outputs_of(name: str, number: int) -> list[Any]:
    text = CELLS[name][1]
    if text:
        return [new_output("stream", text=text)]
    data = {"text/markdown": "**5.0**", "text/plain": "<IPython.core.display.Markdown object>"}
    return [new_output("execute_result", data=data, execution_count=number)]


@pytest.mark.slow
def test_nbval_with_and_without_tolerance(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / "conftest.py", folder)
    (tmp_path / "stub.py").write_text(STUB)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    cells = [
        new_code_cell(
            source, execution_count=number, outputs=outputs_of(name, number),
            metadata={} if stated is None else {"sdcda": {"tolerance": stated}},
        )
        for number, (name, (source, _, stated, _)) in enumerate(CELLS.items(), start=1)
    ]  # fmt: skip
    tool.write(new_notebook(cells=cells, metadata={"sdcda": {"seconds": 100}}), folder / "made.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-p", "stub", "-rA", "--color=no", "notebooks"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )  # fmt: skip
    out = done.stdout
    passed = [f"PASSED notebooks/made.ipynb::Cell {number}\n" in out + "\n" for number in range(len(CELLS))]
    assert dict(zip(CELLS, passed, strict=True)) == {name: wanted for name, (*_, wanted) in CELLS.items()}, out
    assert "49.4 is stored, 52.5 came out: off by 3.1, where 2.47 is allowed" in out
    assert "Bad metadata: a tolerance is" in out and "relative" in out
    assert done.returncode == 1
