"""The colours and the style that the plots of all pages share, and the way from a figure to inline SVG.

The SVG depends on the drawing alone (no date, no random identifiers), carries its text as text, and takes its neutral
colours from the page (`workloads.report.page`), so that it can be read in light and in dark.
"""

import io
import re
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK, MUTED, GRID, LATE = "#1f2328", "#656d76", "#d8dee4", "#d1242f"

CSS_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", LATE: "var(--late)"}
"""Colours that the page decides."""

STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    # A name may hold a dollar sign.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0.0,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}

OWN_STYLE = (
    "<style>svg { --ink: #1f2328; --muted: #656d76; --grid: #d8dee4; --late: #d1242f; background: #ffffff; }"
    "text { font-family: system-ui, sans-serif !important; }</style>"
)
"""The colours of a light page, for an SVG that stands in no page."""


def standalone(svg: str) -> str:
    """Return an SVG element of `to_svg` as the text of a file, with the colours that a page would give it."""
    tag_ends = svg.index(">") + 1
    return svg[:tag_ends] + OWN_STYLE + svg[tag_ends:] + "\n"


def to_svg(figure: Figure, salt: str) -> str:
    """Return a figure as an SVG element; the same figure and salt give the same bytes.

    Args:
        figure: The figure.
        salt: Text that identifiers in the SVG are made from, different for each figure of a page.
    """
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}), warnings.catch_warnings():
        # The page's fonts, not ours, must have the letters of a user's names.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True, dpi=150)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Groups are numbered from 1 in every figure; a page's identifiers must be unique, and nothing refers to these.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'^<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg)
    svg = re.sub(r'height="[^"]*pt" |width="[^"]*pt" ', "", svg, count=2)
    for colour, variable in CSS_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
