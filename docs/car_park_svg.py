"""Draw `car-park.svg`, README's picture of a run, from a simulation of the car park: `python docs/car_park_svg.py`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from gearshift import run
from workloads.mix.loader import load_mix
from workloads.report.plots import plot_app
from workloads.results.run_dir import read_run

HERE = Path(__file__).parent
STYLE = (
    "<style>svg { --ink: #1f2328; --muted: #656d76; --grid: #d8dee4; --late: #d1242f; background: #ffffff; }"
    "text { font-family: system-ui, sans-serif !important; }</style>"
)


def main() -> None:
    """Simulate the car park under `joint` and write the plot of its entrance."""
    with TemporaryDirectory() as directory:
        run(load_mix(HERE.parent / "examples" / "car_park.py"), board="two-core-host", backend="sim", out=directory)
        picture = plot_app(read_run(directory), "entrance")
    tag_ends = picture.index(">") + 1
    (HERE / "car-park.svg").write_text(picture[:tag_ends] + STYLE + picture[tag_ends:] + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
