"""Draw `car-park.svg`, README's picture of a run, from a simulation of the car park: `python docs/car_park_svg.py`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from gearshift import run
from workloads.mix.loader import load_mix
from workloads.report.plots import plot_app
from workloads.report.svg import standalone
from workloads.results.run_dir import read_run

HERE = Path(__file__).parent


def main() -> None:
    """Simulate the car park under `joint` and write the plot of its entrance."""
    with TemporaryDirectory() as directory:
        run(load_mix(HERE.parent / "examples" / "car_park.py"), board="two-core-host", backend="sim", out=directory)
        picture = plot_app(read_run(directory), "entrance")
    (HERE / "car-park.svg").write_text(standalone(picture), encoding="utf-8")


if __name__ == "__main__":
    main()
