"""A server on Ray answers, refuses, changes and counts: by its protocol, and so that no request is lost.

One deployment serves all tests of this file: each has an application of its own, or leaves the others as they were.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.http as triton

from actors.cluster import packaged_board
from helpers.live_runs import assert_sound, tiny_plan, wait_for
from helpers.served import SCALES, Client, scaling, served
from workloads.mix.app import App
from workloads.mix.arrivals import External, Periodic
from workloads.mix.mix import Mix
from workloads.results.run_dir import read_run
from workloads.runs.launch import Deployment
from workloads.serve.server import Limits

pytestmark = pytest.mark.ray


class Bed:
    """What the tests of one server share."""

    def __init__(self, client: Client, deployment: Deployment, shape: list[int]) -> None:
        self.client, self.deployment, self.shape = client, deployment, shape

    def body(self, value: float = 1.5, **more: object) -> dict[str, object]:
        """Return a request in JSON whose input is that number, over and over."""
        data = [value] * int(np.prod(self.shape))
        return {"inputs": [{"name": "x", "datatype": "FP32", "shape": self.shape, "data": data}], **more}


@pytest.fixture(scope="module")
def bed(session, tmp_path_factory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("served")
    tiny = scaling(folder)
    # What waits is never given up for being late: this machine may stall.
    apps = [
        App("gate", supernet=tiny, arrivals=External(), latency_ms=5000, queue=64, drop="newest"),
        App("slow", supernet=tiny, arrivals=External(), latency_ms=5000, queue=1, drop="newest"),
        App("own", supernet=tiny, arrivals=Periodic(hz=10), latency_ms=5000),
    ]
    mix = Mix("served", duration_s=3600, apps=apps)
    plan = tiny_plan(folder, packaged_board("two-core-host"), mix, small=(2.0, 2.0), large=(3.0, 3.0))
    limits = Limits(body_bytes=1_000_000, all_bytes=2_000_000)
    with served(plan, session, folder / "out", limits=limits) as (client, deployment, _):
        shape = list(plan.apps["gate"].ladder[0][0].input_shape)
        wait_for(lambda: client.ask("GET", "/v2/health/ready")[0] == 200)
        yield Bed(client, deployment, shape)
    summary = deployment.summary
    assert summary is not None
    assert_sound(summary)
    # The log has what was changed on the way.
    run = read_run(folder / "out")
    assert run.header is not None
    assert run.header.ladders.keys() == summary.apps.keys()


def test_a_request_is_answered_with_its_receipt(bed):
    status, _, said = bed.client.ask("POST", "/v2/models/gate/infer", bed.body(id="7"))
    assert status == 200, said
    assert (said["model_name"], said["id"]) == ("gate", "7")
    receipt = said["parameters"]
    assert receipt["subnet"] in SCALES
    assert receipt["energy_mj"] > 0
    assert receipt["energy_source"] == "modelled"
    assert receipt["latency_ms"] >= receipt["service_ms"] > 0
    assert said["outputs"][0]["data"] == [1.5 * SCALES[receipt["subnet"]]] * 6
    assert bed.client.ask("POST", "/v2/models/gate/versions/1/infer", bed.body())[0] == 200


def test_tritons_client_finds_and_asks_an_application(bed):
    client = triton.InferenceServerClient(f"127.0.0.1:{bed.client.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("gate")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert {one["name"] for one in client.get_model_repository_index()} >= {"gate", "slow", "own"}
    metadata = client.get_model_metadata("gate")
    (taken,), (given,) = metadata["inputs"], metadata["outputs"]
    assert (taken["datatype"], taken["shape"]) == ("FP32", bed.shape)
    for raw in (True, False):
        tensor = triton.InferInput(taken["name"], bed.shape, taken["datatype"])
        tensor.set_data_from_numpy(np.full(bed.shape, 2.5, np.float32), binary_data=raw)
        wanted = triton.InferRequestedOutput(given["name"], binary_data=raw)
        for outputs in (None, [wanted]):
            result = client.infer("gate", [tensor], outputs=outputs, request_id="a")
            assert result.get_response()["id"] == "a"
            assert result.as_numpy(given["name"]).reshape(-1)[0] in (2.5, 5.0)
    with pytest.raises(triton.InferenceServerException, match=r"there is no app 'gat'; .* Did you mean 'gate'\?"):
        client.infer("gat", [tensor])


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_asks_an_application(bed, tmp_path):
    (tmp_path / "body").write_text(str(bed.body()).replace("'", '"'))
    url = f"http://127.0.0.1:{bed.client.port}/v2/models/gate/infer"
    command = ["curl", "--silent", "--show-error", "--data-binary", f"@{tmp_path / 'body'}", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert '"model_name":"gate"' in said


def test_what_is_wrong_is_refused_by_name(bed):
    ask, infer = bed.client.ask, "/v2/models/gate/infer"
    for method, path, body, status, text in (
        ("POST", "/v2/models/nowhere/infer", bed.body(), 404, "there is no app 'nowhere'"),
        ("POST", "/v2/models/gate/versions/2/infer", bed.body(), 404, "has the version '1' only"),
        ("POST", infer, b"{", 400, "the body must be JSON"),
        ("POST", infer, {**bed.body(), "outputs": [{"name": "z"}]}, 400, "outputs[0].name must be one of"),
        ("POST", infer, b"x" * 1_000_001, 413, "--max-body-mb"),
        ("GET", infer, None, 405, "there is no GET /v2/models/gate/infer"),
        ("GET", "/v3", None, 404, "there is no GET /v3"),
        ("PATCH", "/v2/apps/gate", {"slo": 95}, 400, "slo must be above 0 and at most 1, not 95"),
        ("PATCH", "/v2/apps/gate", {"latency": 9}, 400, "Did you mean 'latency_ms'?"),
        ("PATCH", "/v2/apps/gate", {}, 400, "nothing changes"),
        ("PATCH", "/v2/apps/gate", [1], 400, "must be a JSON object"),
        ("PATCH", "/v2/apps/nowhere", {"slo": 0.9}, 404, "there is no app"),
        ("PUT", "/v2/apps/gate", {"like": "own", "latency_ms": 9}, 409, "is there already"),
        ("PUT", "/v2/apps/new", {"like": "own"}, 400, "latency_ms is missing"),
        ("PUT", "/v2/apps/new", {"like": "own", "latency_ms": -9}, 400, "latency_ms must be above 0"),
        ("PUT", "/v2/apps/new", {"supernet": "ofa-plates", "latency_ms": 9}, 400, "measured before the start"),
        ("PUT", "/v2/apps/New", {"like": "own", "latency_ms": 9}, 400, "Did you mean 'new'?"),
        ("DELETE", "/v2/apps/nowhere", None, 404, "there is no app"),
    ):
        got, _, said = ask(method, path, body)
        assert (got, text in said["error"]) == (status, True), (method, path, got, said)
    assert ask("POST", infer, bed.body(), **{"Content-Encoding": "gzip"})[0] == 415
    assert ask("POST", infer, bed.body(), **{"Inference-Header-Content-Length": "-3"})[0] == 400
    assert ask("GET", "/v2", None, Host="evil.example")[0] == 421
    assert ask("GET", "/v2/health/live")[0] == 200  # and all that did no harm


def test_what_is_no_http_is_refused_in_the_protocols_words(bed):
    for sent, status in ((b"\x16\x03\x01 no http\r\n\r\n", b"400"), (b"GET /" + b"a" * 100_000, b"431")):
        with socket.create_connection(("127.0.0.1", bed.client.port), timeout=60) as raw:
            raw.sendall(sent)
            answer = b"".join(iter(lambda raw=raw: raw.recv(4096), b""))
        assert answer.split()[1] == status
        assert b'{"error": "' in answer


def test_targets_change_while_it_serves(bed):
    status, _, said = bed.client.ask("PATCH", "/v2/apps/gate", {"min_accuracy": 0.8, "weight": 3})
    assert (status, said["min_accuracy"], said["weight"], said["latency_ms"]) == (200, 0.8, 3.0, 5000)
    for _ in range(3):
        answer = bed.client.ask("POST", "/v2/models/gate/infer", bed.body())
        assert answer[0] == 200, answer
        assert answer[2]["parameters"]["subnet"] == "large"
    assert bed.client.metrics()["gearshift_app_min_accuracy"]["gate",] == 0.8
    assert bed.client.ask("PATCH", "/v2/apps/gate", {"min_accuracy": 0.0})[0] == 200
    assert bed.client.ask("GET", "/v2/apps/gate")[2]["min_accuracy"] == 0.0


def test_applications_come_go_and_come_back(bed):
    ask, added = bed.client.ask, {"like": "own", "latency_ms": 4000, "queue": 8, "drop": "newest"}
    for life in (1, 2):
        status, _, said = ask("PUT", "/v2/apps/yard", added)
        assert (status, said.get("latency_ms")) == (201, 4000), said
        assert ask("POST", "/v2/models/yard/infer", bed.body())[0] == 200
        assert bed.client.metrics()["gearshift_requests_total"]["yard", "completed"] == life
        assert ask("DELETE", "/v2/apps/yard")[0] == 204
        assert ask("POST", "/v2/models/yard/infer", bed.body())[0] == 404
        assert "yard" not in [one["name"] for one in ask("GET", "/v2/apps")[2]["apps"]]
        wait_for(lambda: "yard" not in bed.deployment.live.pids)


def test_a_full_queue_and_a_killed_worker_lose_no_request(bed):
    before = bed.client.metrics()
    clients, each = 12, 15
    killed = threading.Event()

    def ask(number: int) -> list[int]:
        codes = []
        for turn in range(each):
            if number == 0 and turn == each // 3:
                os.kill(bed.deployment.live.pids["slow"], signal.SIGKILL)
                killed.set()
            codes.append(bed.client.ask("POST", "/v2/models/slow/infer", bed.body())[0])
        return codes

    with ThreadPoolExecutor(clients) as pool:
        codes = [code for answered in pool.map(ask, range(clients)) for code in answered]
    assert killed.is_set()
    assert len(codes) == clients * each
    assert set(codes) <= {200, 429, 503}
    assert codes.count(429) > 0
    wait_for(lambda: bed.client.ask("POST", "/v2/models/slow/infer", bed.body())[0] == 200)
    after = wait_for(lambda: _settled(bed.client, "slow"))

    def grown(name: str, *labels: str) -> float:
        return after[name].get(("slow", *labels), 0.0) - before[name].get(("slow", *labels), 0.0)

    submitted = grown("gearshift_requests_submitted_total")
    ended = {one: grown("gearshift_requests_total", one) for one in ("completed", "dropped", "failed")}
    assert submitted == sum(ended.values())
    assert ended["completed"] >= codes.count(200) + 1
    # The worker may die between a drop and its client's answer.
    assert ended["dropped"] >= grown("gearshift_refused_total", "queue_full")


def _settled(client: Client, app: str) -> dict[str, dict[tuple[str, ...], float]] | None:
    found = client.metrics()
    return found if found["gearshift_requests_in_flight"][app,] == 0 else None


def test_a_thousand_idle_connections_and_slow_clients_keep_nobody_out(bed):
    sockets = [socket.create_connection(("127.0.0.1", bed.client.port), timeout=60) for _ in range(300)]
    for number, one in enumerate(sockets):
        if number % 2:
            one.sendall(b"POST /v2/models/gate/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 90")
    assert bed.client.ask("POST", "/v2/models/gate/infer", bed.body())[0] == 200
    assert bed.client.metrics()["gearshift_http_connections"][()] >= 300
    for one in sockets:
        one.close()
