"""Tables of measured figures: what stands between two marks of a page comes from the files in ``docs/figures``.

``<!-- figures: bench/nodes -->`` begins the table of ``docs/figures/bench/nodes.jsonl``, ``<!-- end of figures -->``
ends it. The first line of such a file tells the machine (``docs/machine.py``), each other line is a row: of a benchmark
{"figure", "value", "unit", "against", "ratio"}, of other things whatever names its objects have.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).with_name("figures")
BLOCK = re.compile(r"(<!-- figures: ([\w/-]+) -->\n)(?:.*?)(<!-- end of figures -->)", re.DOTALL)


def rendered(text: str) -> str:
    """The page with its tables as the files have them."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{table(FIGURES / f'{found[2]}.jsonl')}\n{found[3]}", text)


def table(path: Path) -> str:
    """A sentence about where the figures come from, and a row for each of them."""
    if not path.exists():
        return "*Not measured yet.*\n"
    head, *rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    source = f"{head['machine']}; Python {head['python']}, commit {head['commit']}, {head['day']}"
    shown = [_of_benchmark(row) for row in rows] if rows and "figure" in rows[0] else rows
    return f"*{source}.*\n\n{_markdown(shown)}"


def _of_benchmark(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "figure": row["figure"],
        "value": f"{_number(row['value'])} {row['unit']}",
        "ratio": _number(row["ratio"]),
        "of what": row["against"],
    }


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(_cell(row.get(name, '')) for name in names)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{name}: {_cell(one)}" for name, one in value.items()) or "none"
    return (_number(value) if isinstance(value, int | float) else str(value)).replace("|", "\\|")


def _number(value: float) -> str:
    """Three digits that count, no more."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no"}.get(value, "")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
