"""The sockets of a server, on uvicorn: how many connections there may be, how long each may take, and how it ends."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from scheduler.errors import InputError, shown

MOST_CONNECTIONS = 1024
"""Most open connections, or half of what this process may open. A new one beyond them takes the place of the one that
has been idle for longest."""

MOST_HEAD_BYTES = 64 * 1024
"""Most bytes of a request's first lines and headers."""

_HEAD_S = 20.0
"""Longest time from the first byte of a request, or from the connection, to the end of its headers."""

_IDLE_S = 60.0
"""Longest time that a connection stays open between two requests."""


class Address:
    """An address to listen at, such as `127.0.0.1:8000` or `[::]:8000`.

    Args:
        given: the address as the user wrote it.

    Attributes:
        host: name or number of the machine's interface.
        port: the port; 0 for any that is free.
    """

    def __init__(self, given: str) -> None:
        host, colon, port = given.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535 or not host:
            raise InputError(f"--http must be HOST:PORT, such as 127.0.0.1:8000, not {shown(given)}")
        self.host = host.removeprefix("[").removesuffix("]")
        self.port = int(port)

    @property
    def is_loopback(self) -> bool:
        """True if only processes of this machine reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names by which a server on loopback may be called; None for any other address."""
        return frozenset({"localhost", "127.0.0.1", "[::1]", self.host}) if self.is_loopback else None

    def listen(self) -> socket.socket:
        """Return a socket that listens there.

        Raises:
            InputError: if it can't be had.
        """
        try:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            return socket.create_server((self.host, self.port), family=family, backlog=MOST_CONNECTIONS)
        except (OSError, OverflowError, UnicodeError) as error:
            raise InputError(
                f"--http {self.host}:{self.port} can't be listened at ({error}); give another address"
            ) from None


class _Connection(HttpToolsProtocol):
    """One connection; those that are open are bounded, and so are the size and the time of a request's head."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head_bytes = 0
        self._in_head = True
        self._idle_since = time.monotonic()
        self._late: asyncio.TimerHandle | None = None
        self._await_head(_HEAD_S)
        if len(self.connections) > _most_connections():
            idle = [one for one in self.connections if one._is_idle()]  # type: ignore[union-attr]
            oldest = min(idle, key=lambda one: one._idle_since, default=self)  # type: ignore[union-attr]
            oldest.transport.close()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self, most_s: float) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(most_s, self._close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._head_bytes == 0:
                self._await_head(_HEAD_S)
            self._head_bytes += len(data)
        super().data_received(data)
        # Bytes of a body that came with its head are none of the head, and by then `_in_head` is False.
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def _refuse_head(self) -> None:
        said = b'{"error": "the headers of a request may have %d bytes at the most"}' % MOST_HEAD_BYTES
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)
        )
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, as the protocol answers all errors."""
        said = b'{"error": "this is no request of HTTP/1.1 that can be understood"}'
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(said), said)
        )
        self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._idle_since = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)


def _most_connections() -> int:
    return min(MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Listener:
    """A server of one ASGI application at one address.

    Args:
        app: the application.
        listening: a socket that listens.
        drain_s: longest time in which requests under way are waited for at the end, in seconds.
    """

    def __init__(self, app: ASGIApp, listening: socket.socket, drain_s: float) -> None:
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=int(_IDLE_S),
            timeout_graceful_shutdown=int(drain_s) + 1,
        )
        # What uvicorn says of its start and end is said by the command.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._listening = listening
        self._server = _Server(config)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._server.server_state.connections)

    async def serve(self) -> None:
        """Serve until `stop`."""
        await self._server.serve([self._listening])

    def stop(self) -> None:
        """Take no more connections, and end once the requests under way are answered."""
        self._server.should_exit = True

    def stop_now(self) -> None:
        """End without waiting for requests."""
        self._server.should_exit = self._server.force_exit = True


class _Server(uvicorn.Server):
    """A server whose signals are not uvicorn's affair."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def on_signals(once: Callable[[], None], again: Callable[[], None]) -> Iterator[None]:
    """Call `once` at the first Ctrl-C, SIGTERM or SIGHUP within the block, and `again` at each further one.

    The running event loop calls them; a signal that is ignored stays so.
    """
    loop, calls = asyncio.get_running_loop(), [once]
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in numbers}

    def call() -> None:
        (calls.pop() if calls else again)()

    for number in numbers:
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
