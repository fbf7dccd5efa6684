"""The options and the outcome of a comparison with others' results: tables, figures, rows and one JSON object.

Reproductions of published results and validations both end in an `Outcome`. A sheet's cells are text, so that the
terminal and the page say the same. Nothing here knows a reproduction or a validation.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from actors.whole_file import whole
from workloads.report import page

RESULTS_CSV, RESULTS_JSON, REPORT_FILE = "results.csv", "results.json", "report.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options of a reproduction.

    Attributes:
        published_only: True to measure nothing.
        engine: execution engine of the networks that are measured.
        samples: inferences of each network; None for as many as the reproduction usually makes.
        weights: by supernet, the file of the user's weights.
    """

    published_only: bool = False
    engine: str = "onnxruntime"
    samples: int | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A table.

    Attributes:
        title: title of the table.
        heads: head of each column.
        rows: cells as text, as many in a row as there are heads.
        notes: sentences below the table.
        printed: True if it goes to the terminal too, False if to the page alone.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    printed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A drawing: its title, the facts that a reader needs beside it, and an SVG element."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Results beside those that they are compared with.

    Attributes:
        title: title of the page.
        lead: a sentence or two on how the results were made.
        warnings: reasons to doubt the figures, such as a disturbed host.
        sheets: tables in the order of reading.
        figures: drawings.
        rows: the results, all with the same keys in the same order; None is unknown.
        data: the JSON object.
    """

    title: str
    lead: str
    warnings: Sequence[str]
    sheets: Sequence[Sheet]
    figures: Sequence[Figure]
    rows: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]

    def to_json(self) -> str:
        """Return the JSON object as text; a figure that is unknown is null."""
        return json.dumps(self.data, indent=2, allow_nan=False)

    def tables(self) -> list[Table | Text]:
        """Return the tables and warnings for the terminal."""
        shown: list[Table | Text] = [_table(sheet) for sheet in self.sheets if sheet.printed]
        return [*shown, *(Text(warning, style="bold red") for warning in self.warnings)]

    def write(self, directory: Path) -> None:
        """Write results.csv, results.json and report.html into a directory, made if missing."""
        directory.mkdir(parents=True, exist_ok=True)
        with whole(directory / RESULTS_CSV) as fresh, fresh.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)
        for name, text in ((RESULTS_JSON, self.to_json() + "\n"), (REPORT_FILE, self.to_html())):
            with whole(directory / name) as fresh:
                fresh.write_text(text, encoding="utf-8")

    def to_html(self) -> str:
        """Return the whole page."""
        body = [
            f"<header><h1>{escape(self.title)}</h1><p>{escape(self.lead)}</p></header>",
            *(f'<p class="void">{escape(warning)}</p>' for warning in self.warnings),
            *(
                page.section(figure.title, page.plot(figure.svg), f"<p>{escape(figure.caption)}</p>")
                for figure in self.figures
            ),
            *(
                page.section(
                    sheet.title,
                    page.table(sheet.heads, [[escape(cell) for cell in row] for row in sheet.rows]),
                    *(f"<p>{escape(note)}</p>" for note in sheet.notes),
                )
                for sheet in self.sheets
            ),
        ]
        return page.page(self.title, body)


def _table(sheet: Sheet) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(sheet.title, style="bold"),
        title_justify="left",
        title_style="",
        show_edge=False,
        pad_edge=False,
        caption=Text("\n").join([Text(), *map(Text, sheet.notes), Text()]),
        caption_justify="left",
        caption_style="",
    )
    for head in sheet.heads:
        table.add_column(head, overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table
