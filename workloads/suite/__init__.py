"""The suite: ten scenarios on which policies are compared, each a mix script in this folder that names its boards.

Each runs by itself: `gearshift run workloads/suite/NAME.py --backend sim --board BOARD`. Rates, targets and floors are
those that such an application would ask for; each script says where they come from. None was chosen after a look at
the results of a policy. `workloads.suite.generated` makes any number of further mixes.
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
"""The scenarios, in the order of reports. Each name is that of a script without its ending, and of its mix."""


def suite_mixes() -> dict[str, Path]:
    """Return the path of each scenario's script by name, for `workloads.mix.loader.load_mix`."""
    return {name: Path(__file__).with_name(f"{name}.py") for name in NAMES}
