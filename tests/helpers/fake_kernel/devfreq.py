"""devfreq: clocks of GPUs and other devices, in Hz. Limits are requests in kHz that are read back unrounded.

Sources: drivers/devfreq/{devfreq,governor_*}.c of Linux 6.1; before 5.5 limits are two fields, and a minimum above the
maximum is refused.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from .kernel import FakeKernel
from .texts import kernel_error, scan_unsigned, scan_word, signed_32, strict_unsigned

CLASS = "sys/class/devfreq"
_NO_MAXIMUM_KHZ = 2**31 - 1
_UP, _DOWN = 90, 5
"""Thresholds of simple_ondemand in percent: above the first the highest clock, within the second below it no change."""


class Devfreq:
    """A device with a clock.

    Attributes:
        base: its devfreq directory.
        device: the directory of the device.
        governor: its governor.
        governors: those that are loaded.
        cur_hz: its clock.
        load: share of the time in which it is busy. Governors with a name of their own follow it as simple_ondemand.
        polling_ms: how often its governor looks; 0 for never.
        caps_khz: maxima that others ask for, by their names.
        unknown_governor: error for a governor that is not there: ENOENT, or EINVAL where modprobe is.
        immutable: True if its governor cannot be changed.
    """

    def __init__(
        self,
        kernel: FakeKernel,
        device: str,
        table_hz: tuple[int, ...],
        governors: tuple[str, ...],
        governor: str,
        *,
        node: str | None = None,
        polling_ms: int = 50,
        immutable: bool = False,
        name: str | None = None,
    ) -> None:
        """Add a device.

        Args:
            kernel: the kernel that it belongs to.
            device: its directory, `sys/devices/17000000.gv11b`.
            table_hz: its clocks, rising.
            governors: those that are loaded.
            governor: the one that it begins with.
            node: its name in the device tree; None if it is not there.
            polling_ms: how often its governor looks.
            immutable: True if its governor cannot be changed.
            name: its name; by default that of its directory.
        """
        self.device = device
        name = name or device.rsplit("/", 1)[-1]
        self.base = f"{device}/devfreq/{name}"
        self.table_hz = table_hz
        self.governors = governors
        self.governor = governor
        self.cur_hz = table_hz[0]
        self.load = 0.0
        self.polling_ms = polling_ms
        self.caps_khz: dict[str, int] = {}
        self.unknown_governor = errno.ENOENT if kernel.release >= (5, 5) else errno.ENODEV
        self.immutable = immutable
        self._kernel = kernel
        # Requests of ours: kHz from 5.5 on, else Hz; 0 stands for no limit.
        self._least, self._most = 0, 0
        self._asked_hz: int | None = None
        self._polled_s = kernel.now_s()
        self._timer = "deferrable"
        self._add_files(name, node)
        self._start()
        kernel.at_ticks(self.update)

    # ------------------------------------------------------------ what tests turn

    def cap(self, name: str, khz: int | None) -> None:
        """Cap the clock on somebody's behalf; None lifts that cap."""
        with self._kernel.lock:
            self.caps_khz.pop(name, None)
            if khz is not None:
                self.caps_khz[name] = khz
            self.update()

    @property
    def limits_hz(self) -> tuple[int, int]:
        """The least and greatest clock now, as they are read (devfreq_get_freq_range)."""
        bottom, top = self.table_hz[0], self.table_hz[-1]
        if self._kernel.release < (5, 5):
            most = min([self._most or top, *(khz * 1000 for khz in self.caps_khz.values())])
            return self._least or bottom, most
        ours_khz = _NO_MAXIMUM_KHZ if self._most == 0 else self._most
        most_khz = min([ours_khz, *self.caps_khz.values()])
        # A request is signed and the product is not, so that a negative one is a very high clock.
        low = max(bottom, self._least * 1000 % 2**64)
        high = top if most_khz == _NO_MAXIMUM_KHZ else min(top, most_khz * 1000 % 2**64)
        return min(low, high), high

    def update(self) -> None:
        """Have the governor look (update_devfreq)."""
        self._polled_s = self._kernel.now_s()
        low, high = self.limits_hz
        wanted = self._wanted_hz()
        # Beyond the maximum the next clock below it is taken, else the next one above: even above the maximum.
        self.cur_hz = self._floor(high) if max(wanted, low) > high else self._ceil(max(wanted, low))

    # ------------------------------------------------------------ the governor

    def _wanted_hz(self) -> int:
        top = self.table_hz[-1]
        if self.governor == "performance":
            return 2**64 - 1
        if self.governor == "powersave":
            return 0
        if self.governor == "userspace":
            return self.cur_hz if self._asked_hz is None else self._asked_hz
        percent = self.load * 100
        if percent > _UP:
            return 2**64 - 1
        if percent > _UP - _DOWN:
            return self.cur_hz
        return min(top, int(self.load * self.cur_hz * 100 / (_UP - _DOWN // 2)))

    def _ceil(self, hz: int) -> int:
        return next((entry for entry in self.table_hz if entry >= hz), self.table_hz[-1])

    def _floor(self, hz: int) -> int:
        return next((entry for entry in reversed(self.table_hz) if entry <= hz), self.table_hz[0])

    @property
    def _polls(self) -> bool:
        return self.governor not in ("performance", "powersave", "userspace")

    def _start(self) -> None:
        if self.governor == "userspace":
            self._asked_hz = None
            self._kernel.file(f"{self.base}/userspace/set_freq", self._show_asked, self._store_asked)
        elif not self._polls:
            self.update()
        if self._polls or self._kernel.release < (5, 11):
            self._add_polling_files()

    def _stop(self) -> None:
        for name in ("userspace", "polling_interval", "timer"):
            if self._kernel.exists(f"{self.base}/{name}"):
                self._kernel.remove(f"{self.base}/{name}")

    def _poll(self) -> None:
        due_s = self._polled_s + self.polling_ms / 1000
        if self._polls and self.polling_ms and self._kernel.now_s() >= due_s:
            self.update()

    # ------------------------------------------------------------ files

    def _add_files(self, name: str, node: str | None) -> None:
        kernel, base = self._kernel, self.base
        kernel.link(f"{CLASS}/{name}", base)
        kernel.link(f"{base}/device", self.device)
        if node is not None:
            tree_node = f"sys/firmware/devicetree/base/{name}"
            kernel.file(f"{tree_node}/name", lambda: node.encode() + b"\0")
            kernel.link(f"{self.device}/of_node", tree_node)
        kernel.text(f"{base}/name", name)
        kernel.file(f"{base}/available_frequencies", lambda: " ".join(map(str, self.table_hz)))
        kernel.file(f"{base}/governor", lambda: self.governor, self._store_governor)
        kernel.file(
            f"{base}/available_governors", lambda: self.governor if self.immutable else " ".join(self.governors)
        )
        kernel.file(f"{base}/cur_freq", self._polled(lambda: str(self.cur_hz)))
        kernel.file(f"{base}/target_freq", self._polled(lambda: str(self.cur_hz)))
        kernel.file(f"{base}/min_freq", lambda: str(self.limits_hz[0]), self._store_min)
        kernel.file(f"{base}/max_freq", lambda: str(self.limits_hz[1]), self._store_max)

    def _polled(self, show: Callable[[], str]) -> Callable[[], str]:
        def show_it() -> str:
            self._poll()
            return show()

        return show_it

    def _add_polling_files(self) -> None:
        def store_interval(content: bytes) -> None:
            self.polling_ms = scan_unsigned(content, 32)

        self._kernel.file(f"{self.base}/polling_interval", lambda: str(self.polling_ms), store_interval)
        if self._kernel.release >= (5, 8):
            self._kernel.file(f"{self.base}/timer", lambda: self._timer, self._store_timer)

    def _store_timer(self, content: bytes) -> None:
        name = scan_word(content, 16)
        if name not in ("deferrable", "delayed"):
            raise kernel_error(errno.EINVAL)
        self._timer = name

    def _store_governor(self, content: bytes) -> None:
        name = scan_word(content, 16)
        if name not in {*self.governors, self.governor}:
            raise kernel_error(self.unknown_governor)
        if name == self.governor:
            return
        if self.immutable:
            raise kernel_error(errno.EINVAL)
        self._stop()
        self.governor = name
        self._start()

    def _store_min(self, content: bytes) -> None:
        value = scan_unsigned(content, 64)
        if self._kernel.release < (5, 5):
            if value and self._most and value > self._most:
                raise kernel_error(errno.EINVAL)
            self._least = value
        else:
            self._least = signed_32(value // 1000)
        self.update()

    def _store_max(self, content: bytes) -> None:
        value = scan_unsigned(content, 64)
        if self._kernel.release < (5, 5):
            if value and self._least and value < self._least:
                raise kernel_error(errno.EINVAL)
            self._most = value
        else:
            # Rounded up, so that the limit never shrinks.
            self._most = signed_32(-(-value // 1000))
        self.update()

    def _show_asked(self) -> str:
        return "undefined" if self._asked_hz is None else str(self._asked_hz)

    def _store_asked(self, content: bytes) -> None:
        self._asked_hz = strict_unsigned(content, 64)
        self.update()
