"""Hindsight: what the best policies could have done with a run, and what no policy could have gone below.

Words of this package:

- interval: a span of the run in which targets, limits, the power cap and the applications present stay the same.
- candidate: a gear for each application and a clock for each unit, held over one or more intervals.
- search space: all candidates for one or more intervals over which one candidate is held. `best` has one search space,
  `oracle` one for each interval.
- model: the scheduler's prediction of what a candidate costs and how late it is, without a simulation.
- score: what a simulated candidate cost in its intervals, and which requests on time it leaves missing.
- violation: weight times what the share on time lacks of the slo, summed over applications; 0 is wanted.
- share of a request: its place in the distribution of service times, from 0 (fastest) to 1; drawn from the seed.
"""

from workloads.hindsight.bound import lower_bound_j
from workloads.hindsight.policies import HINDSIGHT, best, oracle
from workloads.hindsight.scoring import COSTS

__all__ = ["COSTS", "HINDSIGHT", "best", "lower_bound_j", "oracle"]
