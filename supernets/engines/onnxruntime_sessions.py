"""Sessions of ONNX Runtime on the CPU, in float32. Knows no artifact.

A model that gearshift exported is optimised once. Its *optimised form* is kept beside its file: the model as ONNX
Runtime rewrote it for this processor, with its weights in a separate file that is mapped. So it loads in 10 ms, and
all sessions share the weights.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import shutil
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnxruntime

from supernets.engines.common import Mapped, release_memory
from supernets.errors import SupernetError

if TYPE_CHECKING:
    import onnx

_SPIN_US = 1000
"""Time in µs that a pool's threads look for work before they sleep (docs/decisions.md). ONNX Runtime older than 1.26
does not know the setting and spins for longer."""
_ALIGNMENT = 64
"""Alignment in bytes of each tensor in a file of weights: a cache line, and the widest vector register. ONNX Runtime
aligns none, and reads that cross lines cost up to 7 % (docs/decisions.md)."""
_EXTERNAL_BYTES = 1024
"""Size from which tensors go into the file of weights; smaller ones stay in the model itself."""
_MODEL, _WEIGHTS, _ABOUT = "model.onnx", "weights", "about.json"

# Nothing but fatal errors: all others are raised too, and the warnings speak of optimisations that nobody can act on.
onnxruntime.set_default_logger_severity(4)


def open_model(path: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open a model in ONNX Runtime on the CPU, in float32 and with ONNX Runtime's own optimisations.

    Args:
        path: path of an ONNX file.
        threads: threads that compute, the caller's among them.

    Raises:
        SupernetError: if the file is no model that the engine can load.
    """
    return _open(path, _options(threads))


def open_kept(path: str, threads: int) -> tuple[onnxruntime.InferenceSession, Mapped | None]:
    """Open a model that gearshift exported, in its optimised form, which is made if it is missing.

    Args:
        path: path of an ONNX file.
        threads: threads that compute, the caller's among them.

    Returns:
        The session, and the file of weights that it maps; None where the optimised form can't be written.

    Raises:
        SupernetError: if the file is no model that the engine can load.
    """
    source = Path(path)
    kept = _kept_at(source)
    try:
        return _open_kept(kept, threads)
    except (OSError, ValueError, KeyError):  # missing or damaged; a SupernetError is a ValueError
        shutil.rmtree(kept, ignore_errors=True)
    try:
        _optimise(source, kept)
        release_memory()  # before the session allocates, since its blocks would keep much of that memory
        return _open_kept(kept, threads)
    except OSError:  # the disk is full, or the directory can't be written
        return open_model(path, threads), None


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
    return options


def _open(path: str, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the engine raises a class of its own for each way a file can be bad
        reason = " ".join(str(error).split()).removeprefix("[ONNXRuntimeError] : ")[:200]
        raise SupernetError(f"{path} is not a model that ONNX Runtime can load: {reason}") from error


# ---------------------------------------------------------------- the optimised form, a directory beside the file


def _kept_at(source: Path) -> Path:
    """Return the directory of a file's optimised form for this processor and this version of ONNX Runtime."""
    try:
        stat = source.stat()
    except OSError as error:
        raise SupernetError(f"{source} is not a model that ONNX Runtime can load: {error.strerror}") from error
    depends_on = [onnxruntime.__version__, _processor(), stat.st_size, stat.st_mtime_ns, _ALIGNMENT]
    return source.with_suffix(f".{hashlib.sha256(repr(depends_on).encode()).hexdigest()[:12]}.optimised")


@cache
def _processor() -> str:
    """Return the lines on the first processor in /proc/cpuinfo that decide on kernels and layouts."""
    lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.lower().startswith(("model", "flags", "features", "cpu part")))


def _optimise(source: Path, kept: Path) -> None:
    """Make the optimised form. It appears whole; where several processes make it at once, the first one's is kept.

    Raises:
        SupernetError: if the engine can't load the source.
        OSError: if the optimised form can't be written.
    """
    import onnx  # only here, since loading a kept form does not need it

    with TemporaryDirectory(dir=kept.parent, prefix=".optimise-") as name:
        # Opening the source with these options writes ONNX Runtime's rewritten model, with its weights apart.
        made = Path(name) / "made"
        made.mkdir()
        options = _options(threads=1)
        options.optimized_model_filepath = str(made / _MODEL)
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", _WEIGHTS)
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(_EXTERNAL_BYTES)
        )
        _open(str(source), options)
        model = onnx.load(str(made / _MODEL), load_external_data=False)
        _align(model, made / _WEIGHTS)
        onnx.save(model, str(made / _MODEL))
        prepacks = not _multiplies_single_rows(onnx.load(str(source), load_external_data=False))
        # The checksums reveal a file that was changed later.
        crc = {file.name: _crc(file) for file in made.iterdir()}
        (made / _ABOUT).write_text(json.dumps({"crc": crc, "prepacks": prepacks}))
        try:
            made.rename(kept)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # these two: another process made it meanwhile
                raise


def _align(model: onnx.ModelProto, weights: Path) -> None:
    """Move each tensor in a model's file of weights to a multiple of `_ALIGNMENT`."""
    content = weights.read_bytes() if weights.exists() else b""
    end = 0
    with weights.open("wb") as file:
        for tensor in model.graph.initializer:
            place = {entry.key: entry for entry in tensor.external_data}
            if place:
                start, length = int(place["offset"].value), int(place["length"].value)
                place["offset"].value = str(end)
                end += file.write(content[start : start + length] + bytes(-length % _ALIGNMENT))


def _multiplies_single_rows(model: onnx.ModelProto) -> bool:
    """Return True if all matrix products of a network with its weights are of one row.

    Then repacking their weights gains nothing, and it would cost memory: each session has repacked weights of its own.
    """
    shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.value_info}
    weights = {tensor.name for tensor in model.graph.initializer}
    products = [
        shapes.get(node.input[0], ())
        for node in model.graph.node
        if node.op_type in ("Gemm", "MatMul") and node.input[1] in weights
    ]
    return all(dims and math.prod(dim.dim_value for dim in dims[:-1]) == 1 for dims in products)


def _open_kept(kept: Path, threads: int) -> tuple[onnxruntime.InferenceSession, Mapped | None]:
    """Open a session of an optimised form.

    Raises:
        OSError: if the form does not exist.
        ValueError, KeyError: if a file of it was changed since it was made.
    """
    about = json.loads((kept / _ABOUT).read_text())
    for name, crc in about["crc"].items():
        if _crc(kept / name) != crc:
            raise ValueError(f"{kept / name} was changed since it was made")
    options = _options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "0" if about["prepacks"] else "1")
    options.add_session_config_entry("session.use_env_allocators", "1")
    weights_mb = (kept / _WEIGHTS).stat().st_size / 1e6
    session = _open(str(kept / _MODEL), options)
    return session, Mapped(str(kept), weights_mb) if weights_mb else None


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


@cache
def share_memory() -> None:
    """Register one memory arena for all sessions: one network runs at a time, and the next one reuses its memory."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    as_requested = {
        "arena_extend_strategy": 1,
        "max_mem": 0,
        "initial_chunk_size_bytes": -1,
        "max_dead_bytes_per_chunk": -1,
    }
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(as_requested))
