"""The table of policies against the page that lists it."""

from __future__ import annotations

import re
from pathlib import Path

from scheduler.policies import HINDSIGHT, NETWORKS
from scheduler.policies.names import POLICIES, InHindsight, KernelPlaces, PlacesItself

PAGE = Path(__file__).parents[3] / "docs" / "policies.md"
ROW = re.compile(r"\| `(?P<name>[^`]+)` \|[^|]*\| (?P<places>[^|]*)\| (?P<asked>[^|]*)\|")


def said_of(row: PlacesItself | KernelPlaces | InHindsight) -> tuple[str, str]:
    """Who places and when the policy is asked, in the words of docs/policies.md."""
    if isinstance(row, InHindsight):
        return "", ""
    asked = "every epoch" if getattr(row.make, "every_epoch", False) else "on change"
    return ("itself" if isinstance(row, PlacesItself) else "kernel"), asked


def test_the_page_of_policies_lists_the_table():
    listed = {m["name"]: (m["places"].strip(), m["asked"].strip()) for m in ROW.finditer(PAGE.read_text("utf-8"))}
    assert listed == {name: said_of(row) for name, row in POLICIES.items()}


def test_all_names():
    assert tuple(POLICIES) == NETWORKS
    assert HINDSIGHT == ("best", "oracle")
