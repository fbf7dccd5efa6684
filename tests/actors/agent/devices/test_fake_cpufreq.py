"""The fake kernel's cpufreq answers as real kernels did: limits, governors, caps, and what a policy forgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.fake_kernel.answers import answer, turn

CPU = "sys/devices/system/cpu"
BIG = f"{CPU}/cpufreq/policy0"


class Policy:
    """A policy's files by their short names."""

    def __init__(self, kernel: FakeKernel, number: int = 0) -> None:
        self.kernel = kernel
        self.tree = FakeTree(kernel)
        self.base = f"{CPU}/cpufreq/policy{number}"

    def says(self, *names: str) -> str:
        return " ".join(answer(self.tree, f"{self.base}/{name}") for name in names)

    def put(self, name: str, value: str | int) -> str:
        return turn(self.tree, f"{self.base}/{name}", value)

    @property
    def limits(self) -> str:
        return self.says("scaling_min_freq", "scaling_max_freq")

    @property
    def clock(self) -> str:
        return self.says("scaling_cur_freq")


@pytest.fixture
def amd64() -> Policy:
    """Clocks 2000, 1600, 1200 and 800 MHz on Linux 6.1."""
    return Policy(boards.bed_amd64())


@pytest.fixture
def arm64() -> Policy:
    """Clocks 600, 1200 and 1907.2 MHz on Linux 6.1, over a clock that is always 1907.2."""
    return Policy(boards.bed_arm64())


@pytest.fixture
def old() -> Policy:
    """A Xavier NX with Linux 4.9."""
    return Policy(boards.xavier_nx_l4t32())


def test_tables_are_listed_in_the_drivers_order(amd64: Policy, arm64: Policy) -> None:
    assert amd64.says("scaling_available_frequencies") == "2000000 1600000 1200000 800000"
    assert arm64.says("scaling_available_frequencies") == "600000 1200000 1907200"
    table = amd64.tree.open(f"{amd64.base}/scaling_available_frequencies").read()
    assert table == b"2000000 1600000 1200000 800000 \n", "a trailing blank"


def test_an_unknown_governor_changes_nothing(amd64: Policy) -> None:
    before = amd64.says("scaling_governor")
    assert amd64.put("scaling_governor", "nonesuch") == "EINVAL"
    assert amd64.says("scaling_governor") == before == "schedutil"


@pytest.mark.parametrize(
    ("asked", "clock"),
    [(1234567, "1600000"), (1199999, "1200000"), (1, "800000"), (99999999, "2000000"), ("1200000 and more", "1200000")],
)
def test_a_speed_is_rounded_up_and_clamped(amd64: Policy, asked: int | str, clock: str) -> None:
    amd64.put("scaling_governor", "userspace")
    assert amd64.put("scaling_setspeed", asked) == "ok"
    assert amd64.says("scaling_setspeed", "scaling_cur_freq") == f"{clock} {clock}", "it reads the clock, not the ask"


def test_only_userspace_has_a_speed(amd64: Policy) -> None:
    assert amd64.says("scaling_setspeed") == "<unsupported>"
    assert amd64.put("scaling_setspeed", 1200000) == "EINVAL"
    amd64.put("scaling_governor", "userspace")
    assert amd64.put("scaling_setspeed", "abc") == "EINVAL"


def test_a_minimum_above_the_maximum_is_latent(amd64: Policy) -> None:
    assert amd64.put("scaling_max_freq", 1200000) == "ok"
    assert amd64.put("scaling_min_freq", 1600000) == "ok"
    assert amd64.limits == "1200000 1200000", "max wins"
    amd64.put("scaling_max_freq", 2000000)
    assert amd64.limits == "1600000 2000000", "the request comes to light"


@pytest.mark.parametrize(
    ("asked", "reads"), [(1300000, "1200000"), (0, "800000"), (100, "800000"), (99999999, "2000000")]
)
def test_a_maximum_is_resolved_to_the_table(amd64: Policy, asked: int, reads: str) -> None:
    assert amd64.put("scaling_max_freq", asked) == "ok"
    assert amd64.says("scaling_max_freq") == reads


