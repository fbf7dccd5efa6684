"""The table of policies, and policies by name: `NETWORKS[+CLOCKS]`.

The first half of a name says who chooses sub-networks and cores, the second who chooses clocks. To add a policy, write
its class in a file of its own and give it one row in `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, assert_never

from scheduler.errors import did_you_mean, shown
from scheduler.governors import GOVERNORS, PLACES
from scheduler.policies.alert import Alert
from scheduler.policies.compaction import place_compactly
from scheduler.policies.energy_aware import place_by_energy
from scheduler.policies.fixed import Floor, Largest, Race
from scheduler.policies.governed import UnderGovernor
from scheduler.policies.ladder import Ladder
from scheduler.policies.placing import Placement, place
from scheduler.policies.protocol import Policy, PolicyError
from scheduler.policies.solving import Joint, TwoStage


@dataclass(frozen=True, slots=True)
class PlacesItself:
    """A policy that chooses units and cores as well as sub-networks."""

    make: Callable[[], Policy]


@dataclass(frozen=True, slots=True)
class KernelPlaces:
    """A policy that chooses sub-networks, and leaves units and cores to a model of the kernel."""

    make: Callable[[Placement], Policy]


@dataclass(frozen=True, slots=True)
class InHindsight:
    """A policy that must know how a run will go; `workloads.hindsight` makes it for a simulation."""


Row: TypeAlias = PlacesItself | KernelPlaces | InHindsight

POLICIES: Mapping[str, Row] = {
    "joint": PlacesItself(Joint),
    "steady": PlacesItself(partial(Joint, paces=False)),
    "largest": KernelPlaces(Largest),
    "floor": KernelPlaces(Floor),
    "best": InHindsight(),
    "ladder": KernelPlaces(Ladder),
    "two-stage": PlacesItself(TwoStage),
    "race": KernelPlaces(Race),
    "alert": PlacesItself(Alert),
    "oracle": InHindsight(),
}
"""By the first half of its name, each policy; `every_epoch` of the class says when it is asked."""

NETWORKS = tuple(POLICIES)
"""All first halves of names."""

HINDSIGHT = tuple(name for name, row in POLICIES.items() if isinstance(row, InHindsight))
"""The policies that must know how a run will go."""

_PLACEMENTS: Mapping[str, Placement] = {"spread": place, "energy": place_by_energy, "compact": place_compactly}
"""By what `PLACES` says of the governor, who places applications."""

_KNOWN = (
    f"give one of {', '.join(NETWORKS)}, alone or with +GOVERNOR, or a GOVERNOR: {', '.join(GOVERNORS)}; or your own "
    "as FILE.py:Class."
)


def make_policy(name: str) -> Policy:
    """Make the policy of that name, fresh: it has decided nothing yet.

    `joint` chooses everything itself; `floor+schedutil` is `Floor` with clocks left to schedutil; `schedutil` alone
    stands for `largest+schedutil`.

    Args:
        name: `NETWORKS`, `NETWORKS+GOVERNOR` or `GOVERNOR`.

    Raises:
        PolicyError: the name is unknown, or its policy must know how the run will go.
    """
    networks, plus, governor = name.partition("+")
    if not plus and networks in GOVERNORS:
        return make_policy(f"largest+{networks}")
    if networks not in POLICIES:
        names = NETWORKS if plus else [*NETWORKS, *GOVERNORS]
        raise PolicyError(
            f"policy {shown(name)}: {shown(networks)} is unknown; {_KNOWN}{did_you_mean(networks, names)}"
        )
    match POLICIES[networks]:
        case PlacesItself(make=make_alone):
            policy = make_alone()
        case KernelPlaces(make=make_placed):
            policy = make_placed(_PLACEMENTS[PLACES.get(governor, "spread")])
        case InHindsight():
            raise PolicyError(
                f"policy {shown(name)}: {shown(networks)} must know how a run will go, which a simulation can tell; "
                "use `--backend sim` or `gearshift bench`."
            )
        case row:
            assert_never(row)
    return under_governor(policy, governor, name=networks) if plus else policy


def under_governor(policy: Policy, governor: str, *, name: str) -> Policy:
    """Return a policy with its gears, and the clocks left to a governor.

    Args:
        policy: chooses gears.
        governor: the governor's name.
        name: the name of that policy, for messages.

    Raises:
        PolicyError: no governor has that name.
    """
    if governor not in GOVERNORS:
        hint = did_you_mean(governor, GOVERNORS)
        raise PolicyError(f"policy {name!r}: governor {shown(governor)} is unknown; {_KNOWN}{hint}")
    return UnderGovernor(policy, governor)
