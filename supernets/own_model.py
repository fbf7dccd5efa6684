"""A user's own ONNX file: what it takes and gives, the files of its weights, and a refusal of what can't be served.

It reads the file's description and runs no engine. What only an engine finds out, `engines.tried` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supernets.artifact import Artifact
from supernets.errors import SupernetError, known_options, shown

if TYPE_CHECKING:
    import onnx

    from supernets.pictures.preparing import Images

_FLOATS = {"FLOAT": "float32", "FLOAT16": "float16", "DOUBLE": "float64"}
"""The types of numbers that a model may take, by ONNX's names; inputs are float32, and are turned into these."""
_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"))
"""The sets of operators that one of the engines has."""
_LARGEST_BYTES = 2**31 - 1
"""Largest file in the format of ONNX (protobuf counts bytes in 31 bits)."""
_LFS = b"version https://git-lfs.github.com/spec"
_OTHER_FILES: Mapping[bytes, str] = {
    _LFS: "is a pointer of Git LFS and not the file itself; fetch it with `git lfs pull`",
    b"PK\x03\x04": "is a zip archive, as torch.save and Keras write them, and no ONNX model; export it with "
    "torch.onnx.export or tf2onnx",
    b"\x89HDF": "is an HDF5 file, as Keras writes it, and no ONNX model; export it with tf2onnx",
    b"\x80\x02": "is a pickle, as torch.save writes it, and no ONNX model; export it with torch.onnx.export",
    b"<": "is a web page or XML, and no ONNX model; download the file itself",
}
"""What users have under the name of a model, by the first bytes, and the rest of the message."""


def read(subnet: str, path: Path, output: str | None = None, images: Images | None = None) -> Artifact:
    """Read what a user's own ONNX file takes and gives.

    The model must take one input of floats and of a fixed shape, with a batch of one or of any size. Height and width
    may be open where `images` gives them.

    Args:
        subnet: its name on the ladder.
        path: the file; links are followed only to read it, since weights beside it go by the path that was given.
        output: name of the one output that is wanted; None for all.
        images: how pictures become its input; None where they don't.

    Raises:
        SupernetError: if the file can't be read, is no ONNX model, takes anything else, lacks weights or that output.
    """
    content = _content(path)
    model = _parsed(path, content)
    taken, shape = _input(path, model.graph, images)
    return Artifact(
        subnet=subnet,
        path=str(path),
        input_shape=shape,
        weights_hash=_hash(content, _weight_files(path, model)),
        input_type=taken,
        outputs=_outputs(path, model.graph, output),
    )


def suspicion(path: Path) -> str:
    """Return why the engines may refuse a file that could be read, with the fix; empty if nothing is conspicuous."""
    import onnx

    model = _parsed(path, _content(path))
    own = {function.domain for function in model.functions}
    foreign = sorted(
        {f"{node.domain}::{node.op_type}" for node in model.graph.node if node.domain not in _DOMAINS | own}
    )
    if foreign:
        return (
            f"It has operators that are not ONNX's, {', '.join(foreign[:3])}, and libraries of operators can't be "
            "loaded; export it with ONNX's own"
        )
    if model.ir_version > onnx.IR_VERSION:
        return (
            f"It is of IR version {model.ir_version}, newer than {onnx.IR_VERSION} of the installed onnx; export it "
            "with an older onnx, or install newer engines (pip install -U onnxruntime openvino)"
        )
    newest = onnx.defs.onnx_opset_version()
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset > newest:
        return (
            f"It is of opset {opset}, newer than {newest} of the installed onnx; export it with a lower opset, or "
            "install newer engines (pip install -U onnxruntime openvino)"
        )
    return ""


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise SupernetError(f"{path} is a directory; give the .onnx file in it")
    try:
        size = path.stat().st_size
        if size > _LARGEST_BYTES:
            raise SupernetError(
                f"{path} has {size / 1e9:.1f} GB, and an ONNX file has at most 2.1; save its weights apart, with "
                "onnx.save(model, path, save_as_external_data=True)"
            )
        content = path.read_bytes()
    except OSError as error:
        raise SupernetError(f"{path} can't be read: {error.strerror}") from None
    if not content:
        raise SupernetError(f"{path} is empty; download or export it again")
    for begin, what in _OTHER_FILES.items():
        if content.startswith(begin):
            raise SupernetError(f"{path} {what}")
    return content


def _parsed(path: Path, content: bytes) -> onnx.ModelProto:
    # Only here: the built-in networks need no onnx to be served.
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # a class of protobuf's, whose modules have no types
        model = onnx.ModelProto()
    if not model.graph.node or not model.graph.output:
        raise SupernetError(f"{path} is not an ONNX model, or is damaged; download or export it again")
    return model


# ---------------------------------------------------------------- what it takes and gives


