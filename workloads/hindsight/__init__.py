"""Hindsight: what the best policies could have done with a run, and what none could have gone below."""

from workloads.hindsight.bound import lower_bound_j
from workloads.hindsight.judge import COSTS
from workloads.hindsight.policies import HINDSIGHT, best, oracle

__all__ = ["COSTS", "HINDSIGHT", "best", "lower_bound_j", "oracle"]
