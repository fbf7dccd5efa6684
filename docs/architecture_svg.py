"""Draw `architecture.svg`, the picture of `architecture.md`: `python docs/architecture_svg.py`."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import NamedTuple

OUT = Path(__file__).with_name("architecture.svg")
WIDTH, HEIGHT = 1040, 660

STYLE = """
  svg { --ink: #1f2328; --muted: #57606a; --paper: #ffffff; --box: #ffffff; --line: #8c959f;
        --asks: #eaf2fb; --decides: #fdf3e1; --does: #eaf6ee; --shows: #f3eefb; }
  @media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --muted: #9da7b3; --paper: #0d1117; --box: #161b22;
        --line: #7d8590; --asks: #12233a; --decides: #33270f; --does: #12291a; --shows: #251d3a; } }
  .paper { fill: var(--paper); } .box { fill: var(--box); stroke: var(--line); }
  text { font: 13px system-ui, sans-serif; fill: var(--ink); text-anchor: middle; }
  .head { font-weight: 600; } .small { font-size: 11.5px; fill: var(--muted); }
  .band { font-size: 12px; font-weight: 600; fill: var(--muted); text-anchor: start; }
  path { fill: none; stroke: var(--line); stroke-width: 1.6; marker-end: url(#tip); }
  path.back { stroke-dasharray: 5 4; } path.plus { stroke: none; marker-end: none; }
  marker path { fill: var(--line); stroke: none; }
"""


class Box(NamedTuple):
    """A box with a heading and lines of small text; x and y are its middle, in pixels."""

    x: float
    y: float
    heading: str
    lines: tuple[str, ...] = ()
    width: float = 168
    height: float = 62

    def svg(self) -> str:
        """Return the box as SVG elements."""
        left, top = self.x - self.width / 2, self.y - self.height / 2
        first = self.y + 5 - 8 * len(self.lines)
        parts = [f'<rect class="box" x="{left:g}" y="{top:g}" width="{self.width:g}" height="{self.height:g}" rx="7"/>']
        parts.append(f'<text class="head" x="{self.x:g}" y="{first:g}">{escape(self.heading)}</text>')
        for number, line in enumerate(self.lines, start=1):
            parts.append(f'<text class="small" x="{self.x:g}" y="{first + 16 * number:g}">{escape(line)}</text>')
        return "\n".join(parts)


MIX = Box(150, 66, "mix", ("apps, targets, events", "a Python script"))
BOARD = Box(350, 66, "board", ("units, clocks, power", "cluster.yaml"))
PROFILE = Box(550, 66, "profile", ("times of each sub-network", "measured once"))
RUN_PLAN = Box(810, 66, "run plan", ("checked before", "anything starts"))

KNOWLEDGE = Box(170, 226, "knowledge", ("rates, slowdowns,", "limits, targets"))
SNAPSHOT = Box(390, 226, "snapshot", ("applications, units,", "operating points"))
POLICY = Box(600, 226, "policy", ("solver, or a rule,", "or a user's own"))
PLAN = Box(790, 226, "plan", ("a gear for each app,", "a clock for each unit"), 150)
TRANSITION = Box(950, 226, "transition", ("next step to", "the plan"), 120)

AGENT = Box(890, 430, "board agent", ("pins threads, sets clocks,", "reads meters"), 180)
LEDGER = Box(590, 430, "ledger", ("who has which core, the clocks", "in force; shared memory"), 210)
WORKER = Box(230, 430, "worker, one for each app", ("queue → cores → engine → result", "in the gear of the plan"), 250)

RECORDS = Box(230, 592, "records", ("a line for each request",))
LOG = Box(590, 592, "run directory", ("records and epoch log: what", "was seen and decided"), 210)
SUMMARY = Box(890, 592, "summary and report", ("summary.json, report.html",), 200)

BANDS = (
    ("workloads/ asks", 14, 108, "asks", 905),
    ("scheduler/ decides: Manager.on(message, now_s) → effects", 160, 122, "decides", 300),
    ("actors/ does; supernets/ runs inside workers", 362, 122, "does", 380),
    ("workloads/ says what came of it", 538, 104, "shows", 300),
)
"""Of each: its label, top and height in pixels, colour, and where the label begins."""

BOXES = (MIX, BOARD, PROFILE, RUN_PLAN, KNOWLEDGE, SNAPSHOT, POLICY, PLAN, TRANSITION, AGENT, LEDGER, WORKER)
BOXES += (RECORDS, LOG, SUMMARY)

ARROWS = (
    ("M234 66 H258", "plus", ("+", 250, 71)),
    ("M434 66 H458", "plus", ("+", 450, 71)),
    ("M634 66 H724", "", None),
    ("M254 226 H304", "", None),
    ("M474 226 H514", "", None),
    ("M684 226 H713", "", None),
    ("M865 226 H888", "", None),
    ("M810 97 V140 H170 V193", "", ("what is declared, and events as they happen", 490, 134)),
    ("M970 257 V397", "", None),
    ("M930 257 V330 H290 V397", "", ("effects: prepare, activate, pin, set clock", 640, 322)),
    ("M170 399 V259", "back", None),
    ("M870 399 V352 H190 V259", "back", ("telemetry and acknowledgements", 640, 347)),
    ("M800 430 H697", "", ("clocks", 750, 421)),
    ("M355 430 H483", "", ("takes cores", 419, 421)),
    ("M230 461 V559", "", None),
    ("M314 592 H483", "", None),
    ("M695 592 H788", "", None),
)


def main() -> None:
    """Write the picture."""
    OUT.write_text(picture(), encoding="utf-8")


def picture() -> str:
    """Return the whole picture as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="How a mix becomes a plan, a plan a gear, and a request a line of the summary">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
    ]
    for label, top, height, colour, left in BANDS:
        parts.append(
            f'<rect x="14" y="{top}" width="{WIDTH - 28}" height="{height}" rx="10" style="fill: var(--{colour})"/>'
        )
        parts.append(f'<text class="band" x="{left}" y="{top + 17}">{escape(label)}</text>')
    for path, kind, label in ARROWS:
        parts.append(f'<path class="{kind}" d="{path}"/>')
        if label is not None:
            words, x, y = label
            parts.append(f'<text class="small" x="{x}" y="{y}">{escape(words)}</text>')
    parts += [box.svg() for box in BOXES]
    return "\n".join(parts) + "\n</svg>\n"


if __name__ == "__main__":
    main()
