"""The protocol between a worker and a GPU's executor: packets on a Unix socket, tensors in memory that both map.

- A connection stands for one network that the worker holds. Its first packet is the `Artifact`; the answer is a
  `Held`, with two files: the memory for input and output, one behind the other, and the record of what is under way
  (`actors.executor.underway`). From then on each `Infer` is answered by an `Inferred`.
- The end of the connection gives the network back, however it comes. So a worker that is killed leaves no network
  behind, and after the executor is killed no worker waits.
- Packets are `actors.wire` messages with its schema version and hold no pickles, so the two sides may run different
  versions of Python. A packet arrives whole or not at all (SOCK_SEQPACKET), so there are no frames to cut short.
- Tensors do not travel through the socket: that was measured to be too slow (docs/decisions.md).
"""

from __future__ import annotations

import math
import mmap
import os
import socket
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.wire import WireError, decode, encode

_PACKET_BYTES = 1 << 16
_FLOAT = np.dtype(np.float32).itemsize  # bytes

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Answer to an artifact: its network is ready, or can't be held.

    Attributes:
        output_shape: shape of the network's output.
        memory_mb: memory that the network takes in the executor, in MB.
        holder: number of the connection, from 1, by which the record of what is under way names it.
        error: why the network can't be held; None if it is held.
    """

    output_shape: tuple[int, ...] = ()
    memory_mb: float = 0.0
    holder: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Infer:
    """Order to run the network; the input is in its place.

    Attributes:
        bound_s: how long the inference may take on the wall, in seconds; infinite if it may last.
    """

    bound_s: float = math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """Answer to `Infer`: the output is in its place, unless there is an error.

    Attributes:
        error: why the request failed; None if it did not.
    """

    error: str | None = None


def open_socket() -> socket.socket:
    """Return a socket of the kind that carries packets."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(connection: socket.socket, message: object, *files: int) -> None:
    """Send a message, and open files with it.

    Raises:
        OSError: if the other side is gone.
    """
    socket.send_fds(connection, [encode(message)], files)


def receive(connection: socket.socket, expected: type[_T], files_at_most: int = 0) -> tuple[_T, list[int]]:
    """Wait for a message.

    Args:
        connection: the connection.
        expected: class of the message.
        files_at_most: most files that may come with it.

    Returns:
        The message, and the files that came with it, which the caller has to close.

    Raises:
        ConnectionError: if the other side is gone.
        TimeoutError: if the socket has a timeout and no packet came in time.
        WireError: if the packet is another message, or of another version.
    """
    packet, files, flags, _ = socket.recv_fds(connection, _PACKET_BYTES, files_at_most)
    if not packet:
        raise ConnectionResetError("the other side is gone")
    try:
        if flags & socket.MSG_TRUNC:
            raise WireError(f"a packet of more than {_PACKET_BYTES} bytes")
        return decode(packet, expected), files
    except WireError:
        for file in files:
            os.close(file)
        raise


class TensorMemory:
    """An input and an output in memory that two processes map.

    Attributes:
        input: float32 array of the network's input shape.
        output: float32 array of the network's output shape.
    """

    def __init__(self, file: int, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
        """Map an open file of `size` bytes; it may be closed afterwards."""
        memory = mmap.mmap(file, self.size(input_shape, output_shape))
        between = _FLOAT * math.prod(input_shape)  # the output lies behind the input
        self.input: NDArray[np.float32] = np.ndarray(input_shape, np.float32, memory)
        self.output: NDArray[np.float32] = np.ndarray(output_shape, np.float32, memory, between)

    @staticmethod
    def size(input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return the bytes of both: 4,608 for an input of (1, 3, 16, 16) and an output of (1, 384)."""
        return _FLOAT * (math.prod(input_shape) + math.prod(output_shape))

    @staticmethod
    def create(input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Make the file, and return it open; it has no name and is gone with the last process that has it mapped."""
        file = os.memfd_create("gearshift-tensors")
        os.ftruncate(file, TensorMemory.size(input_shape, output_shape))
        return file
