"""Profiles that come with gearshift: measured on a named machine, or published and without an executable network."""

from __future__ import annotations

from scheduler.profile import Profile


def packaged_profile(supernet: str) -> Profile | None:
    """The profile that comes with gearshift for a supernet of that name; None where there is none."""
    return None
