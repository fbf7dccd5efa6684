"""Lays the bed out: everything that the guests boot from, in one folder, fetched or built once and kept."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from helpers.lock_file import LOCK, read_lock
from kernel import boards, firmware, images, modules
from kernel.boards import Board
from kernel.boot import MACHINES, PROGRAMS, command
from kernel.packages import Apt, install_wheels, made_once

HERE = Path(__file__).parent
REPO = HERE.parent.parent
TOOLS = ("qemu-system-x86", "qemu-system-arm", "device-tree-compiler", "acpica-tools", "make")
# numpy's wheels bring no C++ library; busybox is what the guest starts with.
ROOT = ("python3", "libstdc++6", "busybox-static")
# For what `actors.agent`, `actors.cluster` and `scheduler` import, and for their tests; below, what those need in turn.
WHEELS = (
    *("numpy", "pydantic", "pyyaml", "msgpack", "psutil", "pytest", "hypothesis"),
    *("annotated-types", "pydantic-core", "typing-extensions", "typing-inspection"),
    *("iniconfig", "packaging", "pluggy", "pygments", "sortedcontainers"),
)
GOVERNORS = ("cpufreq_userspace", "cpufreq_powersave", "cpufreq_ondemand", "cpufreq_conservative")
SHARED_FOLDERS = ("virtio_pci", "9pnet_virtio", "9p")
BUILT = ("ina3221", "ina2xx", "gsboard")
MODULES = {
    "amd64": (*SHARED_FOLDERS, *GOVERNORS, "acpi_cpufreq", "governor_simpleondemand", "i2c_dev", "i2c_stub", *BUILT),
    "arm64": (*SHARED_FOLDERS, *GOVERNORS, "cpufreq_dt"),
}
PARAMETERS = {
    "i2c_stub.ko": f"chip_addr={','.join(str(chip.address) for chip in boards.CHIPS)}",
    "gsboard.ko": f"gpu_name={boards.GPU_NAME} gpu_hz={','.join(map(str, boards.GPU_HZ))}"
    f" energy_range_uj={boards.ENERGY_RANGE_UJ} energy_uj={boards.ENERGY_FOUND_UJ}"
    f" zone_name={boards.ZONE_NAME} temp_mc={boards.ZONE_MC}",
}


class Bed:
    """The bed in one folder; its methods fetch and build what is not there yet."""

    def __init__(self, folder: Path) -> None:
        """Take an absolute path, of a folder that is there."""
        self.folder = folder

    @functools.cache  # noqa: B019 (the bed lives as long as the program)
    def _apt(self, architecture: str) -> Apt:
        return Apt(architecture, self.folder / "apt" / architecture)

    def fetch(self, board: Board) -> None:
        """Fetch the programs that this machine lacks, and a guest's kernel and Python.

        Raises:
            UnavailableError: if they can't be had.
        """
        made_once(self._tools, " ".join(TOOLS), self._fetch_tools)
        made_once(self._kernel(board), " ".join(modules.DRIVERS), lambda folder: self._fetch_kernel(board, folder))
        locked = read_lock(LOCK.read_text())
        wheels = "\n".join(locked[name].text for name in WHEELS)
        made_once(self.root(board), f"{ROOT} {wheels}", lambda folder: self._fetch_root(board, wheels, folder))

    @property
    def _tools(self) -> Path:
        return self.folder / "tools"

    def _kernel(self, board: Board) -> Path:
        return self.folder / f"kernel-{board.name}"

    def root(self, board: Board) -> Path:
        """The folder that is the root of a guest's file system."""
        return self.folder / f"root-{board.name}"

    def _fetch_tools(self, folder: Path) -> None:
        apt = self._apt("amd64")
        headers = self._headers(apt)
        # The compiler that made the kernel, and the libraries of the kernel's own build tools.
        compiler = [name for name in headers if name.startswith("linux-compiler-")]
        libraries = [needed for name in headers if name.startswith("linux-kbuild-") for needed in apt.depends(name)]
        apt.unpack_lacking([*TOOLS, *compiler, *libraries], folder)

    @staticmethod
    def _headers(apt: Apt) -> list[str]:
        """Return the package of the newest kernel's headers, and those that it depends on."""
        (headers,) = (name for name in apt.depends("linux-headers-amd64") if name.startswith("linux-headers-"))
        return [headers, *apt.depends(headers)]

    def _fetch_kernel(self, board: Board, folder: Path) -> None:
        apt = self._apt(board.name)
        (image,) = (name for name in apt.depends(f"linux-image-{board.name}") if name.startswith("linux-image-"))
        apt.unpack([image], folder)
        if board.name != "amd64":
            return
        apt.unpack([name for name in self._headers(apt) if not name.startswith("linux-compiler-")], folder)
        (source,) = apt.depends("linux-source")
        apt.unpack([source], folder / "source")
        (archive,) = (folder / "source" / "usr" / "src").glob("linux-source-*.tar.xz")
        modules.extract_drivers(archive, folder)
        shutil.rmtree(folder / "source")

    def _fetch_root(self, board: Board, wheels: str, folder: Path) -> None:
        self._apt(board.name).unpack_whole(ROOT, folder)
        install_wheels(wheels, folder, board.machine)
        # The guest has this folder read-only: what it mounts over must be there.
        for name in ("proc", "sys", "dev", "tmp", "run", "repo", "out"):
            (folder / name).mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which the fetched programs are found, before the machine's own, and find their libraries."""
        usr = self._tools / "usr"
        path = f"{usr}/bin:{usr}/sbin:{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin"
        libraries = f"{usr}/lib/x86_64-linux-gnu:{self._tools}/lib/x86_64-linux-gnu"
        return os.environ | {"PATH": path, "LD_LIBRARY_PATH": libraries}

    def build(self) -> None:
        """Build the kernel modules that Debian's amd64 kernel lacks."""
        kernel = self._kernel(boards.AMD64)
        sources = [HERE / "gsboard" / "Kbuild", HERE / "gsboard" / "gsboard.c", *sorted(kernel.glob("*.c"))]
        content = b"".join(source.read_bytes() for source in sources)
        made_once(
            self.folder / "modules",
            hashlib.sha256(self._image(boards.AMD64).name.encode() + content).hexdigest(),
            lambda folder: modules.build(sources, kernel, folder, self.environment),
        )

    def _image(self, board: Board) -> Path:
        (image,) = self._kernel(board).glob("boot/vmlinuz-*")
        return image

    def made_ready(self, board: Board, out: Path) -> list[str]:
        """Make what a guest boots from, and return the command that boots it.

        Args:
            board: the guest.
            out: a folder, which the guest writes to; its console goes there too.
        """
        kernel, root = self._kernel(board), self.root(board)
        loaded = modules.with_needed(MODULES[board.name], [kernel / "lib" / "modules", self.folder / "modules"])
        first = self.folder / f"initramfs-{board.name}"
        first.write_bytes(
            images.initramfs(root / "usr" / "bin" / "busybox", HERE / "guest" / "init.sh", loaded, PARAMETERS)
        )
        data = [self._tools / "usr" / name for name in ("share/qemu", "share/seabios", "lib/ipxe/qemu")]
        options = [word for folder in data if folder.exists() for word in ("-L", str(folder))]
        return command(
            board.name,
            program=[PROGRAMS[board.name], *options],
            kernel=self._image(board),
            initramfs=first,
            firmware=self._firmware(board),
            shares={"root": (root, False), "repo": (REPO, False), "out": (out, True)},
            console=out / "console",
        )

    def _firmware(self, board: Board) -> list[str]:
        """Compile what the guest's firmware says of its CPUs, and return QEMU's options that hand it over."""
        folder = self.folder / f"firmware-{board.name}"
        folder.mkdir(exist_ok=True)
        if board.name == "amd64":
            (folder / "ssdt.asl").write_text(firmware.ssdt(board))
            self._run("iasl", "-p", "ssdt", "ssdt.asl", folder=folder)
            return ["-acpitable", f"file={folder / 'ssdt.aml'}"]
        (folder / "board.dts").write_text(firmware.device_tree_overlay(board))
        self._run("dtc", "-@", "-O", "dtb", "-o", "board.dtbo", "board.dts", folder=folder)
        self._run(PROGRAMS[board.name], *MACHINES[board.name], "-machine", "dumpdtb=machine.dtb", folder=folder)
        self._run("fdtoverlay", "-i", "machine.dtb", "-o", "board.dtb", "board.dtbo", folder=folder)
        return ["-dtb", str(folder / "board.dtb")]

    def _run(self, *command: str, folder: Path) -> None:
        ended = subprocess.run(command, cwd=folder, env=self.environment, capture_output=True, text=True, timeout=60)
        if ended.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{ended.stdout}{ended.stderr}")