@pytest.mark.parametrize("text", ["-1", "x", "\n"])
def test_a_limit_is_a_number(amd64: Policy, old: Policy, text: str) -> None:
    for policy in (amd64, old):
        before = policy.limits
        assert policy.put("scaling_max_freq", text) == "EINVAL"
        assert policy.limits == before


def test_an_empty_write_looks_like_a_success(amd64: Policy) -> None:
    before = amd64.limits
    assert amd64.put("scaling_max_freq", "") == "ok"
    assert amd64.limits == before


def test_before_5_4_a_minimum_above_the_maximum_is_refused(old: Policy) -> None:
    assert old.limits == "1190400 1420800"
    assert old.put("scaling_min_freq", 1497600) == "EINVAL"
    assert old.put("scaling_max_freq", 1113600) == "EINVAL"
    assert old.limits == "1190400 1420800"
    assert old.put("scaling_max_freq", 1907200) == "ok"
    assert old.put("scaling_min_freq", 1497600) == "ok"
    assert old.limits == "1497600 1907200"


def test_before_5_16_limits_are_not_rounded_and_a_speed_may_pass_them() -> None:
    policy = Policy(boards.xavier_nx_l4t35())
    policy.put("scaling_max_freq", 1300000)
    assert policy.says("scaling_max_freq") == "1300000"
    policy.put("scaling_governor", "userspace")
    policy.put("scaling_setspeed", 1907200)
    assert policy.clock == "1344000"
    policy.put("scaling_governor", "performance")
    assert policy.clock == "1267200"


@pytest.mark.parametrize("board", ["bed-amd64", "bed-arm64", "xavier-nx-l4t32", "xavier-nx-l4t35", "odroid-xu3"])
def test_a_cap_that_is_saved_and_written_back_stays_for_ever(board: str) -> None:
    policy = Policy(boards.ALL[board]())
    before = policy.says("scaling_max_freq")
    policy.kernel.policy(0).cap("other", 1_200_000)
    saved = policy.says("scaling_max_freq")
    assert saved != before
    policy.put("scaling_max_freq", saved)
    policy.kernel.policy(0).cap("other", None)
    assert policy.says("scaling_max_freq") == saved


@pytest.mark.parametrize("board", ["bed-arm64", "xavier-nx-l4t32", "odroid-xu3"])
def test_a_cooling_device_takes_the_highest_clocks(board: str) -> None:
    policy = Policy(boards.ALL[board]())
    *_, second, first = sorted(policy.kernel.policy(0).limits.table)
    policy.put("scaling_max_freq", first)
    state = "sys/class/thermal/cooling_device0/cur_state"
    assert turn(policy.tree, state, 1) == "ok"
    assert policy.says("scaling_max_freq") == str(second)
    most = int(answer(policy.tree, "sys/class/thermal/cooling_device0/max_state"))
    assert turn(policy.tree, state, most + 1) == "EINVAL"
    assert turn(policy.tree, state, 0) == "ok"
    assert policy.says("scaling_max_freq") == str(first)


def test_lifting_a_cap_restores_the_speed_that_was_asked_for(amd64: Policy) -> None:
    amd64.put("scaling_governor", "userspace")
    amd64.put("scaling_setspeed", 1600000)
    assert turn(amd64.tree, "sys/module/gsboard/parameters/cap_khz", 1200000) == "ok"
    assert amd64.clock == "1200000"
    turn(amd64.tree, "sys/module/gsboard/parameters/cap_khz", 0)
    assert amd64.clock == "1600000"


def test_a_switch_of_the_governor_keeps_the_limits_and_the_clock(amd64: Policy) -> None:
    amd64.put("scaling_max_freq", 1600000)
    amd64.put("scaling_governor", "performance")
    amd64.put("scaling_governor", "userspace")
    assert amd64.limits == "800000 1600000"
    assert amd64.clock == "1600000"
    amd64.put("scaling_governor", "powersave")
    assert amd64.clock == "800000"


def test_tunables_are_lost_when_the_last_policy_leaves(amd64: Policy) -> None:
    tunable = f"{CPU}/cpufreq/schedutil/rate_limit_us"
    other = Policy(amd64.kernel, 2)
    assert turn(amd64.tree, tunable, 123) == "ok"
    amd64.put("scaling_governor", "userspace")
    assert answer(amd64.tree, tunable) == "123", "another policy still uses it"
    other.put("scaling_governor", "userspace")
    assert not amd64.tree.exists(f"{CPU}/cpufreq/schedutil")
    amd64.put("scaling_governor", "schedutil")
    assert answer(amd64.tree, tunable) == "10000"


