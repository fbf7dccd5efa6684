"""CPUs of the fake kernel go and come as those of real kernels did, and take their clock domains with them."""

from __future__ import annotations

import pytest

from helpers.fake_kernel import FakeTree, boards
from helpers.fake_kernel.answers import answer, answer_kept, turn, turn_kept

CPU = "sys/devices/system/cpu"


def switch(tree: FakeTree, cpu: int, on: int) -> str:
    return turn(tree, f"{CPU}/cpu{cpu}/online", on)


def test_cpu_0_of_x86_cannot_go() -> None:
    tree = FakeTree(boards.bed_amd64())
    assert not tree.exists(f"{CPU}/cpu0/online")
    assert tree.exists(f"{CPU}/cpu1/online")


def test_any_cpu_can_go_but_the_last() -> None:
    tree = FakeTree(boards.bed_arm64())
    assert [switch(tree, cpu, 0) for cpu in (0, 2, 1, 3)] == ["ok", "ok", "ok", "EBUSY"]
    assert answer(tree, f"{CPU}/online") == "3"
    assert answer(tree, f"{CPU}/offline") == "0-2"
    assert answer(tree, f"{CPU}/possible") == answer(tree, f"{CPU}/present") == "0-3"
    assert switch(tree, 0, 1) == "ok"
    assert answer(tree, f"{CPU}/online") == "0,3"


@pytest.mark.parametrize(("text", "becomes"), [("0", "0"), ("n", "0"), ("off", "0"), ("1", "1"), ("yes", "1")])
def test_the_switch_knows_several_words(text: str, becomes: str) -> None:
    tree = FakeTree(boards.bed_arm64())
    assert turn(tree, f"{CPU}/cpu1/online", text) == "ok"
    assert answer(tree, f"{CPU}/cpu1/online") == becomes
    assert turn(tree, f"{CPU}/cpu1/online", "2") == "EINVAL"


def test_one_cpu_of_a_policy_goes_and_the_policy_stays() -> None:
    tree = FakeTree(boards.bed_amd64())
    turn(tree, f"{CPU}/cpufreq/policy0/scaling_governor", "userspace")
    turn(tree, f"{CPU}/cpufreq/policy0/scaling_setspeed", 1200000)
    assert switch(tree, 1, 0) == "ok"
    assert answer(tree, f"{CPU}/cpufreq/policy0/affected_cpus") == "0"
    assert answer(tree, f"{CPU}/cpufreq/policy0/related_cpus") == "0 1"
    assert answer(tree, f"{CPU}/cpufreq/policy0/scaling_cur_freq") == "1200000"
    assert answer(tree, f"{CPU}/cpufreq/policy0/scaling_governor") == "userspace"
    assert not tree.exists(f"{CPU}/cpu1/topology")
    assert tree.real(f"{CPU}/cpu1/cpufreq") == f"{CPU}/cpufreq/policy0"


def test_a_policy_without_cpus_is_busy_and_forgets_its_speed() -> None:
    tree = FakeTree(boards.bed_amd64())
    base = f"{CPU}/cpufreq/policy2"
    turn(tree, f"{base}/scaling_governor", "userspace")
    turn(tree, f"{base}/scaling_max_freq", 1000000)
    turn(tree, f"{base}/scaling_setspeed", 600000)
    kept = tree.open(f"{base}/scaling_setspeed", writing=True)
    clock = tree.open(f"{base}/scaling_cur_freq")
    tree.kernel.chmod(f"{base}/scaling_setspeed", 0o664)
    for cpu in (2, 3):
        switch(tree, cpu, 0)
    assert tree.exists(f"{base}/scaling_governor"), "the directory stays"
    assert answer(tree, f"{base}/scaling_governor") == answer(tree, f"{base}/related_cpus") == "EBUSY"
    assert turn_kept(kept, 600000) == turn(tree, f"{base}/scaling_governor", "userspace") == "EBUSY"
    assert answer_kept(clock) == "EBUSY"
    switch(tree, 3, 1)
    assert answer(tree, f"{base}/scaling_governor") == "userspace"
    assert answer(tree, f"{base}/scaling_max_freq") == "1000000"
    assert answer_kept(clock) == "1000000", "kept files work again; the speed is lost: it is the maximum"
    assert turn_kept(kept, 600000) == "ok"
    assert answer_kept(clock) == "600000"
    tree.kernel.root = False
    assert tree.may(f"{base}/scaling_setspeed", write=True), "permissions survive"


def test_tunables_go_with_the_last_policy_that_uses_them() -> None:
    tree = FakeTree(boards.bed_amd64())
    turn(tree, f"{CPU}/cpufreq/policy0/scaling_governor", "performance")
    turn(tree, f"{CPU}/cpufreq/schedutil/rate_limit_us", 123)
    kept = tree.open(f"{CPU}/cpufreq/schedutil/rate_limit_us")
    for on in (0, 1):
        for cpu in (2, 3):
            switch(tree, cpu, on)
    assert answer(tree, f"{CPU}/cpufreq/schedutil/rate_limit_us") == "10000"
    assert answer_kept(kept) == "ENODEV"


def test_a_cap_that_is_lifted_after_a_core_went_raises_no_clock() -> None:
    kernel = boards.bed_amd64()
    tree = FakeTree(kernel)
    turn(tree, f"{CPU}/cpufreq/policy0/scaling_governor", "userspace")
    turn(tree, f"{CPU}/cpufreq/policy0/scaling_setspeed", 2000000)
    kernel.policy(0).cap("other", 1200000)
    switch(tree, 1, 0)
    kernel.policy(0).cap("other", None)
    assert answer(tree, f"{CPU}/cpufreq/policy0/scaling_cur_freq") == "1200000"


def test_a_cap_of_a_policy_that_is_away_waits_for_it() -> None:
    kernel = boards.bed_arm64()
    tree = FakeTree(kernel)
    for cpu in (0, 1):
        switch(tree, cpu, 0)
    kernel.cooling[0].turn(2)
    switch(tree, 0, 1)
    assert answer(tree, f"{CPU}/cpufreq/policy0/scaling_max_freq") == "600000"
