"""What `sdcda demo` leaves behind and prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdcda_tutorial.evaluation.comparison import save_panel
from sdcda_tutorial.evaluation.results import Results
from sdcda_tutorial.evaluation.tables import table
from sdcda_tutorial.files import write_json, write_text


def save_demo(out: Path, found: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Write the table, the JSON and the panel of `benchmark.run_demo` to `out`, and print the table with `say`."""
    results: Mapping[str, Results] = found["results"]
    text = table(results)
    write_text(out / "table.md", text + "\n")
    totals = {title: of_method.totals() for title, of_method in results.items()}
    write_json(out / "results.json", {"provenance": found["provenance"], "totals": totals})
    save_panel(out / "panel.png", found["dataset"], results, found["counters"], found["kernel"])
    say(f"\n{text}\n\ntable.md, results.json and panel.png are in {out}")
