"""Clients of a server in a process of their own, with nothing but sockets: `bench_serve` starts them.

`serve_clients.py one PORT APP` sends one request for each line on its standard input, and prints how long it took in
milliseconds. `serve_clients.py many PORT CLIENTS HZ SECONDS APP...` has so many clients send so many requests a second
together, each client to the applications in turn, and prints as JSON how many answers had each status.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections import Counter

SIDE = (24, 96)
"""Height and width of the pictures that are sent."""


def request(app: str) -> tuple[str, bytes, dict[str, str]]:
    """Return path, body and headers of a request with a picture in raw bytes."""
    size = SIDE[0] * SIDE[1]
    tensor = {"name": "x", "datatype": "UINT8", "shape": SIDE, "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    pixels = bytes(number % 256 for number in range(size))
    return f"/v2/models/{app}/infer", head + pixels, {"Inference-Header-Content-Length": str(len(head))}


def ask(connection: http.client.HTTPConnection, app: tuple[str, bytes, dict[str, str]]) -> int:
    """Send one request, read the whole answer, and return its status."""
    path, body, headers = app
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def one(port: int, app: str) -> None:
    """Send a request for each line, and print how long it took.

    It does no more than it must, by hand, so that what is measured is the server's time and not a client's.
    """
    path, body, headers = request(app)
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    sent = "\r\n".join([*lines, "", ""]).encode() + body
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in sys.stdin:
            begun = time.perf_counter()
            connection.sendall(sent)
            answer = connection.recv(65536)
            while not _is_whole(answer):
                answer += connection.recv(65536)
            took_ms = (time.perf_counter() - begun) * 1000
            print(took_ms if answer.startswith(b"HTTP/1.1 200") else -1.0, flush=True)


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
    return bool(end) and len(body) >= int(length)


def many(port: int, clients: int, hz: float, seconds: float, apps: list[str]) -> None:
    """Have clients send requests at a fixed rate, and print the counts of what came of them."""
    statuses: Counter[str] = Counter()
    lock, sent, begin = threading.Lock(), [request(app) for app in apps], time.perf_counter()
    each = int(hz * seconds / clients)

    def run(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for turn in range(each):
            due = begin + (turn + client / clients) * clients / hz
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                status = str(ask(connection, sent[(client + turn) % len(sent)]))
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                connection.close()
            with lock:
                statuses[status] += 1

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"sent": each * clients, "statuses": statuses}))


if __name__ == "__main__":
    if sys.argv[1] == "one":
        one(int(sys.argv[2]), sys.argv[3])
    else:
        many(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]), sys.argv[6:])
