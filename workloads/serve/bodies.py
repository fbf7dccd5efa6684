"""Reads the bodies of requests, within bounds of size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from scheduler.errors import shown
from workloads.serve.gateway import Gateway, Held
from workloads.serve.refused import RefusedError


class BodyReader:
    """Reads bodies.

    Args:
        gateway: bounds the bytes of all bodies together.
        most_bytes: most bytes of one body.
        most_s: longest time in which a body is to come, in seconds.
    """

    def __init__(self, gateway: Gateway, most_bytes: int, most_s: float) -> None:
        self._gateway = gateway
        self._most_bytes = most_bytes
        self._most_s = most_s

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Give the body of a request, whose bytes count as under way for the length of the block.

        Raises:
            RefusedError: if it is too large, comes too slowly, is compressed, or there is no memory for it now.
        """
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise RefusedError(f"Content-Encoding {shown(encoding)} is not served; send the body as it is", 415)
        length = request.headers.get("content-length", "0")
        # A length that is no number does not come so far: the parser refuses it.
        if int(length) > self._most_bytes:
            raise self._too_large(f"{length} bytes")
        held = Held(self._gateway)
        try:
            held.grow_to(int(length))
            yield await self._read(request, held)
        finally:
            held.free()

    async def _read(self, request: Request, held: Held) -> bytes:
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._most_s):
                async for part in request.stream():
                    size += len(part)
                    if size > self._most_bytes:
                        raise self._too_large("more")
                    held.grow_to(size)  # beyond its length where it comes in chunks, without one
                    parts.append(part)
        except TimeoutError:
            raise RefusedError(
                f"the body did not come within {self._most_s:g} s; send it faster, or a smaller one", 408, reason="slow"
            ) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, given: str) -> RefusedError:
        return RefusedError(
            f"the body may have {self._most_bytes} bytes at the most, and has {given}; send less, or start the server "
            "with a larger --max-body-mb",
            413,
            reason="too_large",
        )
