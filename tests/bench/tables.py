"""tables.py - medians, ratios, and tables of them for people, for Markdown, and for programs."""

import json
import math
import os
import statistics
import tempfile

import lab


def median(values):
    return statistics.median(values)


def high(values):
    """The 95th percentile (nearest rank)."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def ratio(values, units):
    """The median of the ratios round by round; None without a unit."""
    if not units:
        return None
    return statistics.median(value / unit for value, unit in zip(values, units))


def number(value):
    """A figure with as many digits as a noisy machine allows."""
    if value is None:
        return ""
    if isinstance(value, (str, int)):
        return str(value)
    if value >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Table:
    """A title, the names of the columns (the first is of the rows' names), and rows of figures or words."""

    def __init__(self, title, columns):
        self.title, self.columns, self.rows = title, columns, []

    def add(self, *cells):
        self.rows.append([number(cell) for cell in cells])

    def text(self):
        lines = [self.columns, *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        drawn = [self.title]
        for line in lines:
            cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
            drawn.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join(drawn) + "\n"

    def markdown(self):
        lines = [self.columns, ["---"] + ["--:"] * (len(self.columns) - 1), *self.rows]
        return f"{self.title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def show(tables, markdown, heading):
    """Prints the tables. `heading`: of what, where and when."""
    print(heading + "\n")
    print("\n".join(table.markdown() if markdown else table.text() for table in tables), flush=True)


def save(path, document):
    """Writes JSON, whole or not at all."""
    replace(path, json.dumps(document, indent=1) + "\n")


def replace(path, text):
    """Writes a file, whole or not at all."""
    path = os.path.abspath(path)
    try:
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), prefix=".bench-", delete=False) as out:
            out.write(text)
        os.chmod(out.name, 0o644)
        os.replace(out.name, path)
    except OSError as error:
        raise lab.Failed(f"{path}: {error.strerror}") from error
