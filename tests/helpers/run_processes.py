"""Processes that a run has started, found by the tag in their environment, and the ports on which they listen."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port on which a process listens.

    Attributes:
        process: name of the process.
        address: the address that it is bound to; an IPv4 address in IPv6 is given as IPv4.
        port: its number.
    """

    process: str
    address: IPv4Address | IPv6Address
    port: int


def tagged(pid: int) -> list[str]:
    """Return the names of the processes of that driver's runs."""
    return [process.name() for process in _tagged(pid)]


def listening(pid: int) -> list[Port]:
    """Return the TCP ports of a driver and of the processes of its runs, as the kernel lists them."""
    ports = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            # A line is `0: 0100007F:1F90 00000000:0000 0A ... INODE ...` (proc_net_tcp.rst); 0A is LISTEN.
            words = line.split()
            if words[3] == "0A":
                address, port = words[1].split(":")
                ports[words[9]] = (_address(address), int(port, 16))
    found = []
    for process in (psutil.Process(pid), *_tagged(pid)):
        with suppress(OSError, psutil.Error):
            for file in Path(f"/proc/{process.pid}/fd").iterdir():
                with suppress(OSError):
                    inode = os.readlink(file).removeprefix("socket:[").rstrip("]")
                    if inode in ports:
                        found.append(Port(process.name(), *ports[inode]))
    return found


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return an address that the kernel prints as hexadecimal words of 32 bits, each in the machine's order."""
    words = [bytes.fromhex(text[place : place + 8])[::-1] for place in range(0, len(text), 8)]
    if len(words) == 1:
        return IPv4Address(words[0])
    address = IPv6Address(b"".join(words))
    return address.ipv4_mapped or address


def _tagged(pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("GEARSHIFT_RUN", "").startswith(f"{pid}-"):
                found.append(process)
    return found
