"""The suite: ten scenarios that policies are compared on, each a mix script in this folder that names its boards.

Any of them runs by itself: `gearshift run workloads/suite/NAME.py --backend sim --board BOARD`. Rates, targets and
floors are what an application of the kind would ask for; each script says where they come from. None was chosen by
looking at what a policy makes of it. `workloads.suite.generated` makes as many more mixes as wanted.
"""

from __future__ import annotations

from pathlib import Path

NAMES = (
    "figure7",
    "one_model_cpu",
    "two_models",
    "vision_and_translation",
    "arrivals_and_departures",
    "tightening",
    "hot",
    "core_lost",
    "bursty",
    "ar_glasses",
)
"""The scenarios, in the order of reports; the name of a script without its ending is that of its mix."""


def suite_mixes() -> dict[str, Path]:
    """The script of each scenario, for `workloads.mix.loader.load_mix`."""
    return {name: Path(__file__).with_name(f"{name}.py") for name in NAMES}
