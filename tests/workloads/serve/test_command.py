"""The command serves until it is told to end, and refuses what it can't serve before anything starts."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.command_line import assert_refused, gearshift
from helpers.served import Client, scaling

MIX = """
from pathlib import Path
from gearshift import App, External, Family, Mix

def mix():
    own = Family([(Path(__file__).with_name("small.onnx"), 0.6), (Path(__file__).with_name("large.onnx"), 0.9)])
    app = App("gate", supernet=own, arrivals=External(), latency_ms=5000, queue=8, drop="newest")
    return Mix("served", apps=[app], duration_s=60)
"""
COMMAND = [sys.executable, "-m", "gearshift", "serve"]


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    scaling(tmp_path)
    (tmp_path / "served.py").write_text(MIX)
    return tmp_path / "served.py"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--http", "0.0.0.0:0"], "clients need a token; give --token-file FILE or set GEARSHIFT_TOKEN"),
        (["--http", "localhost"], "--http must be HOST:PORT, such as 127.0.0.1:8000, not 'localhost'"),
        (["--http", "localhost:99999"], "--http must be HOST:PORT"),
        (["--token-file", "/nowhere"], "--token-file '/nowhere' can't be read"),
        (["--max-body-mb", "0"], "--max-body-mb must be above 0"),
        (["--drain-s", "-1"], "--drain-s must be between 0 and 3600"),
        (["--policy", "jiont"], "Did you mean 'joint'?"),
    ],
)
def test_what_can_not_be_served_is_refused(mix, options, said):
    assert_refused(gearshift("serve", mix, *options), said)


def test_a_port_that_is_taken_is_refused(mix):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_refused(gearshift("serve", mix, "--http", address), f"--http {address} can't be listened at")


@pytest.mark.ray
def test_it_serves_whoever_has_the_token_and_ends_with_a_summary(mix, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    options = [
        "--http",
        "127.0.0.1:0",
        "--token-file",
        str(tmp_path / "token"),
        "--out",
        str(tmp_path / "run"),
        "--json",
    ]
    with subprocess.Popen(
        [*COMMAND, str(mix), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as server:
        try:
            assert server.stderr is not None
            assert server.stdout is not None
            port = next(
                int(found[1]) for line in server.stderr if (found := re.search(r"http://127.0.0.1:(\d+)/v2", line))
            )
            stranger, client = Client(port), Client(port, "secret")
            data = {"name": "x", "datatype": "FP32", "shape": [1, 2, 3], "data": [7] * 6}
            assert stranger.ask("GET", "/v2/health/live")[0] == 200
            for method, path in (("GET", "/v2"), ("GET", "/metrics"), ("POST", "/v2/models/gate/infer")):
                status, _, said = stranger.ask(method, path, {"inputs": [data]} if method == "POST" else None)
                assert (status, "Bearer" in said["error"]) == (401, True)
            assert client.ask("POST", "/v2/models/gate/infer", {"inputs": [data]})[0] == 200
            server.send_signal(signal.SIGTERM)
            assert server.wait(120) == 0
            summary = json.loads(server.stdout.read())
        finally:
            server.kill()
    assert summary["apps"]["gate"]["submitted"] == summary["apps"]["gate"]["completed"] == 1
    assert (tmp_path / "run" / "summary.json").exists()
