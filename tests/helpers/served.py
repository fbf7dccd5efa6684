"""A server in this process, on a deployment of tiny networks, and a plain client of it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from prometheus_client.parser import text_string_to_metric_families

from actors.session import RaySession
from helpers.own_models import value, write
from workloads.mix.app import Family
from workloads.results.entry_words import log_entry
from workloads.runs.launch import Deployment, deploy_plan
from workloads.runs.plan import RunPlan
from workloads.serve.board_view import BoardView
from workloads.serve.listener import Address
from workloads.serve.server import Limits, Server

SCALES = {"small": 1.0, "large": 2.0}
"""What each network of `scaling` multiplies its input by."""

Answer = tuple[int, dict[str, str], Any]


def scaling(folder: Path) -> Family:
    """Return two networks of one shape, whose output is their input times a number of `SCALES`."""
    shape, files = (1, 2, 3), []
    for name, scale in SCALES.items():
        node = onnx.helper.make_node("Mul", ["x", "scale"], ["y"])
        file = folder / f"{name}.onnx"
        files.append(write(file, [node], [value("x", shape)], [value("y", shape)], {"scale": np.float32([scale])}))
    return Family(zip(files, (0.6, 0.9), strict=True))


class Client:
    """A client of one server: each request has a connection of its own."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port = port
        self._token = token

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request, and return status, headers and the object of the answer."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        said = json.loads(content) if answer.headers.get("content-type") == "application/json" else content
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, said

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return all samples of the page of metrics, by name and by the values of their labels."""
        status, _, page = self.ask("GET", "/metrics")
        assert status == 200
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(page.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
        return found


@contextmanager
def served(
    plan: RunPlan, session: RaySession, out: Path, *, token: str | None = None, limits: Limits | None = None
) -> Iterator[tuple[Client, Deployment, Server]]:
    """Serve a plan for the length of the block; what is under way is answered at its end."""
    view = BoardView()

    def on_entry(entry: dict[str, Any]) -> None:
        view.note(entry)
        log_entry(entry)

    address = Address("127.0.0.1:0")
    with address.listen() as listening, deploy_plan(plan, session, out, on_entry) as deployment:
        server = Server(deployment, view, listening, token=token, hosts=address.hosts, limits=limits)
        thread = threading.Thread(target=server.run, name="server")
        thread.start()
        try:
            yield Client(listening.getsockname()[1], token), deployment, server
        finally:
            server.stop()
            thread.join()
