"""A parser that takes a page of HTML apart for tests."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page whose tags are balanced, with its tables, its headings and the links that a browser would fetch."""

    _VOID = ("meta", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.headings: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self._VOID:
            self.stack.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self._VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.stack or "th" in self.stack:
            self.tables[-1][-1][-1] += data + ("" if self.stack[-1] == "td" else " ")
        elif self.stack and self.stack[-1] == "h2":
            self.headings[-1] += data

    def table(self, head: str) -> list[list[str]]:
        """Return the rows of the table with a column of that name, cells by place."""
        return next(rows[1:] for rows in self.tables if any(head in cell for cell in rows[0]))
