"""The targets that read files: boards, traces, logs, runs, tables, profiles, weights, dumps."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgpack

from actors import profiling
from actors.agent.sensors.replay import read_recording
from actors.board_commands.dump import INDEX, read_dump
from actors.board_file import read_board, read_sources
from fuzz.campaign import Target
from fuzz.mutation import changed, damaged
from helpers.small_mixes import app
from scheduler.errors import InputError
from supernets import weights_file
from workloads.bench.store import Store, read_results
from workloads.explaining.as_json import to_json
from workloads.explaining.reading import explanation_of, moment_of
from workloads.mix.mix import Mix
from workloads.report.run_report import write_report
from workloads.results.epoch_log import read_epoch_log
from workloads.results.run_dir import read_run
from workloads.results.summary import read_summary
from workloads.results.trace import read_trace
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import simulate
from workloads.validation.power.rows import checked_rows
from workloads.validation.power.table import read_table

_ROOT = Path(__file__).parents[2]
_CORPUS = Path(__file__).parent / "corpus"
_CLEAN = (InputError,)


def corpus(name: str) -> list[bytes]:
    """Return the kept inputs of a target, written by hand or found by fuzzing."""
    return [path.read_bytes() for path in sorted((_CORPUS / name).glob("*"))]


def _packaged(pattern: str) -> list[bytes]:
    found = [path.read_bytes() for path in sorted(_ROOT.glob(pattern))]
    assert found, pattern
    return found


@cache
def run_files() -> dict[str, bytes]:
    """Return the files of a simulated run of a second, by name."""
    from actors.cluster import load_board

    with TemporaryDirectory() as place:
        mix = Mix("short", duration_s=1, apps=[app("a", supernet="ofa-plates", latency_ms=50)])
        plan = plan_simulation(mix, load_board(_ROOT / "actors/boards/odroid-xu3.yaml"), epoch_ms=250)
        write_simulated(plan, simulate(plan), Path(place))
        return {path.name: path.read_bytes() for path in Path(place).iterdir()}


def _text(name: str, pattern: str = "") -> Callable[[Random], bytes]:
    seeds = [*corpus(name), *(_packaged(pattern) if pattern else ())]
    return lambda rng: damaged(rng, seeds)


def _stream(file: str) -> Callable[[Random], bytes]:
    """Return a maker of streams of msgpack maps: of damaged bytes, or whole ones of changed values."""

    def make(rng: Random) -> bytes:
        whole = run_files()[file]
        if rng.random() < 0.3:
            return damaged(rng, [whole, *corpus("msgpack")])
        values = list(msgpack.Unpacker(BytesIO(whole)))
        return b"".join(map(_packed, changed(rng, values)))

    return make


def _packed(value: Any) -> bytes:
    try:
        return msgpack.packb(value)
    except (OverflowError, ValueError, TypeError):
        return b""


def _json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _changed_json(seeds: Sequence[bytes]) -> Callable[[Random], bytes]:
    """Return a maker of JSON: of damaged bytes, or whole ones of a changed value."""

    def make(rng: Random) -> bytes:
        if rng.random() < 0.4:
            return damaged(rng, seeds)
        return _json(changed(rng, json.loads(rng.choice(seeds))))

    return make


def _file(name: str, parse: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """Return a parser of an input that is written into a file first."""

    def parse_file(given: bytes, directory: Path) -> object:
        path = directory / name
        path.write_bytes(given)
        return parse(path)

    return parse_file


def _board(path: Path) -> None:
    read_board(str(path))
    read_sources(str(path))


def _run_dir(rng: Random) -> dict[str, bytes]:
    """Return the files of a run, one or two of them damaged, lost or changed into those of another kind."""
    files = dict(run_files())
    for name in rng.sample(sorted(files), rng.choice((1, 1, 2))):
        match rng.randrange(4):
            case 0 if name.endswith(".json"):
                files[name] = _changed_json([files[name]])(rng)
            case 0 if name.endswith(".msgpack"):
                files[name] = _stream(name)(rng)
            case 1:
                files[name] = rng.choice(sorted(files.values()))
            case _:
                files[name] = damaged(rng, [files[name]])
        if rng.random() < 0.05:
            del files[name]
    return files


def _read_run(given: dict[str, bytes], directory: Path) -> None:
    run = directory / "run"
    run.mkdir(exist_ok=True)
    for old in run.iterdir():
        old.unlink()
    for name, content in given.items():
        (run / name).write_bytes(content)
    read_run(run)


def _explain_run(given: bytes, directory: Path) -> None:
    _read_run({**run_files(), "epochs.msgpack": given}, directory)
    moment = moment_of(read_run(directory / "run"), 0.5)
    to_json(moment, explanation_of(moment))


def _report_run(given: dict[str, bytes], directory: Path) -> None:
    _read_run(given, directory)
    write_report(directory / "run")


_COMMAND = {"schema": 1, "gearshift": "1", "mixes": {"a": "1"}, "seeds": 3}
_RESULT = (
    b'{"task": {"mix": "a", "board": "b", "policy": "joint", "seed": 0}, "error": "policy failed", "tail": 0.5, '
    b'"by_set": {"measured": {"units_j": 1.5}}, "power_table": "measured"}\n'
)


def _bench(rng: Random) -> tuple[bytes, bytes]:
    command = _changed_json([_json(_COMMAND)])(rng) if rng.random() < 0.4 else _json(_COMMAND)
    return command, damaged(rng, [_RESULT * 2, _RESULT, *corpus("bench")])


def _resume(given: tuple[bytes, bytes], directory: Path) -> None:
    bench = directory / "bench"
    bench.mkdir(exist_ok=True)
    (bench / "bench.json").write_bytes(given[0])
    (bench / "runs.jsonl").write_bytes(given[1])
    try:
        Store(bench, _COMMAND)
    finally:
        (bench / "runs.jsonl").write_bytes(given[1])
        read_results(bench)


def _power_table(path: Path) -> None:
    checked_rows(read_table(path))


_PROFILE = _json(
    {
        "schema_version": profiling._SCHEMA_VERSION,
        "supernet": "a",
        "machine": "m",
        "rungs": [
            {
                "subnet": "s",
                "times": [{"kind": "cpu", "cores": 1, "engine": "e", "samples_ms": [1.0, 1.5], "disturbed": 0}],
            }
        ],
    }
)


def _weights(rng: Random) -> bytes:
    """Return a small safetensors file with a damaged header, or damaged anywhere."""
    header = {
        "__metadata__": {"ladder": "[]", "supernet": "ofa-plates", "about": "x"},
        "a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    }
    if rng.random() < 0.4:
        ladder = json.dumps([{"kernel": [3] * 9, "expand": [2] * 9, "depth": [1] * 3, "resolution": 16}])
        header["__metadata__"]["ladder"] = damaged(rng, [ladder.encode()]).decode("utf-8", "replace")
    else:
        header = changed(rng, header)
    written = _json(header)
    whole = len(written).to_bytes(8, "little") + written + bytes(16)
    return damaged(rng, [whole, *corpus("weights")]) if rng.random() < 0.4 else whole


def _read_weights(path: Path) -> None:
    weights_file.read_metadata(path)
    weights_file.read_arrays(path)
    weights_file.read_state(path)


def _ladder(rng: Random) -> bytes:
    """Return the ladder of a file's metadata, changed."""
    rung = {"kernel": [3] * 9, "expand": [2] * 9, "depth": [1] * 3, "resolution": 16, "accuracy": 0.5}
    rung |= {"accuracy_source": "measured", "precision": "float32"}
    return _changed_json([_json([rung, {**rung, "resolution": 24}])])(rng)