def _input(path: Path, graph: onnx.GraphProto, images: Images | None) -> tuple[str, tuple[int, ...]]:
    """Return the type of its input's numbers and the input's shape, with a batch of one."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in constants]  # files of IR 3 list constants as inputs
    takes = ", ".join(f"{entry.name!r}: {_in_words(entry.type)}" for entry in inputs) or "none"
    if len(inputs) != 1:
        raise SupernetError(
            f"{path} must take one input; it takes {takes}. Export it with one, and make the others constants"
        )
    tensor = inputs[0].type.tensor_type
    kind = _kind(tensor.elem_type) if inputs[0].type.HasField("tensor_type") else ""
    if kind not in _FLOATS:
        raise SupernetError(
            f"{path} must take one input of type float, float16 or double; it takes {takes}. Begin it with a Cast from "
            "float"
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if sizes and sizes[0] is None:
        sizes[0] = 1  # a batch of any size
    if images is not None:
        try:
            return _FLOATS[kind], images.input_shape(sizes)
        except SupernetError as error:
            raise SupernetError(f"{path} takes {takes}: {error}") from None
    shape = tuple(size for size in sizes if size is not None)
    if not shape or len(shape) < len(sizes) or shape[0] != 1 or min(shape) < 1:
        example = ",".join(map(str, [1, *(size or 224 for size in sizes[1:])]))
        raise SupernetError(
            f"{path} must take one input of a fixed shape (1, ...); it takes {takes}. If it takes pictures, give their "
            "size, Family([...], inputs=Images(size=224)); else fix its sizes, as with python -m "
            f"onnxruntime.tools.make_dynamic_shape_fixed --input_name {inputs[0].name} "
            f"--input_shape {example} IN.onnx OUT.onnx"
        )
    return _FLOATS[kind], shape


def _outputs(path: Path, graph: onnx.GraphProto, output: str | None) -> tuple[str, ...]:
    names = tuple(_text(path, entry.name) for entry in graph.output)
    if output is None:
        return names
    if output not in names:
        raise SupernetError(f"{path} has no output {output!r}. {known_options(output, names)}")
    return (output,)


def _text(path: Path, name: str | bytes) -> str:
    """Return a name; protobuf gives bytes for one that is no text."""
    if isinstance(name, bytes):
        raise SupernetError(f"{path} is damaged: the name {shown(name)} in it is no text; download or export it again")
    return name


def _in_words(kind: onnx.TypeProto) -> str:
    """Return a type as users write it: `float (batch, 3, 224, 224)`."""
    if not kind.HasField("tensor_type"):
        return (kind.WhichOneof("value") or "unknown").removesuffix("_type")
    tensor = kind.tensor_type
    sizes = [str(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?") for dim in tensor.shape.dim]
    if not tensor.HasField("shape"):
        return f"{_kind(tensor.elem_type).lower()} of any shape"
    return f"{_kind(tensor.elem_type).lower()} ({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _kind(number: int) -> str:
    from onnx import TensorProto

    names: Mapping[int, str] = {value: name for name, value in TensorProto.DataType.items()}
    return names.get(number, f"type {number}")


# ---------------------------------------------------------------- the files of its weights


def _weight_files(path: Path, model: onnx.ModelProto) -> dict[str, Path]:
    """Return the files that hold its weights, by the names that it has for them, all of them there and whole."""
    files: dict[str, Path] = {}
    for tensor in _tensors(model):
        place = {entry.key: entry.value for entry in tensor.external_data}
        name = _text(path, place.get("location", ""))
        file = path.parent / name
        if not name or name.startswith("*"):  # an engine's own marks; the engine says what they are
            continue
        if not file.is_file():
            raise SupernetError(
                f"{path} keeps its weights in {name!r}, and there is no file {str(file)!r}; put it there"
            )
        try:
            needed = int(place.get("offset") or 0) + int(place.get("length") or 0)
        except ValueError:
            raise SupernetError(f"{path} is damaged: {tensor.name!r} is at {place}; export it again") from None
        _check_whole(path, file, needed)
        files[name] = file
    return files


def _check_whole(path: Path, file: Path, needed: int) -> None:
    try:
        size = file.stat().st_size
        if size >= needed:
            return
        with file.open("rb") as opened:
            begin = opened.read(len(_LFS))
    except OSError as error:
        raise SupernetError(f"{file}, the weights of {path}, can't be read: {error.strerror}") from None
    if begin == _LFS:
        raise SupernetError(f"{file}, the weights of {path}, {_OTHER_FILES[_LFS]}")
    raise SupernetError(
        f"{file}, the weights of {path}, has {size} bytes, and {needed} are needed; download or export it again"
    )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a model that are in other files, those of its branches and loops included."""
    from onnx import TensorProto

    graphs, nodes = [model.graph], [node for function in model.functions for node in function.node]
    while graphs or nodes:
        found: Iterable[TensorProto] = ()
        if graphs:
            graph = graphs.pop()
            nodes += graph.node
            found = graph.initializer
        else:
            for attribute in nodes.pop().attribute:
                graphs += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
                found = [*found, *attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
        yield from (tensor for tensor in found if tensor.data_location == TensorProto.EXTERNAL)


def _hash(content: bytes, files: Mapping[str, Path]) -> str:
    """Return the SHA-256 of a file and of the files of its weights; of the file itself where it has none."""
    digest = hashlib.sha256(content)
    for name, file in sorted(files.items()):
        try:
            with file.open("rb") as opened:
                digest.update(f"\0{name}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}".encode())
        except OSError as error:
            raise SupernetError(f"{file} can't be read: {error.strerror}") from None
    return digest.hexdigest()
