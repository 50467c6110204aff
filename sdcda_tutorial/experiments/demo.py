"""`sdcda demo`: no adaptation against SE+FD on one mini world, with counters trained before, then trained now."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from torch import nn

from sdcda_tutorial.datasets import CrowdDataset
from sdcda_tutorial.errors import InputError
from sdcda_tutorial.evaluation.comparison import PANEL, save_panel
from sdcda_tutorial.evaluation.pictures import refuse_other_picture
from sdcda_tutorial.evaluation.results import BEGINNINGS, Results, evaluate, is_json
from sdcda_tutorial.evaluation.tables import rows, table
from sdcda_tutorial.experiments.benchmark import Benchmark, SeedData, evaluate_once, mini_data, provenance
from sdcda_tutorial.experiments.benchmark_rows import titles
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.experiments.progress import DEMO, Progress
from sdcda_tutorial.files import read_object, refuse_other_file, require_writable, write_json, write_text
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.mini_world import open_mini_world
from sdcda_tutorial.places import mini_root, model
from sdcda_tutorial.training.checkpoints import load_counter

Say = Callable[[str], None]
NAMES = titles(("noadapt", "se+fd"))
STORED = "Stored counters"
FIRST = 30  # test images: a first result in seconds


def run_demo(seed: int, out: Path, say: Say) -> None:
    """Show what stored counters reach, then train and measure both methods; write table, JSON and panel to `out`.

    What the stored counters reach stands in `out`/stored and in no other file. `say` prints.

    Raises:
        InputError: before anything is counted, where a file that no demo has written would be replaced.
    """
    require_writable(out)
    with one_writer(out):
        _refuse_other_files(out, seed)
        root = mini_root() if seed == 0 else out / "world"
        test = open_mini_world(root, seed=seed)["target", "test"]  # does not wait for the rest to be drawn
        _show_stored(test, out / "stored", say)
        say(f"\nNow both methods are trained here (seed {seed}).")
        _train(seed, mini_data(root, seed), out, say)


def _refuse_other_files(out: Path, seed: int) -> None:
    for folder, beginning in ((out, "| method"), (out / "stored", STORED)):
        refuse_other_file(folder / "table.md", beginning)
        refuse_other_picture(folder / "panel.png", PANEL)
    results = out / "results.json"
    refuse_other_file(results, '{\n "provenance": {')
    if os.path.lexists(results) and (found := read_object(results)).get("provenance", {}).get("seed") != seed:
        what = "a demo of another seed" if "totals" in found else "something else"
        raise InputError(f"{results} holds {what}; choose another `folder`")
    for asked in sorted(out.glob("*/config.json")):  # of a demo that was interrupted
        if read_object(asked).get("seed") != seed:
            raise InputError(f"{asked.parent} holds a run of another seed; choose another `folder`")
    for method in NAMES:
        refuse_other_file(out / "stored" / f"{method}.json", BEGINNINGS["json"], is_json)


def _show_stored(test: CrowdDataset, folder: Path, say: Say) -> None:
    """Count with the counters that come with the package: some of the test images first, then all."""
    loaded = {method: load_counter(model(method)) for method in NAMES}
    counters = {f"{NAMES[method]} (stored)": counter for method, (counter, _) in loaded.items()}
    origin = {method: f"trained before (seed {card['config']['seed']})" for method, (_, card) in loaded.items()}
    files, kernel = {method: folder / f"{method}.json" for method in NAMES}, MINI.adaptation.kernel

    def show(part: CrowdDataset, which: str, results: list[Results]) -> None:
        heading = f"{STORED}, {' and '.join(dict.fromkeys(origin.values()))}, on {which} of this world:"
        say(f"\n{_write(folder, part, dict(zip(counters, results, strict=True)), counters, heading)}")

    if len(test) > FIRST and not all(file.exists() for file in files.values()):
        first = test.subset(range(FIRST))
        found = [evaluate(counter, first, kernel=kernel, progress=False) for counter in counters.values()]
        show(first, f"the first {FIRST} test images", found)
        say(f"\nThe picture is {folder / 'panel.png'}. Now all {len(test)} test images are counted.")
    about = {method: {"method": method, "origin": f"stored, {text}"} for method, text in origin.items()}
    found = [evaluate_once(files[method], model(method), test, kernel, about[method]) for method in NAMES]
    show(test, f"the {len(test)} test images", found)
    say(f"\nThis table and its panel.png are in {folder}.")


def _train(seed: int, data: SeedData, out: Path, say: Say) -> None:
    """Train and measure both methods, print each as it comes, and write what was found."""
    results: dict[str, Results] = {}

    def measured(method: str, found: dict[str, Results]) -> None:
        results[NAMES[method]] = found["target"]
        if len(results) < len(NAMES):
            say(f"\nTrained now (seed {seed}):\n\n{rows(results)}\n")

    with closing(Progress(DEMO)) as progress:
        benchmark = Benchmark(tuple(NAMES), MINI, out, report=progress)
        checkpoints, _ = benchmark.run_seed(seed, out, data, lambda title: None, measured)
    counters = {title: load_counter(checkpoints[method])[0] for method, title in NAMES.items()}
    text = _write(out, data.tests["target"], results, counters)
    totals = {title: found.totals() for title, found in results.items()}
    write_json(out / "results.json", {"provenance": {**provenance(), "seed": seed}, "totals": totals})
    say(f"\nTrained now (seed {seed}):\n\n{text}\n\ntable.md, results.json and panel.png are in {out}")


def _write(
    folder: Path,
    test: CrowdDataset,
    results: Mapping[str, Results],
    counters: Mapping[str, nn.Module],
    heading: str = "",
) -> str:
    """Write table.md, with a heading, and panel.png; the text of the table."""
    text = f"{heading}\n\n{table(results)}".strip()
    write_text(folder / "table.md", text + "\n")
    save_panel(folder / "panel.png", test, results, counters, MINI.adaptation.kernel)
    return text
