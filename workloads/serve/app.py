"""The routes of the server, as an ASGI application on Starlette."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scheduler.errors import InputError
from workloads.serve import protocol
from workloads.serve.app_body import app_of, described
from workloads.serve.board_view import BoardView
from workloads.serve.bodies import BodyReader
from workloads.serve.gateway import Gateway
from workloads.serve.metrics import CONTENT_TYPE, Metrics
from workloads.serve.protocol import HEADER_LENGTH, Body
from workloads.serve.refused import RefusedError

_LOG = logging.getLogger("gearshift")

_EXTENSIONS = ["binary_tensor_data"]

_OPEN = ("/v2/health/live", "/v2/health/ready")
"""Routes that need no token: whoever restarts servers asks there, and learns nothing else."""


class Routes:
    """The handlers of all routes.

    Args:
        gateway: the way to the deployment.
        metrics: its metrics.
        view: the latest of its run.
        reader: reads bodies.
    """

    def __init__(self, gateway: Gateway, metrics: Metrics, view: BoardView, reader: BodyReader) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._view = view
        self._reader = reader
        self._page = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the routes; those of inferences come first, since they are asked most."""
        found = []
        for path, method, handler in (
            ("/models/{name}/infer", "POST", self.infer),
            ("/models/{name}/versions/{version}/infer", "POST", self.infer),
            ("", "GET", self.server),
            ("/health/live", "GET", self.live),
            ("/health/ready", "GET", self.ready),
            ("/models/{name}", "GET", self.model),
            ("/models/{name}/versions/{version}", "GET", self.model),
            ("/models/{name}/ready", "GET", self.model_ready),
            ("/models/{name}/versions/{version}/ready", "GET", self.model_ready),
            ("/repository/index", "POST", self.index),
            ("/apps", "GET", self.apps),
            ("/apps/{name}", "GET", self.app),
            ("/apps/{name}", "PATCH", self.change),
            ("/apps/{name}", "PUT", self.add),
            ("/apps/{name}", "DELETE", self.remove),
        ):
            found.append(Route(f"/v2{path}", handler, methods=[method]))
        return [*found, Route("/metrics", self.metrics, methods=["GET"])]

    # ------------------------------------------------------------ the protocol

    async def infer(self, request: Request) -> Response:
        """Serve one request."""
        name, version = request.path_params["name"], request.path_params.get("version")
        try:
            self._gateway.app(name, version)  # before its body is taken
            async with self._reader.body(request) as content:
                length = protocol.json_length(request.headers.get(HEADER_LENGTH), content)
                answer = await self._gateway.infer(name, version, Body(content, length))
        except RefusedError as error:
            self._note(name, error.reason)
            raise
        except ClientDisconnect:
            self._note(name, "disconnected")
            raise
        if answer.json_length is None:
            return Response(answer.content, media_type="application/json")
        headers = {"Inference-Header-Content-Length": str(answer.json_length)}
        return Response(answer.content, media_type="application/octet-stream", headers=headers)

    def _note(self, name: str, reason: str) -> None:
        known = name if name in self._gateway.deployment.live.plan.apps else ""  # as many counts as there are apps
        self._gateway.refused[known, reason] += 1

    async def server(self, request: Request) -> Response:
        """Return the metadata of the server."""
        return _json({"name": "gearshift", "version": version("gearshift"), "extensions": _EXTENSIONS})

    async def live(self, request: Request) -> Response:
        """Say that the server answers."""
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether all applications can be served."""
        apps = self._gateway.deployment.apps
        is_ready = not self._gateway.draining and all(app in self._view.gears for app in apps)
        return _json({"ready": is_ready}, 200 if is_ready else 503)

    async def model_ready(self, request: Request) -> Response:
        """Say whether an application can be served."""
        name = request.path_params["name"]
        self._gateway.app(name, request.path_params.get("version"))
        is_ready = not self._gateway.draining and name in self._view.gears
        return _json({"name": name, "ready": is_ready}, 200 if is_ready else 503)

    async def model(self, request: Request) -> Response:
        """Return the metadata of an application."""
        name = request.path_params["name"]
        self._gateway.app(name, request.path_params.get("version"))
        takes, gives = await self._gateway.forms(name)
        return _json(protocol.model_metadata(name, "gearshift", takes, gives))

    async def index(self, request: Request) -> Response:
        """Return the names of all applications, as the model repository extension has them."""
        apps, gears = self._gateway.deployment.apps, self._view.gears
        listed = [
            {"name": app, "version": protocol.VERSION, "state": "READY" if app in gears else "LOADING"} for app in apps
        ]
        return _json(listed)

    # ------------------------------------------------------------ applications

    async def apps(self, request: Request) -> Response:
        """Return all applications that are there."""
        return _json({"apps": [self._described(app) for app in self._gateway.deployment.apps]})

    async def app(self, request: Request) -> Response:
        """Return an application."""
        name = request.path_params["name"]
        self._gateway.app(name)
        return _json(self._described(name))

    async def change(self, request: Request) -> Response:
        """Change targets of an application."""
        name = request.path_params["name"]
        self._gateway.app(name)
        given = await self._object(request)
        deployment = self._gateway.deployment
        await _done(lambda: deployment.live.retarget(name, given))
        return _json(self._described(name))

    async def add(self, request: Request) -> Response:
        """Add an application."""
        name, deployment = request.path_params["name"], self._gateway.deployment
        self._let_in()
        if name in deployment.apps:
            raise RefusedError(f"app {name!r} is there already; change it with PATCH, or DELETE it first", 409)
        app = app_of(name, await self._object(request), deployment.live.plan.apps)
        await _done(lambda: deployment.add(app))
        return _json(self._described(name), 201)

    async def remove(self, request: Request) -> Response:
        """Remove an application."""
        name, deployment = request.path_params["name"], self._gateway.deployment
        self._gateway.app(name)
        await _done(lambda: deployment.remove(name))
        return Response(status_code=204)

    async def metrics(self, request: Request) -> Response:
        """Return the metrics."""
        async with self._page:
            return Response(await asyncio.to_thread(self._metrics.page), headers={"content-type": CONTENT_TYPE})

    async def _object(self, request: Request) -> dict[str, Any]:
        self._let_in()
        async with self._reader.body(request) as content:
            given: dict[str, Any] = protocol.read_json(content)
            return given

    def _let_in(self) -> None:
        if self._gateway.draining:
            raise RefusedError("the server is shutting down and changes nothing any more", 503, reason="draining")

    def _described(self, name: str) -> dict[str, Any]:
        live = self._gateway.deployment.live
        planned, under_way = live.plan.apps[name], self._gateway.under_way[name]
        return described(planned, live.target(name), self._view.gears.get(name), under_way)


async def _done(change: Callable[[], object]) -> None:
    """Make a change beside the event loop, which waits for actors."""
    try:
        await asyncio.to_thread(change)
    except KeyError as error:
        raise RefusedError(str(error.args[0]), 404, reason="unknown") from None
    except InputError as error:
        raise RefusedError(str(error)) from None


class Guard:
    """What comes before all routes: the token, the name by which a server on loopback is called, and the counts.

    Args:
        app: the routes.
        metrics: where responses are counted.
        token: what clients have to send; None for nothing.
        hosts: names by which the server may be called; None for any. A page of the web that a user looks at could make
            its own name mean this machine, and so reach a server on loopback.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str | None, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._metrics = metrics
        self._token = None if token is None else f"Bearer {token}".encode()
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                self._metrics.responses[getattr(route, "path", "none"), message["status"]] += 1
            await send(message)

        headers = {name: value for name, value in scope["headers"] if name in (b"host", b"authorization")}
        host = headers.get(b"host", b"").decode("latin-1").rsplit("]", 1)
        name = f"{host[0]}]" if len(host) == 2 else host[0].split(":", 1)[0]
        if self._hosts is not None and name not in self._hosts:
            refusal = RefusedError(f"Host must be one of {', '.join(sorted(self._hosts))}, not {name[:100]!r}", 421)
            await _error(refusal)(scope, receive, counted)
        elif self._lacks_token(scope["path"], headers.get(b"authorization", b"")):
            refusal = RefusedError("the header Authorization must be Bearer and the server's token", 401)
            await _error(refusal)(scope, receive, counted)
        else:
            await self._app(scope, receive, counted)

    def _lacks_token(self, path: str, given: bytes) -> bool:
        return self._token is not None and path not in _OPEN and not hmac.compare_digest(self._token, given)


