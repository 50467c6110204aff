"""`sdcda demo`: no adaptation against SE+FD on one mini world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sdcda_tutorial.evaluation.comparison import save_panel
from sdcda_tutorial.evaluation.tables import table
from sdcda_tutorial.experiments.benchmark import Benchmark, mini_data, provenance
from sdcda_tutorial.experiments.benchmark_rows import titles
from sdcda_tutorial.experiments.presets import MINI
from sdcda_tutorial.files import require_writable, write_json, write_text
from sdcda_tutorial.guards.locks import one_writer
from sdcda_tutorial.places import mini_root
from sdcda_tutorial.training.checkpoints import load_counter


def run_demo(seed: int, out: Path, say: Callable[[str], None]) -> None:
    """Train and measure both, write the table, the JSON and the panel to `out`, and print the table with `say`."""
    require_writable(out)
    with one_writer(out):
        _run_demo(seed, out, say)


def _run_demo(seed: int, out: Path, say: Callable[[str], None]) -> None:
    names = titles(("noadapt", "se+fd"))
    data = mini_data(mini_root() if seed == 0 else out / "world", seed)
    checkpoints, measured = Benchmark(tuple(names), MINI, out).run_seed(seed, out, data, say)
    results = {title: measured[method]["target"] for method, title in names.items()}
    counters = {title: load_counter(checkpoints[method])[0] for method, title in names.items()}
    text = table(results)
    write_text(out / "table.md", text + "\n")
    totals = {title: found.totals() for title, found in results.items()}
    write_json(out / "results.json", {"provenance": {**provenance(), "seed": seed}, "totals": totals})
    save_panel(out / "panel.png", data.tests["target"], results, counters, MINI.adaptation.kernel)
    say(f"\n{text}\n\ntable.md, results.json and panel.png are in {out}")