def test_the_belief_can_be_wrong(arm64: Policy) -> None:
    arm64.put("scaling_governor", "userspace")
    arm64.put("scaling_setspeed", 600000)
    assert arm64.says("scaling_cur_freq", "cpuinfo_cur_freq") == "600000 1907200"
    assert arm64.clock == "600000", "the belief stays"
    assert arm64.kernel.policy(0).true_khz == 1907200


def test_who_may_open_what(amd64: Policy, arm64: Policy) -> None:
    assert amd64.says("cpuinfo_cur_freq") == "ENOENT", "this driver cannot read the clock"
    assert amd64.put("cpuinfo_max_freq", 1) == "EACCES", "not even root"
    arm64.kernel.root = False
    assert arm64.says("cpuinfo_cur_freq") == "EACCES"
    assert arm64.says("scaling_cur_freq") != "EACCES"
    assert arm64.put("scaling_max_freq", 1200000) == "EACCES"
    assert not arm64.tree.may(f"{BIG}/scaling_max_freq", write=True)
    arm64.kernel.chmod(f"{BIG}/scaling_max_freq", 0o664)
    assert arm64.put("scaling_max_freq", 1200000) == "ok", "a group may be given a file"


def test_a_read_only_sys_refuses_root(amd64: Policy) -> None:
    amd64.kernel.read_only = True
    assert amd64.put("scaling_max_freq", 1200000) == "EROFS"
    assert not amd64.tree.may(f"{BIG}/scaling_max_freq", write=True)
    assert amd64.tree.may(f"{BIG}/scaling_max_freq")


def test_a_late_worker_shows_the_old_limits_until_it_ran(amd64: Policy) -> None:
    amd64.kernel.cpufreq.slow = True
    amd64.put("scaling_max_freq", 1200000)
    assert amd64.says("scaling_max_freq") == "2000000"
    amd64.kernel.tick()
    assert amd64.says("scaling_max_freq") == "1200000"


KHZ = st.one_of(st.integers(0, 2_600_000), st.sampled_from([800_000, 1_200_000, 1_420_800, 1_600_000, 2_000_000]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["scaling_min_freq", "scaling_max_freq", "scaling_setspeed"]), KHZ),
        st.tuples(st.just("scaling_governor"), st.sampled_from(["userspace", "performance", "powersave", "schedutil"])),
        st.tuples(st.just("cap"), st.none() | KHZ),
        st.tuples(st.sampled_from(["cpu1", "cpu0"]), st.booleans()),
    ),
    max_size=12,
)


@given(
    board=st.sampled_from(["bed-arm64", "bed-amd64", "odroid-xu3", "xavier-nx-l4t32", "xavier-nx-l4t35"]), steps=STEPS
)
def test_no_limit_passes_a_cap(board: str, steps: list[tuple[str, int | str | bool | None]]) -> None:
    policy = Policy(boards.ALL[board]())
    domain = policy.kernel.policy(0)
    table = sorted(domain.limits.table)
    kept = {name: policy.tree.open(f"{BIG}/{name}") for name in ("scaling_min_freq", "scaling_max_freq")}
    for name, value in steps:
        if name == "cap":
            domain.cap("other", value)  # type: ignore[arg-type]
        elif name.startswith("cpu"):
            turn(policy.tree, f"{CPU}/{name}/online", int(bool(value)))
        else:
            policy.put(name, value)  # type: ignore[arg-type]
        if not domain.here:
            assert policy.limits == "EBUSY EBUSY"
            continue
        low, high = (int(kept[name].read()) for name in kept)
        assert policy.limits == f"{low} {high}", "a kept file reads like a fresh one"
        assert low <= high
        # Beyond a cap lies at most the next entry of the table, where none is left between it and the minimum.
        cap = min(domain.limits.caps.values(), default=table[-1])
        assert high <= min((khz for khz in table if khz >= cap), default=table[-1])
        assert domain.cur_khz in table
