"""The epoch log gives back what was appended, also after a kill, and refuses a file that is no log."""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.results.epoch_log import EpochLogError, EpochLogWriter, LogHeader, read_epoch_log

HEADER = LogHeader(
    mix="car-park",
    board="two-core-host",
    policy="joint",
    seed=7,
    time_scale=1.0,
    epoch_ms=100.0,
    emulated=True,
    power_source="modelled: a table",
    units_mhz={"big": (200.0, 2000.0), "little": (200.0, 1400.0)},
    ladders={"entrance": ("s", "l")},
)
ENTRIES = [
    ("gear", -0.25, {"app": "entrance", "from": None, "to": ["s", "big", 1], "why": "start"}),
    ("epoch", 0.0, {"epoch": 0, "units": {"big": {"mhz": 200.0, "busy": 0.5}}, "apps": {}}),
    ("event", 10.0, {"text": "entrance: latency 60 → 30 ms"}),
]


def write(path: Path, entries: list[tuple[str, float, dict[str, Any]]] = ENTRIES) -> Path:
    with EpochLogWriter(path, HEADER) as log:
        for entry in as_read(entries):
            log.append(entry)
    return path


def as_read(entries: list[tuple[str, float, dict[str, Any]]] = ENTRIES) -> list[dict[str, Any]]:
    return [{"kind": kind, "now_s": now_s, **fields} for kind, now_s, fields in entries]


def test_log_reads_back_as_written(tmp_path: Path) -> None:
    assert read_epoch_log(write(tmp_path / "epochs.msgpack")) == (HEADER, as_read())


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.text(max_size=6), plain, max_size=4), cut=st.floats(0, 1))
def test_any_cut_loses_only_what_comes_after_it(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any], cut: float
) -> None:
    fields = {key: value for key, value in fields.items() if key not in ("kind", "now_s")}
    entries = [*ENTRIES, ("plan", 11.0, fields), *ENTRIES]
    path = tmp_path_factory.getbasetemp() / "cut.msgpack"
    write(path, [])
    header_size = path.stat().st_size
    whole = write(path, entries).read_bytes()
    length = header_size + round(cut * (len(whole) - header_size))
    path.write_bytes(whole[:length])
    ends, size = [], header_size
    for entry in as_read(entries):
        size += len(msgpack.packb(entry))
        ends.append(size)
    assert read_epoch_log(path) == (HEADER, as_read(entries)[: sum(end <= length for end in ends)])


def test_a_killed_writer_leaves_every_entry_it_appended(tmp_path: Path) -> None:
    path = write(tmp_path / "header.msgpack", [])
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from workloads.results.epoch_log import EpochLogWriter, read_epoch_log\n"
        "header, _ = read_epoch_log(Path(sys.argv[1]))\n"
        "log = EpochLogWriter(Path(sys.argv[2]), header)\n"
        "for epoch in range(100):\n"
        "    log.append({'kind': 'epoch', 'now_s': epoch / 10, 'epoch': epoch})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = tmp_path / "epochs.msgpack"
    done = subprocess.run([sys.executable, "-c", script, path, killed], env=os.environ, check=False)
    assert done.returncode == -9
    _, entries = read_epoch_log(killed)
    assert [entry["epoch"] for entry in entries] == list(range(100))


def test_a_field_that_is_not_plain_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "epochs.msgpack"
    with EpochLogWriter(path, HEADER) as log:
        with pytest.raises(TypeError):
            log.append({"kind": "plan", "now_s": 0.0, "why": object()})
        log.append({"kind": "plan", "now_s": 1.0, "why": []})
    assert [entry["now_s"] for entry in read_epoch_log(path)[1]] == [1.0]


def packed(header: dict[str, Any], *entries: object) -> bytes:
    return b"".join(msgpack.packb(item) for item in (header, *entries))


GOOD = {"schema": 1, **asdict(HEADER)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "this is no epoch log"),
        (b"PK\x03\x04 some other file", "this is no epoch log"),
        (bytes(range(256)), "this is no epoch log"),
        (packed(GOOD)[:40], "this is no epoch log"),
        (packed(GOOD | {"schema": 2}), "schema must be 1, not 2; run the mix again"),
        (packed({key: value for key, value in GOOD.items() if key != "ladders"}), "header: ladders: .*required"),
        (packed(GOOD | {"seed": "x"}), "header: seed: "),
        (packed(GOOD, {"kind": "epoch", "now_s": 0.0}, 7), "entry 2 is damaged"),
        (packed(GOOD, {"kind": "epoch"}), "entry 1 is damaged"),
        (packed(GOOD, {"kind": {}, "now_s": 0.0}), "entry 1 is damaged"),
        (packed(GOOD, {"kind": "epoch", "now_s": "1"}), "entry 1 is damaged"),
        (packed(GOOD, {"kind": "epoch", "now_s": 0.0}) + b"\xc1\xc1", "damaged after 1 entries"),
        (packed(GOOD) + b"\xa2\xff\xff", "damaged after 0 entries"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "epochs.msgpack"
    path.write_bytes(content)
    with pytest.raises(EpochLogError, match=message) as caught:
        read_epoch_log(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(junk=st.binary(max_size=40), starts_right=st.booleans())
def test_no_content_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, starts_right: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.msgpack"
    path.write_bytes(packed(GOOD) * starts_right + junk)
    with suppress(EpochLogError):
        read_epoch_log(path)


def test_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(EpochLogError, match="cannot be read: No such file"):
        read_epoch_log(tmp_path / "epochs.msgpack")