def _open_ladder(given: bytes, directory: Path) -> None:
    import supernets

    path = directory / "ladder.safetensors"
    about = {"ladder": given.decode("utf-8", "replace"), "supernet": "ofa-plates", "weights_hash": "0"}
    header = _json({"__metadata__": about})
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    supernets.load("ofa-plates", None, path).ladder()


def _table(given: tuple[str, bytes], directory: Path) -> None:
    from supernets.ofa.spaces import SPACES
    from supernets.search.accuracy_source import AccuracyTable

    path = directory / f"table.{given[0]}"
    path.write_bytes(given[1])
    AccuracyTable(path, SPACES["ofa-plates"])


def _any_table(rng: Random) -> tuple[str, bytes]:
    row = {"kernel": [3] * 9, "expand": [2] * 9, "depth": [1] * 3, "resolution": 16, "accuracy": 0.5}
    if rng.random() < 0.5:
        return "json", _changed_json([_json([row, row])])(rng)
    text = "kernel,expand,depth,resolution,accuracy\n" + "3 3 3 3 3 3 3 3 3,2 2 2 2 2 2 2 2 2,1 1 1,16,0.5\n" * 2
    return "csv", damaged(rng, [text.encode()])


def _dump(rng: Random) -> bytes:
    """Return the archive of a doctor's report, its index changed or its bytes damaged."""
    index: Any = {
        "format": 1,
        "files": {"sys/a": {"mode": 420, "error": None}, "sys/b": {"mode": 0, "error": "EACCES"}},
        "links": {"sys/c": "a"},
        "areas": {"sys": 1},
        "about": {"kernel": "6.1"},
    }
    index = changed(rng, index) if rng.random() < 0.7 else index
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz" if rng.random() < 0.3 else "w") as tar:
        for name, content in ((INDEX, _json(index)), ("sys/a", b"1\n"), ("../x", b"2\n")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return damaged(rng, [archive.getvalue()]) if rng.random() < 0.5 else archive.getvalue()


def targets() -> Sequence[Target]:
    """Return the targets that read files."""
    board, recording = _text("boards", "actors/boards/*.yaml"), _text("recordings")
    table = _text("power", "workloads/validation/power/tables/*.csv")
    summary = _changed_json([run_files()["summary.json"]])
    profile = _changed_json([_PROFILE])
    rows: Sequence[tuple[str, Any, Callable[[Any, Path], object]]] = (
        ("boards", board, _file("board.yaml", _board)),
        ("epoch-logs", _stream("epochs.msgpack"), _file("epochs.msgpack", read_epoch_log)),
        ("board-traces", _stream("trace.msgpack"), _file("trace.msgpack", read_trace)),
        ("summaries", summary, _file("summary.json", read_summary)),
        ("run-directories", _run_dir, _read_run),
        ("reports", _run_dir, _report_run),
        ("explanations", _stream("epochs.msgpack"), _explain_run),
        ("accuracy-tables", _any_table, _table),
        ("ladders", _ladder, _open_ladder),
        ("profiles", profile, _file("profile.json", profiling._read)),
        ("bench", _bench, _resume),
        ("weights", _weights, _file("weights.safetensors", _read_weights)),
        ("pickled-weights", _text("pickles"), _file("weights.pth", weights_file.read_arrays)),
        ("power-tables", table, _file("table.csv", _power_table)),
        ("recordings", recording, _file("rail.csv", lambda path: read_recording(str(path)))),
        ("dumps", _dump, _file("dump.tar", read_dump)),
    )
    return [Target(name=name, make=make, parse=parse, clean=_CLEAN) for name, make, parse in rows]
