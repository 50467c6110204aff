"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, aligned: bool = True) -> str:
    """Lines of cells as a Markdown table; a bar in a cell is escaped, as it would end the cell.

    Args:
        aligned: pad the cells for a terminal; the first column is set left, the others right.
    """
    header, *rows = ([cell.replace("|", r"\|") for cell in cells] for cells in (header, *rows))
    widths = [max(map(len, column)) if aligned else 0 for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = line(["---"] * len(header))
    if aligned:
        rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])