def application(
    gateway: Gateway,
    metrics: Metrics,
    view: BoardView,
    reader: BodyReader,
    *,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
) -> ASGIApp:
    """Return the ASGI application of a server; see `Routes` and `Guard`."""
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        RefusedError: _refused,
        HTTPException: _no_route,
        ClientDisconnect: _gone,
        Exception: _broken,
    }
    routes = Routes(gateway, metrics, view, reader).routes()
    return Guard(Starlette(routes=routes, exception_handlers=handlers), metrics, token, hosts)


async def _refused(request: Request, error: RefusedError) -> Response:
    return _error(error)


async def _no_route(request: Request, error: HTTPException) -> Response:
    said = f"there is no {request.method} {request.url.path[:200]}; docs/serving.md lists what there is"
    return _error(RefusedError(said, error.status_code), error.headers)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=499)  # nobody reads it; the number is that of nginx


async def _broken(request: Request, error: Exception) -> Response:
    _LOG.error("gearshift: %s %s failed", request.method, request.url.path, exc_info=error)
    return _error(RefusedError(f"the server failed: {type(error).__name__}: {error}"[:500], 500))


def _error(error: RefusedError, headers: Any = None) -> Response:
    retry = {} if error.retry_s is None else {"Retry-After": str(error.retry_s)}
    return _json({"error": str(error)}, error.status, {**(headers or {}), **retry})


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, "application/json")
