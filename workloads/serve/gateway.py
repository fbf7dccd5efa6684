"""The way from the routes to a deployment: bounds what is under way, and says in HTTP's words what became of it.

- An application has at most `MOST_CLIENTS` requests under way: as many as its worker holds. Whoever comes beside them
  is turned away at once, since nothing outside counts how long it waits.
- The bodies that are under way may take so many bytes together, so memory is bounded whoever sends what.
- While it drains, nothing new is let in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from actors.remote import MOST_CLIENTS
from actors.worker.results import (
    DeadlinePassedError,
    InputRefusedError,
    RequestDroppedError,
    RequestFailedError,
    Result,
    WorkerClosedError,
    WorkerDiedError,
)
from scheduler.errors import did_you_mean, shown
from supernets.task import Form
from workloads.runs.launch import Deployment
from workloads.runs.plan import AppPlan
from workloads.serve import protocol
from workloads.serve.protocol import VERSION, Body
from workloads.serve.refused import RefusedError

_RESTART_S = 2
"""Time in which a worker that died is there again, in seconds, and in which a client may ask again."""


class Gateway:
    """The way to one deployment, for one event loop.

    Args:
        deployment: the deployment.
        most_bytes: most bytes of bodies under way together.

    Attributes:
        deployment: as given.
        draining: True once nothing new is let in.
        under_way: by application, the requests under way.
        refused: by application and reason, how many requests were refused; the application is "" where there is none.
    """

    def __init__(self, deployment: Deployment, most_bytes: int) -> None:
        self.deployment = deployment
        self.draining = False
        self.under_way: Counter[str] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._forms: dict[str, tuple[Form, tuple[Form, ...]]] = {}

    # ------------------------------------------------------------ what there is

    def app(self, name: str, version: str | None = None) -> AppPlan:
        """Return an application that is there.

        Raises:
            RefusedError: if none of that name and version is.
        """
        if not self.deployment.live.is_there(name):
            there = self.deployment.apps
            raise RefusedError(
                f"there is no app {shown(name)}; there are {', '.join(there) or 'none'}.{did_you_mean(name, there)}",
                404,
                reason="unknown",
            )
        if version is not None and version != VERSION:
            raise RefusedError(
                f"app {name!r} has the version {VERSION!r} only, not {shown(version)}", 404, reason="unknown"
            )
        return self.deployment.live.plan.apps[name]

    async def forms(self, name: str) -> tuple[Form, tuple[Form, ...]]:
        """Return the forms of an application's input and of its outputs; the first time its network's file is read."""
        if name not in self._forms:
            planned = self.app(name)
            task, artifact = planned.source.task, planned.ladder[0][0]
            # One that is removed comes back with the same networks.
            self._forms[name] = task.takes(artifact), await asyncio.to_thread(task.gives, artifact)
        return self._forms[name]

    # ------------------------------------------------------------ one request

    def hold(self, size: int) -> None:
        """Count that many bytes more as under way, or fewer.

        Raises:
            RefusedError: if all bodies together would be too large.
        """
        if size > 0 and self._bytes + size > self._most_bytes:
            raise RefusedError(
                f"the requests under way have {self._bytes} bytes, and with these {size} more than {self._most_bytes}; "
                "send it again later",
                429,
                reason="memory",
                retry_s=1,
            )
        self._bytes += size

    async def infer(self, app: str, version: str | None, body: Body) -> Body:
        """Serve a request, and return the body of the response.

        Raises:
            RefusedError: if there is no result.
        """
        self.app(app, version)
        if self.draining:
            raise RefusedError("the server is shutting down and takes no more requests", 503, reason="draining")
        takes, gives = await self.forms(app)
        # A long body is read beside the event loop, which serves others meanwhile.
        length = len(body.content) if body.json_length is None else body.json_length
        read = protocol.read_request
        request = read(body) if length < _LONG_BYTES else await asyncio.to_thread(read, body)
        protocol.check_outputs(request, gives)
        result = await self._result(app, protocol.payload_of(request, takes))
        outputs = protocol.tensors_of(result.output, gives)
        return protocol.write_response(app, request, outputs, parameters_of(result))

    async def _result(self, app: str, payload: object) -> Result:
        if self.under_way[app] >= MOST_CLIENTS:
            raise RefusedError(
                f"app {app!r} has {MOST_CLIENTS} requests under way, which is the most; send it again later",
                429,
                reason="under_way",
                retry_s=1,
            )
        self.under_way[app] += 1
        try:
            with _in_http(app):
                return await self.deployment.infer_async(app, payload)
        finally:
            self.under_way[app] -= 1


class Held:
    """The bytes of one body, as they count in a gateway.

    Args:
        gateway: the gateway.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._size = 0

    def grow_to(self, size: int) -> None:
        """Count that many bytes, or as many as before if those are more; see `Gateway.hold`."""
        if size > self._size:
            self._gateway.hold(size - self._size)
            self._size = size

    def free(self) -> None:
        """Count them no longer."""
        self._gateway.hold(-self._size)
        self._size = 0


_LONG_BYTES = 64 * 1024
"""Bytes of JSON from which it is read on a thread of its own: these take about 1 ms."""


def parameters_of(result: Result) -> Mapping[str, str | float | bool]:
    """Return what a response says of a result: where it was served, how fast, and what it cost."""
    receipt = result.receipt
    said: dict[str, str | float | bool] = {
        "latency_ms": round(result.latency_ms, 3),
        "service_ms": round(receipt.service_ms, 3),
        "subnet": result.subnet,
        "unit": receipt.unit,
        "cores": receipt.cores,
        "energy_source": "unknown" if receipt.energy_mj is None else "modelled",
    }
    if receipt.energy_mj is not None:
        said["energy_mj"] = round(receipt.energy_mj, 4)
    if receipt.accuracy is not None:
        said["accuracy"] = receipt.accuracy
    return said


@contextmanager
def _in_http(app: str) -> Iterator[None]:
    """Raise what a deployment raises as a refusal."""
    try:
        yield
    except KeyError as error:  # it was removed a moment ago
        raise RefusedError(str(error.args[0]), 404, reason="unknown") from None
    except DeadlinePassedError as error:
        raise RefusedError(f"{error}; send fewer, or give it a later target", 504, reason="late") from None
    except RequestDroppedError as error:
        raise RefusedError(f"{error}; send it again later", 429, reason="queue_full", retry_s=1) from None
    except InputRefusedError as error:
        raise RefusedError(f"app {app!r} can't take inputs[0]: {error}", 400, reason="input") from None
    except WorkerDiedError as error:
        raise RefusedError(str(error), 503, reason="worker_died", retry_s=_RESTART_S) from None
    except WorkerClosedError as error:
        raise RefusedError(str(error), 503, reason="ended") from None
    except RequestFailedError as error:
        raise RefusedError(f"app {app!r} failed: {error}", 500, reason="failed") from None
