"""Policies by name: those of the house, and a user's own from a file."""

from __future__ import annotations

from scheduler.policies import Policy, make_policy


def load_policy(name: str) -> Policy:
    """The policy of that name, fresh.

    Args:
        name: as for `scheduler.policies.make_policy`, or `FILE.py:Class`.

    Raises:
        PolicyError: the name means none, or the file or its class can't be used.
    """
    return make_policy(name)
