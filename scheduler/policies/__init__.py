"""Policies: from a snapshot of applications and units to a plan of gears and clocks."""

from scheduler.policies.alert import Alert
from scheduler.policies.checks import appraise, check_plan, cpus_of
from scheduler.policies.compaction import place_compactly
from scheduler.policies.energy_aware import place_by_energy
from scheduler.policies.fixed import Floor, Largest, Race
from scheduler.policies.governed import UnderGovernor
from scheduler.policies.ladder import Ladder
from scheduler.policies.names import HINDSIGHT, NETWORKS, make_policy, under_governor
from scheduler.policies.placing import place
from scheduler.policies.posing import evaluate_choice, problem_of, unit_of
from scheduler.policies.protocol import Policy, PolicyError, gear_of, points_of
from scheduler.policies.scripted import Scripted
from scheduler.policies.solving import HORIZON_S, HYSTERESIS, Joint, TwoStage

__all__ = [
    "HINDSIGHT",
    "HORIZON_S",
    "HYSTERESIS",
    "NETWORKS",
    "Alert",
    "Floor",
    "Joint",
    "Ladder",
    "Largest",
    "Policy",
    "PolicyError",
    "Race",
    "Scripted",
    "TwoStage",
    "UnderGovernor",
    "appraise",
    "check_plan",
    "cpus_of",
    "evaluate_choice",
    "gear_of",
    "make_policy",
    "place",
    "place_by_energy",
    "place_compactly",
    "points_of",
    "problem_of",
    "under_governor",
    "unit_of",
]
