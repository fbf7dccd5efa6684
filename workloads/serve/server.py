"""Serves a deployment over HTTP until it is told to end, and drains."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop

from workloads.runs.launch import Deployment
from workloads.serve.app import application
from workloads.serve.board_view import BoardView
from workloads.serve.bodies import BodyReader
from workloads.serve.gateway import Gateway
from workloads.serve.listener import Listener, on_signals
from workloads.serve.metrics import Metrics

BODY_S = 30.0
"""Longest time in which a body is to come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The bounds of a server.

    Attributes:
        body_bytes: most bytes of one body.
        all_bytes: most bytes of all bodies under way together.
        drain_s: longest time in which requests under way are waited for at the end, in seconds.
    """

    body_bytes: int = 16 * 2**20
    all_bytes: int = 64 * 2**20
    drain_s: float = 10.0


class Server:
    """A server of one deployment.

    Args:
        deployment: the deployment.
        view: the latest of its run, which whoever takes its log keeps up.
        listening: a socket that listens.
        token: what clients have to send; None for nothing.
        hosts: names by which it may be called; None for any.
        limits: its bounds.
    """

    def __init__(
        self,
        deployment: Deployment,
        view: BoardView,
        listening: socket.socket,
        *,
        token: str | None = None,
        hosts: frozenset[str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._gateway = Gateway(deployment, limits.all_bytes)
        self._metrics = Metrics(self._gateway, view)
        reader = BodyReader(self._gateway, limits.body_bytes, BODY_S)
        app = application(self._gateway, self._metrics, view, reader, token=token, hosts=hosts)
        self._listener = Listener(app, listening, limits.drain_s)
        self._metrics.open_connections = lambda: self._listener.connections
        self._drain_s = limits.drain_s
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, on_signal: Callable[[], None] | None = None) -> None:
        """Serve until `stop`.

        Args:
            on_signal: called at the first Ctrl-C or SIGTERM, which ends it; None where others take signals.
        """
        uvloop.run(self._serve(on_signal))

    def stop(self) -> None:
        """Let no more requests in, answer those under way, and have `run` return. Any thread may call it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._drain)

    async def _serve(self, on_signal: Callable[[], None] | None) -> None:
        self._loop = asyncio.get_running_loop()
        for app in self._gateway.deployment.apps:
            await self._gateway.forms(app)
        with self._on_signals(on_signal):
            await self._listener.serve()

    @contextmanager
    def _on_signals(self, on_signal: Callable[[], None] | None) -> Iterator[None]:
        if on_signal is None:
            yield
            return

        def once() -> None:
            on_signal()
            self._drain()

        with on_signals(once, self._listener.stop_now):
            yield

    def _drain(self) -> None:
        self._gateway.draining = True
        self._listener.stop()
