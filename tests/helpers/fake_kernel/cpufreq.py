"""cpufreq: clock domains with a governor and limits, that go and come with their CPUs.

Sources: drivers/cpufreq/{cpufreq,cpufreq_userspace,cpufreq_performance,cpufreq_powersave}.c of Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from .cpus import CPU
from .governors import DYNAMIC, Tunables
from .kernel import FakeKernel, Show, Store
from .limits import Limits
from .texts import cpu_words, kernel_error, scan_unsigned, scan_word

BASE = f"{CPU}/cpufreq"
_NEAR_KHZ = 1000
"""Clocks that differ by less pass for the same (cpufreq_verify_current_freq)."""


@dataclass(frozen=True)
class Driver:
    """A cpufreq driver, as far as its files show it.

    Attributes:
        name: `scaling_driver`.
        latency_ns: `cpuinfo_transition_latency`.
        gets: True if it can read the clock: then there is a file `cpuinfo_cur_freq`.
        keeps_clock: True if a policy all of whose CPUs were away comes back with the clock that it had; else it comes
            back with its highest, which its limits then lower.
        per_policy: True if each policy has its own governors' tunables.
        chooses: True if it knows only the governors `performance` and `powersave`, and chooses the clock itself within
            the limits, like intel_pstate in its active mode.
        measures: True if `scaling_cur_freq` tells a clock that was measured.
        step_khz: its clocks are multiples of this, if it has no table.
        io_is_busy: first value of ondemand's tunable of that name: True on Intel's processors.
    """

    name: str
    latency_ns: int
    gets: bool = True
    keeps_clock: bool = False
    per_policy: bool = False
    chooses: bool = False
    measures: bool = False
    step_khz: int = 1
    io_is_busy: bool = False


class Cpufreq:
    """All policies of a machine.

    Attributes:
        driver: their driver.
        governors: those that are loaded, in the order in which `scaling_available_governors` lists them.
        policies: the policies by their number.
        tunables: the governors' tunables.
        slow: True if changed limits take effect at the next tick, as when the worker that applies them is late; until
            then the old ones are read.
    """

    def __init__(self, kernel: FakeKernel, driver: Driver, governors: tuple[str, ...]) -> None:
        self.kernel = kernel
        self.driver = driver
        self.governors = governors
        self.policies: dict[int, Policy] = {}
        self.tunables = Tunables(kernel, BASE, per_policy=driver.per_policy, io_is_busy=driver.io_is_busy)
        self.slow = False
        kernel.cpufreq = self

    def add(
        self,
        cpus: tuple[int, ...],
        table_khz: tuple[int, ...],
        governor: str,
        *,
        hardware_khz: Callable[[int], int] | None = None,
        truth_khz: Callable[[int], int] | None = None,
    ) -> Policy:
        """Add a policy.

        Args:
            cpus: its CPUs.
            table_khz: its clocks, in the driver's order; of a driver that has no table, the lowest and the highest.
            governor: the governor that it begins with.
            hardware_khz: the clock that the driver reads, from the one that the kernel believes in; else they agree.
            truth_khz: the clock that the silicon has, which no file tells; else it is what the driver reads.
        """
        reads = hardware_khz or (lambda khz: khz)
        policy = Policy(self, cpus, table_khz, governor, reads, truth_khz or reads)
        self.policies[policy.number] = policy
        return policy


class Policy:
    """A clock domain.

    Attributes:
        number: the number in its directory's name.
        base: its directory.
        cpus: its CPUs, `related_cpus`.
        limits: its least and greatest clock.
        governor: the name of its governor; None while all its CPUs are offline.
        cur_khz: the clock that the kernel believes in.
        measured_khz: returns the clock that is measured, where the driver measures it.
    """

    def __init__(
        self,
        cpufreq: Cpufreq,
        cpus: tuple[int, ...],
        table_khz: tuple[int, ...],
        governor: str,
        hardware_khz: Callable[[int], int],
        truth_khz: Callable[[int], int],
    ) -> None:
        self.number = cpus[0]
        self.base = f"{BASE}/policy{self.number}"
        self.cpus = cpus
        has_table = not (cpufreq.driver.chooses or cpufreq.driver.step_khz > 1)
        table = table_khz if has_table else ()
        self.limits = Limits(cpufreq.kernel.release, table, min(table_khz), max(table_khz))
        # A little below, and off the table, as counters tell it.
        self.measured_khz: Callable[[], int] = lambda: self.true_khz - 137
        self.governor: str | None = None
        self._cpufreq = cpufreq
        self._kernel = cpufreq.kernel
        self._hardware_khz = hardware_khz
        self._truth_khz = truth_khz
        self.cur_khz = hardware_khz(max(table_khz))
        self._last_governor = governor
        # The speed that was set under `userspace`, and the clock that the load asks for under a dynamic governor.
        self._setspeed = 0
        self._wanted_khz: int | None = None
        self._late = False
        self._add_files()
        self._kernel.cpus.watch(self._cpu_changed)
        self._kernel.at_ticks(self._catch_up)
        self._switch(governor)

    # ------------------------------------------------------------ what tests turn

    @property
    def true_khz(self) -> int:
        """The clock that the silicon has."""
        return self._truth_khz(self.cur_khz)

    @property
    def wanted_khz(self) -> int | None:
        """The clock that the load asks for where something follows it; None if it stays where it is."""
        return self._wanted_khz

    @wanted_khz.setter
    def wanted_khz(self, khz: int | None) -> None:
        with self._kernel.lock:
            self._wanted_khz = khz
            if self.governor is not None:
                self._follow_limits()

    def keep_below(self, khz: int | None) -> None:
        """Have the driver keep its turbo off, so that this is the highest clock; None for not any more."""
        with self._kernel.lock:
            self.limits.ceiling = khz
            self._refresh()

    def cap(self, name: str, khz: int | None) -> None:
        """Cap the clock on somebody's behalf, as a cooling device or another driver does; None lifts that cap."""
        with self._kernel.lock:
            self.limits.caps.pop(name, None)
            if khz is not None:
                self.limits.caps[name] = khz
            self._refresh()

    @property
    def here(self) -> tuple[int, ...]:
        """Those of its CPUs that are online, `affected_cpus`."""
        return tuple(cpu for cpu in self.cpus if cpu in self._kernel.cpus.online)

    # ------------------------------------------------------------ the governor and the clock

    def _refresh(self) -> None:
        """Have the limits worked out again, and the governor follow them."""
        if self._cpufreq.slow:
            self._late = True
        elif self.governor is not None:
            self.limits.update()
            self._follow_limits()

    def _catch_up(self) -> None:
        if self._late and self.governor is not None:
            self._late = False
            self.limits.update()
            self._follow_limits()

    def _switch(self, governor: str) -> None:
        self.limits.update()
        if governor == self.governor:
            self._follow_limits()
            return
        if self.governor is not None:
            self._cpufreq.tunables.leave(self.governor, self.number)
        self.governor = governor
        self._cpufreq.tunables.use(governor, self.number, self._cpufreq.driver.latency_ns)
        self._start()

    def _start(self) -> None:
        self._compare_clock()
        self._setspeed = self.cur_khz
        self._follow_limits()

    def _follow_limits(self) -> None:
        """Have the governor answer to the limits (its function `limits`)."""
        low, high = self.limits.low, self.limits.high
        follows_load = self.governor in DYNAMIC or (self._cpufreq.driver.chooses and self.governor == "powersave")
        if self.governor == "performance":
            self._set(high, up=False)
        elif self.governor == "userspace":
            self._set(self._setspeed, up=self._setspeed <= high)
        elif follows_load and self._wanted_khz is not None:
            self._set(self._wanted_khz, up=self._wanted_khz <= high)
        elif self.governor == "powersave":
            self._set(low, up=True)
        elif not low <= self.cur_khz <= high:
            self._set(self.cur_khz, up=self.cur_khz < low)

    def _set(self, khz: int, *, up: bool) -> None:
        step_khz = self._cpufreq.driver.step_khz
        found = self.limits.entry(khz, up=up)
        self.cur_khz = -(-found // step_khz) * step_khz if up else found // step_khz * step_khz

    def _compare_clock(self) -> bool:
        """Believe what the driver reads, if it reads; return True if that was news (cpufreq_verify_current_freq)."""
        read = self._hardware_khz(self.cur_khz)
        if not self._cpufreq.driver.gets or abs(read - self.cur_khz) < _NEAR_KHZ:
            return False
        self.cur_khz = read
        return True

    # ------------------------------------------------------------ CPUs that come and go

    def _cpu_changed(self, cpu: int, on: bool) -> None:
        if cpu not in self.cpus:
            return
        if not self.here:
            assert self.governor is not None
            self._last_governor = self.governor
            self._cpufreq.tunables.leave(self.governor, self.number)
            self.governor = None
        elif self.governor is None:
            before = self.cur_khz if self._cpufreq.driver.keeps_clock else self.limits.most
            self.cur_khz = self._hardware_khz(before)
            self._switch(self._last_governor)
        else:
            # The governor is stopped and started again. So `userspace` takes the present clock for the one that was
            # asked for: the lifting of a cap does not raise it any more.
            self._start()

    # ------------------------------------------------------------ files

    def _add_files(self) -> None:
        driver = self._cpufreq.driver
        self.file("scaling_driver", lambda: driver.name)
        if self.limits.table:
            self.file("scaling_available_frequencies", lambda: "".join(f"{khz} " for khz in self.limits.table))
        blank = "" if driver.chooses else " "
        self.file("scaling_available_governors", lambda: " ".join(self._cpufreq.governors) + blank)
        self.file("scaling_governor", lambda: str(self.governor), self._store_governor)
        self.file("scaling_setspeed", self._show_setspeed, self._store_setspeed)
        self.file("scaling_min_freq", lambda: str(self.limits.low), lambda text: self._store_limit(text, minimum=True))
        self.file(
            "scaling_max_freq", lambda: str(self.limits.high), lambda text: self._store_limit(text, minimum=False)
        )
        self.file("scaling_cur_freq", lambda: str(self.measured_khz() if driver.measures else self.cur_khz))
        if driver.gets:
            self.file("cpuinfo_cur_freq", self._show_hardware, mode=0o400)
        self.file("cpuinfo_min_freq", lambda: str(self.limits.least))
        self.file("cpuinfo_max_freq", lambda: str(self.limits.most))
        self.file("cpuinfo_transition_latency", lambda: str(driver.latency_ns))
        self.file("related_cpus", lambda: cpu_words(self.cpus))
        self.file("affected_cpus", lambda: cpu_words(self.here))
        for cpu in self.cpus:
            self._kernel.link(f"{CPU}/cpu{cpu}/cpufreq", self.base)

    def file(self, name: str, show: Show, store: Store | None = None, *, mode: int | None = None) -> None:
        """Add a file to its directory, which is there, but EBUSY, while all its CPUs are offline."""

        def show_it() -> str | bytes:
            if not self.here:
                raise kernel_error(errno.EBUSY)
            return show()

        def store_it(content: bytes) -> None:
            if not self.here:
                raise kernel_error(errno.EBUSY)
            assert store is not None
            store(content)

        self._kernel.file(f"{self.base}/{name}", show_it, store_it if store else None, mode=mode)

    def _store_limit(self, content: bytes, *, minimum: bool) -> None:
        self.limits.store(content, minimum=minimum)
        if self.limits.are_requests:
            self._refresh()
        else:
            self._follow_limits()

    def _store_governor(self, content: bytes) -> None:
        name = scan_word(content, 15).lower()
        if name not in self._cpufreq.governors:
            raise kernel_error(errno.EINVAL)
        self._switch(name)

    def _show_setspeed(self) -> str:
        return str(self.cur_khz) if self.governor == "userspace" else "<unsupported>"

    def _store_setspeed(self, content: bytes) -> None:
        if self.governor != "userspace":
            raise kernel_error(errno.EINVAL)
        self._setspeed = scan_unsigned(content, 32)
        self._set(self._setspeed, up=True)

    def _show_hardware(self) -> str:
        if not self._compare_clock():
            return str(self.cur_khz)
        # A clock that is not the believed one is soon set again by the governor (handle_update).
        read = self.cur_khz
        self._refresh()
        return str(read)
