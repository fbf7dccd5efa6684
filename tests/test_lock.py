"""Names and least versions stand in pyproject.toml, exact versions and hashes in requirements.lock: both agree."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from helpers.lock_file import LOCK, normal, read_lock

ROOT = Path(__file__).parents[1]
LOCKED = read_lock(LOCK.read_text())
DESCRIBED = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED = [
    *DESCRIBED["build-system"]["requires"],
    *DESCRIBED["project"]["dependencies"],
    *(
        one
        for name, extra in DESCRIBED["project"]["optional-dependencies"].items()
        if name != "peers"  # large, and for one benchmark alone
        for one in extra
    ),
]


@pytest.mark.parametrize("asked", sorted(set(ASKED)))
def test_what_the_project_needs_is_locked_in_a_version_that_will_do(asked: str) -> None:
    requirement = Requirement(asked)
    assert requirement.specifier.contains(LOCKED[normal(requirement.name)].version), "run: make lock"


def test_every_package_has_a_version_and_hashes_of_its_files() -> None:
    assert len(LOCKED) > 90
    for name, locked in LOCKED.items():
        assert locked.version, name
        assert locked.hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in locked.hashes), name


def test_no_address_is_in_the_lock_file() -> None:
    """The machine that wrote it may have had packages from elsewhere, which must not bind others."""
    assert re.findall(r"://|^\s*--(?!hash=)", LOCK.read_text(), re.MULTILINE) == []


def test_each_way_to_install_asks_for_hashes() -> None:
    """One package without a hash would be fetched unseen: build tools, above all."""
    rule = (ROOT / "Makefile").read_text().partition("$(STAMP): pyproject.toml")[2].partition("\n\n")[0]
    installs = [line.strip() for line in rule.splitlines() if "install" in line]
    *fetching, ours = [line for line in installs if "requirement" in line or "--editable" in line]
    assert all(line.startswith("$(INSTALL) ") for line in fetching)
    assert "--no-deps --no-build-isolation" in ours
