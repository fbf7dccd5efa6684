"""Names and least versions stand in pyproject.toml, exact versions and hashes in two lock files: all three agree."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from helpers.lock_file import DEV_LOCK, LOCK, ROOT, normal, read_lock

SMALL, DEV = (read_lock(lock.read_text()) for lock in (LOCK, DEV_LOCK))
LOCKED = SMALL | DEV
DESCRIBED = tomllib.loads((ROOT / "pyproject.toml").read_text())
SERVES = DESCRIBED["project"]["dependencies"]
ASKED = [
    *DESCRIBED["build-system"]["requires"],
    *SERVES,
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


@pytest.mark.parametrize("asked", SERVES)
def test_what_serves_is_in_the_small_lock_file(asked: str) -> None:
    assert normal(Requirement(asked).name) in SMALL


def test_what_is_in_both_lock_files_is_needed_on_more_machines_by_the_rest() -> None:
    for name in SMALL.keys() & DEV.keys():
        assert SMALL[name].version == DEV[name].version
        assert SMALL[name].hashes == DEV[name].hashes
        assert ";" in SMALL[name].text


def test_what_serves_needs_none_of_the_large_packages() -> None:
    """They took 6 GB: torch and what CUDA needs, engines and tables of which a run can do without."""
    large = {"torch", "triton", "openvino", "polars", "scipy", "pandas", "onnxscript", "ortools", "sympy"}
    assert large <= DEV.keys()
    assert not [name for name in SMALL if name in large or name.startswith(("nvidia-", "cuda-", "font-"))]


def test_every_package_has_a_version_and_hashes_of_its_files() -> None:
    assert len(LOCKED) > 90
    for name, locked in LOCKED.items():
        assert locked.version, name
        assert locked.hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in locked.hashes), name


def test_no_address_is_in_the_lock_file() -> None:
    """The machine that wrote it may have had packages from elsewhere, which must not bind others."""
    for lock in (LOCK, DEV_LOCK):
        assert re.findall(r"://|^\s*--(?!hash=)", lock.read_text(), re.MULTILINE) == []


def test_each_way_to_install_asks_for_hashes() -> None:
    """One package without a hash would be fetched unseen: build tools, above all."""
    rules = (ROOT / "Makefile").read_text().partition("$(SMALL): pyproject.toml")[2].partition("clean:")[0]
    installs = [line.strip() for line in rules.splitlines() if "$(INSTALL)" in line or "pip install" in line]
    fetching = [line for line in installs if "--requirement" in line]
    assert len(fetching) == 3
    assert all(line.startswith("$(INSTALL) ") for line in fetching)
    (ours,) = [line for line in installs if line not in fetching]
    assert "--no-deps --no-build-isolation" in ours
