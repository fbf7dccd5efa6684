"""The names of hindsight's policies against the table of policies."""

from scheduler.policies import HINDSIGHT
from workloads import hindsight


def test_hindsight_makes_the_policies_that_the_table_leaves_to_it():
    assert tuple(hindsight.HINDSIGHT) == HINDSIGHT
