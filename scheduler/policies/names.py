"""Policies by name: `NETWORKS[+CLOCKS]`, that is who chooses sub-networks and cores, and who chooses clocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scheduler.errors import did_you_mean
from scheduler.governors import GOVERNORS, PLACING_BY_ENERGY
from scheduler.policies.alert import Alert
from scheduler.policies.energy_aware import place_by_energy
from scheduler.policies.fixed import Floor, Largest, Race
from scheduler.policies.governed import UnderGovernor
from scheduler.policies.ladder import Ladder
from scheduler.policies.placing import Placement, place
from scheduler.policies.protocol import Policy, PolicyError
from scheduler.policies.solving import Joint, TwoStage

_OWN_PLACES: Mapping[str, Callable[[], Policy]] = {"joint": Joint, "two-stage": TwoStage, "alert": Alert}
"""Those that choose units and cores themselves."""

_KERNEL_PLACES: Mapping[str, Callable[[Placement], Policy]] = {
    "largest": Largest,
    "floor": Floor,
    "ladder": Ladder,
    "race": Race,
}
"""Those that leave units and cores to the kernel."""

HINDSIGHT = ("best", "oracle")
"""Those that must know how a run will go."""

NETWORKS = ("joint", "largest", "floor", "best", "ladder", "two-stage", "race", "alert", "oracle")
"""All first halves of names."""

_KNOWN = (
    f"give one of {', '.join(NETWORKS)}, alone or with +GOVERNOR, or a GOVERNOR: {', '.join(GOVERNORS)}; or your own "
    "as FILE.py:Class."
)


def make_policy(name: str) -> Policy:
    """The policy of that name, fresh: it has decided nothing yet.

    Args:
        name: `NETWORKS`, `NETWORKS+GOVERNOR` or `GOVERNOR`.

    Raises:
        PolicyError: the name means none, or one that must know how the run will go.
    """
    networks, plus, governor = name.partition("+")
    if not plus and networks in GOVERNORS:
        return make_policy(f"largest+{networks}")
    if networks not in NETWORKS:
        names = NETWORKS if plus else [*NETWORKS, *GOVERNORS]
        raise PolicyError(f"policy {name!r}: {networks!r} is unknown; {_KNOWN}{did_you_mean(networks, names)}")
    if networks in HINDSIGHT:
        raise PolicyError(
            f"policy {name!r}: {networks!r} must know how a run will go, which a simulation can tell; use "
            "`--backend sim` or `gearshift bench`."
        )
    placing = place_by_energy if governor in PLACING_BY_ENERGY else place
    policy = _KERNEL_PLACES[networks](placing) if networks in _KERNEL_PLACES else _OWN_PLACES[networks]()
    return under_governor(policy, governor, name=name) if plus else policy


def under_governor(policy: Policy, governor: str, *, name: str) -> Policy:
    """A policy's gears under a governor.

    Args:
        policy: chooses gears.
        governor: sets clocks.
        name: of both, for messages.

    Raises:
        PolicyError: if no governor has that name.
    """
    if governor not in GOVERNORS:
        mend = did_you_mean(governor, GOVERNORS)
        raise PolicyError(f"policy {name!r}: governor {governor!r} is unknown; {_KNOWN}{mend}")
    return UnderGovernor(policy, governor)
