"""The pieces of an HTML page that needs nothing else: no script, no network. The callers decide on its content."""

from collections.abc import Iterable, Sequence
from html import escape


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page with these elements as its body."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Return elements under a heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def plot(svg: str) -> str:
    """Return a plot that scrolls where the page is narrower."""
    return f'<div class="plot">{svg}</div>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table; heads are text, cells are HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


_CSS = """
:root { color-scheme: light dark; --ink: #1f2328; --muted: #656d76; --grid: #d8dee4; --late: #d1242f;
  --paper: #ffffff; --panel: #f6f8fa; --met: #1a7f37; --missed: #cf222e; --not-shown: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --muted: #8d96a0; --grid: #30363d; --late: #ff6b5e;
  --paper: #0d1117; --panel: #161b22; --met: #3fb950; --missed: #ff6b5e; --not-shown: #d29922; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { margin: 0; font-size: 28px; } h2 { margin: 36px 0 8px; font-size: 19px; }
h3 { margin: 20px 0 4px; font-size: 15px; }
header p { margin: 4px 0; }
.tags span { display: inline-block; margin: 4px 8px 4px 0; padding: 0 10px; border: 1px solid var(--grid);
  border-radius: 12px; color: var(--muted); font-size: 13px; }
.void { padding: 8px 12px; border-left: 4px solid var(--missed); background: var(--panel); font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0 0; padding: 0; list-style: none; }
.card { flex: 1 1 150px; padding: 10px 14px; border-radius: 8px; background: var(--panel);
  border-top: 3px solid var(--grid); color: var(--muted); font-size: 13px; }
.card b { display: block; color: var(--ink); font-size: 14px; }
.card .big { display: block; color: var(--ink); font-size: 24px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card .verdict { display: block; font-weight: 600; }
.card.met { border-color: var(--met); } .card.missed { border-color: var(--missed); }
.card.not-shown { border-color: var(--not-shown); }
span.met, .met .verdict { color: var(--met); } span.missed, .missed .verdict { color: var(--missed); }
span.not-shown, .not-shown .verdict { color: var(--not-shown); }
.scroll, .plot { overflow-x: auto; }
.plot svg { display: block; width: 100%; min-width: 680px; height: auto; }
.plot svg text { font-family: system-ui, sans-serif !important; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th { text-align: left; vertical-align: bottom; color: var(--muted); font-weight: 500; max-width: 150px; }
th, td { padding: 5px 18px 5px 0; border-bottom: 1px solid var(--grid); }
td { vertical-align: top; white-space: nowrap; } td:last-child { white-space: normal; }
td li { min-width: 300px; white-space: normal; }
td:first-child { font-weight: 600; }
td ul { margin: 0; padding: 0; list-style: none; }
small { color: var(--muted); } td > small { white-space: nowrap; } li small { display: block; margin: 0 0 3px; }
details summary { cursor: pointer; color: var(--muted); }
"""
