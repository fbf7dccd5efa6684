"""What NVIDIA's tools do to a Jetson: nvpmodel's modes and jetson_clocks. They write to the same files as anybody.

Sources: /etc/nvpmodel.conf of the boards (its format), and what the tools were seen to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from .cpus import CPU
from .kernel import FakeKernel

_CONFIGURATION = "etc/nvpmodel.conf"
_STATUS = "var/lib/nvpmodel/status"
_EMC_CAP = "sys/kernel/nvpmodel_emc_cap/emc_iso_cap"
_NO_LIMIT = -1


@dataclass(frozen=True)
class Mode:
    """A power mode.

    Attributes:
        number: its ID.
        name: its name.
        cpus: how many CPUs are online: the first ones.
        cpu_khz: least and greatest clock of the CPUs; a greatest of -1 is no limit.
        gpu_hz: least and greatest clock of the GPU; likewise.
        emc_hz: greatest clock of the memory; 0 for no limit.
    """

    number: int
    name: str
    cpus: int
    cpu_khz: tuple[int, int]
    gpu_hz: tuple[int, int]
    emc_hz: int = 0


class Jetson:
    """The tools of a Jetson. A test has them do something by `nvpmodel` and `jetson_clocks`.

    Attributes:
        mode: the mode in force.
    """

    def __init__(
        self,
        kernel: FakeKernel,
        modes: Sequence[Mode],
        mode: int,
        *,
        release: str,
        cpu_word: str,
        gpu: str,
    ) -> None:
        """Add the tools' files, and put a mode into force.

        Args:
            kernel: the kernel of the board.
            modes: all modes.
            mode: number of the mode to begin with.
            release: first words of `/etc/nv_tegra_release`.
            cpu_word: how the configuration calls a cluster: `CPU_DENVER`.
            gpu: directory of the GPU's limits, as the configuration spells it.
        """
        self._kernel = kernel
        self._modes = {one.number: one for one in modes}
        self._cpu_word = cpu_word
        self._gpu = gpu
        self._before: dict[str, bytes] = {}
        self.mode = self._modes[mode]
        kernel.text("etc/nv_tegra_release", release)
        kernel.text(_EMC_CAP, "0", mode=0o644)
        kernel.text("etc/nvpmodel/nvpmodel.conf", self._configuration(mode))
        kernel.link(_CONFIGURATION, "etc/nvpmodel/nvpmodel.conf")
        kernel.file(_STATUS, lambda: f"pmode:{self.mode.number:04d} fmode:fanNull")
        kernel.jetson = self
        self.nvpmodel(mode)

    def nvpmodel(self, mode: int) -> None:
        """Do what `nvpmodel -m` does: write each value of a mode to its file."""
        self.mode = self._modes[mode]
        files = self._files()
        # CPUs come first: what belongs to one that is offline cannot be written, and the tool only prints an error.
        for key, value in self._values(self.mode).items():
            with suppress(OSError):
                self._kernel.write(files[key], str(self._highest(files[key]) if value == _NO_LIMIT else value))

    def jetson_clocks(self, on: bool) -> None:
        """Lock all clocks at their highest, as `jetson_clocks` does, or undo that, as it does with `--restore`."""
        if on:
            for base, low, high in self._clocks():
                self._before |= {f"{base}/{name}": self._kernel.read(f"{base}/{name}") for name in (low, high)}
                top = self._kernel.read(f"{base}/{high}")
                self._kernel.write(f"{base}/{low}", top)
            return
        for path, content in self._before.items():
            self._kernel.write(path, content)
        self._before.clear()

    def _clocks(self) -> list[tuple[str, str, str]]:
        policies = [
            (policy.base, "scaling_min_freq", "scaling_max_freq")
            for policy in self._kernel.cpufreq.policies.values()
            if policy.here
        ]
        return [*policies, (self._gpu, "min_freq", "max_freq")]

    def _highest(self, path: str) -> int:
        directory = path.rpartition("/")[0]
        names = ("cpuinfo_max_freq", "available_frequencies")
        found = next(f"{directory}/{name}" for name in names if self._kernel.exists(f"{directory}/{name}"))
        return max(map(int, self._kernel.read(found).split()))

    def _files(self) -> dict[tuple[str, str], str]:
        """Return the file of each of the modes' values, by parameter and name."""
        files = {("CPU_ONLINE", f"CORE_{cpu}"): f"{CPU}/cpu{cpu}/online" for cpu in self._kernel.cpus.possible}
        for index, number in enumerate(self._kernel.cpufreq.policies):
            for which in ("max", "min"):
                path = f"{CPU}/cpu{number}/cpufreq/scaling_{which}_freq"
                files[f"{self._cpu_word}_{index}", f"{which.upper()}_FREQ"] = path
        for which in ("max", "min"):
            files["GPU", f"{which.upper()}_FREQ"] = f"{self._gpu}/{which}_freq"
        return files | {("EMC", "MAX_FREQ"): _EMC_CAP}

    def _values(self, mode: Mode) -> dict[tuple[str, str], int]:
        values = {("CPU_ONLINE", f"CORE_{cpu}"): int(cpu < mode.cpus) for cpu in self._kernel.cpus.possible}
        domains = [f"{self._cpu_word}_{index}" for index in range(len(self._kernel.cpufreq.policies))]
        for domain, (low, high) in [*((domain, mode.cpu_khz) for domain in domains), ("GPU", mode.gpu_hz)]:
            values[domain, "MIN_FREQ"] = low
            values[domain, "MAX_FREQ"] = high
        return values | {("EMC", "MAX_FREQ"): mode.emc_hz}

    def _configuration(self, default: int) -> str:
        """Return the text of the configuration."""
        files = self._files()
        lines = ["# A model of NVIDIA's file.", ""]
        for parameter in dict.fromkeys(parameter for parameter, _ in files):
            kind = "FILE" if parameter == "CPU_ONLINE" else "CLOCK"
            lines.append(f"< PARAM TYPE={kind} NAME={parameter} >")
            lines += [f"{name} /{path}" for (owner, name), path in files.items() if owner == parameter]
            lines.append("")
        for mode in self._modes.values():
            lines.append(f"< POWER_MODEL ID={mode.number} NAME={mode.name} >")
            lines += [f"{parameter} {name} {value}" for (parameter, name), value in self._values(mode).items()]
            lines.append("")
        return "\n".join([*lines, f"< PM_CONFIG DEFAULT={default} >"])
