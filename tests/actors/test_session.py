"""A Ray session is alone on loopback, its files are the user's alone, and it leaves nothing behind at its end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helpers.run_processes import listening, tagged, tagged_processes

PATIENCE_S = 60
"""A stalled machine gets this long; nothing here takes long by itself."""

CODE = """
    import os, signal, stat, sys
    import ray  # which sets a variable of its own for good
    from actors.session import RaySession

    class Actor:
        def where(self):
            return os.environ["RAY_AUTH_MODE"], os.environ.get("RAY_ADDRESS"), os.environ["PWD_TEST"]

        def arenas(self):
            # glibc's arenas of threads: each begins at a multiple of its size.
            with open("/proc/self/maps") as maps:
                spans = [line.split()[0].split("-") for line in maps if len(line.split()) == 5 and " rw-p " in line]
            return sum(int(begin, 16) % ARENA == 0 and int(end, 16) - int(begin, 16) < ARENA for begin, end in spans)

    ARENA = 64 << 20
    environment, handlers = dict(os.environ), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    arguments = sys.argv
    session = RaySession(gpus=3, on_notice=print)  # as it is told, whatever it would find
    with session:
        assert dict(os.environ) == environment
        assert sys.argv is arguments
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
        actor = ray.remote(num_cpus=0)(Actor).remote()
        assert ray.get(actor.where.remote()) == ("token", None, os.environ["PWD_TEST"])
        assert ray.get(actor.arenas.remote()) <= 2, "each of some 30 threads may fill an arena of its own"
        modes = [stat.S_IMODE(os.stat(place).st_mode) for place in (session.directory, PLACE / session.directory.name)]
        print(session.directory, ray.cluster_resources()["GPU"], *map(oct, modes), flush=True)
        input()
    assert dict(os.environ) == environment
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    print("down", flush=True)
"""


@pytest.mark.ray
def test_a_session_in_an_unusual_environment(tmp_path):
    place = tmp_path / ("Zürich " + 90 * "x")
    place.mkdir()
    odd = {
        "TMPDIR": str(place),
        "PWD_TEST": os.fsdecode(b"caf\xe9"),
        # A Ray of the user's own, and a memory that is in use above what Ray allows.
        "RAY_ADDRESS": "192.0.2.1:6379",
        "RAY_memory_usage_threshold": "0.01",
        "RAY_RUNTIME_ENV_HOOK": "nothing.at.all",
    }
    kept = {name: value for name, value in os.environ.items() if name != "HOME"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from pathlib import Path\nPLACE = Path(__import__('os').environ['TMPDIR'])\n" + textwrap.dedent(CODE),
            os.fsdecode(b"caf\xe9"),
        ],
        env={**kept, **odd},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        name, gpus, *modes = line.split()
        assert (gpus, modes) == ("3.0", ["0o700", "0o700"])
        during = tagged(process.pid)
        assert "raylet" in during
        started = [" ".join(ray.cmdline()) for ray in tagged_processes(process.pid)]
        assert not [words for words in started if "monitor.py" in words or "dashboard.py" in words]
        assert Path(name).is_dir()
        # Whoever reaches a port of Ray's could try tokens; from outside nobody does.
        ports = listening(process.pid)
        assert {"raylet", "gcs_server"} <= {port.process for port in ports}
        assert len(ports) >= 5
        assert all(port.address.is_loopback for port in ports), ports
        out, err = process.communicate("\n", timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert (out, err, process.returncode) == ("down\n", "", 0)
    assert not tagged(process.pid)
    assert not Path(name).exists()
    assert not any(place.iterdir())
