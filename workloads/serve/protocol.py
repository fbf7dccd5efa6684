"""The Open Inference Protocol (KServe v2) over HTTP with the binary tensor data extension. Does no I/O.

A body is JSON; where the header `Inference-Header-Content-Length` says how many bytes of it are JSON, the raw bytes of
tensors follow, in the order in which JSON names them. The specification: https://kserve.github.io/open-inference-protocol
and, for the extension, https://docs.nvidia.com/deeplearning/triton-inference-server (protocol/extension_binary_data).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from scheduler.errors import did_you_mean, shown
from supernets.outputs import Outputs
from supernets.task import TEXT, Form
from workloads.serve import tensors
from workloads.serve.refused import RefusedError
from workloads.serve.tensors import BYTES, Tensor

HEADER_LENGTH = "inference-header-content-length"
"""Name of the header that says how many bytes of a body are JSON."""

MOST_JSON_BYTES = 8 * 2**20
"""Most bytes of JSON in a body: read into Python's objects they take up to 20 times as much. Raw bytes don't."""

MOST_ID = 1000
"""Most characters of a request's `id`, which is sent back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """An output that a client wants.

    Attributes:
        name: its name.
        raw: True for raw bytes, False for JSON.
    """

    name: str
    raw: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InferRequest:
    """A request for an inference.

    Attributes:
        id: the client's name of it, which is sent back; None for none.
        inputs: its tensors.
        outputs: the outputs that it wants; none for all.
        raw: True if all outputs are wanted as raw bytes, where `outputs` does not say otherwise.
    """

    id: str | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Asked, ...] = ()
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """A body, and the length of its JSON where raw bytes follow; None where all of it is JSON."""

    content: bytes
    json_length: int | None = field(default=None)


def read_json(content: bytes | memoryview, what: str = "the body") -> Any:
    """Return the object that a body of JSON holds.

    Raises:
        RefusedError: if it is none, or too long.
    """
    if len(content) > MOST_JSON_BYTES:
        raise RefusedError(
            f"{what} has {len(content)} bytes of JSON, and {MOST_JSON_BYTES} are the most; send tensors as raw bytes "
            "(binary_data_size)",
            413,
            reason="too_large",
        )
    try:
        value = _DECODER.decode(str(content, "utf-8"))
    except RecursionError:
        raise RefusedError(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise RefusedError(f"{what} must be JSON: {error}") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{what} must be a JSON object, {{...}}, not {shown(value)}")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON; send such values as raw bytes")


# Made once: `json.loads` and `json.dumps` with options make one for each call.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def json_length(header: str | None, content: bytes) -> int | None:
    """Return the value of the header `Inference-Header-Content-Length`; None where it was not sent.

    Raises:
        RefusedError: if it is no number, or beyond the body.
    """
    if header is None:
        return None
    if not (header.isascii() and header.isdigit()) or int(header[:20]) > len(content):
        raise RefusedError(
            f"Inference-Header-Content-Length must be the length of the JSON in the body, 0 to {len(content)}, not "
            f"{shown(header)}"
        )
    return int(header)


def read_request(body: Body) -> InferRequest:
    """Return the request that a body holds.

    Raises:
        RefusedError: if it holds none.
    """
    whole = memoryview(body.content)
    end = len(whole) if body.json_length is None else body.json_length
    given = read_json(whole[:end])
    name = given.get("id")
    if name is not None and not (isinstance(name, str) and len(name) <= MOST_ID):
        raise RefusedError(f"id must be a text of at most {MOST_ID} characters, not {shown(name)}")
    listed = given.get("inputs")
    if not isinstance(listed, list) or not listed:
        raise RefusedError(f"inputs must be a list of at least one tensor, not {shown(listed)}")
    inputs, raw = [], whole[end:]
    for number, one in enumerate(listed):
        tensor, raw = _input(f"inputs[{number}]", one, raw)
        inputs.append(tensor)
    if raw:
        raise RefusedError(
            f"the body has {len(raw)} bytes more than its JSON and the binary_data_size of its inputs say"
        )
    parameters = _parameters("parameters", given.get("parameters"))
    as_raw = _flag("parameters.binary_data_output", parameters.get("binary_data_output", False))
    wanted = given.get("outputs", [])
    if not isinstance(wanted, list):
        raise RefusedError(f"outputs must be a list, not {shown(wanted)}")
    outputs = tuple(_asked(f"outputs[{number}]", one, as_raw) for number, one in enumerate(wanted))
    return InferRequest(id=name, inputs=tuple(inputs), outputs=outputs, raw=as_raw)


def _input(where: str, given: object, raw: memoryview) -> tuple[Tensor, memoryview]:
    """Return a tensor of a request, and the raw bytes that are left behind its own."""
    if not isinstance(given, dict):
        raise RefusedError(f"{where} must be an object with name, shape, datatype and data, not {shown(given)}")
    name = _name(where, given)
    datatype, shape = (
        tensors.check_datatype(where, given.get("datatype")),
        tensors.check_shape(where, given.get("shape")),
    )
    parameters = _parameters(f"{where}.parameters", given.get("parameters"))
    if "shared_memory_region" in parameters:
        raise RefusedError(
            f"{where}.parameters.shared_memory_region: shared memory is not served; send the data itself"
        )
    size = parameters.get("binary_data_size")
    if size is None:
        if "data" not in given:
            raise RefusedError(f"{where} must have data, or parameters.binary_data_size and raw bytes behind the JSON")
        values = tensors.from_json(where, datatype, shape, given["data"])
        return Tensor(name=name, datatype=datatype, values=values), raw
    if "data" in given:
        raise RefusedError(f"{where} has both data and parameters.binary_data_size; give one of them")
    if type(size) is not int or not 0 <= size <= len(raw):
        raise RefusedError(
            f"{where}.parameters.binary_data_size must be at most the {len(raw)} bytes that are left behind the JSON, "
            f"not {shown(size)}; the header Inference-Header-Content-Length says where these begin"
        )
    values = tensors.from_raw(where, datatype, shape, raw[:size])
    return Tensor(name=name, datatype=datatype, values=values), raw[size:]


def _asked(where: str, given: object, raw: bool) -> Asked:
    if not isinstance(given, dict):
        raise RefusedError(f"{where} must be an object with a name, not {shown(given)}")
    parameters = _parameters(f"{where}.parameters", given.get("parameters"))
    if parameters.get("classification"):
        raise RefusedError(f"{where}.parameters.classification is not served; take the output itself")
    if "shared_memory_region" in parameters:
        raise RefusedError(f"{where}.parameters.shared_memory_region: shared memory is not served; leave it out")
    return Asked(
        name=_name(where, given), raw=_flag(f"{where}.parameters.binary_data", parameters.get("binary_data", raw))
    )


def _name(where: str, given: Mapping[str, Any]) -> str:
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise RefusedError(f"{where}.name must be a text, not {shown(name)}")
    return name


def _parameters(where: str, given: object) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise RefusedError(f"{where} must be an object, not {shown(given)}")
    return given


def _flag(where: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise RefusedError(f"{where} must be true or false, not {shown(given)}")
    return given


# ---------------------------------------------------------------- between tensors and what tasks take and give


def payload_of(request: InferRequest, form: Form) -> object:
    """Return what an application's task takes: an array, or a text.

    Args:
        request: the request.
        form: the form of the application's input.

    Raises:
        RefusedError: if it has another name, datatype or shape.
    """
    if len(request.inputs) != 1:
        raise RefusedError(f"inputs must have one tensor, {form.name!r}, not {len(request.inputs)}")
    (tensor,) = request.inputs
    if tensor.name != form.name:
        raise RefusedError(f"inputs[0].name must be {form.name!r}, not {shown(tensor.name)}")
    datatype = datatype_of(form)
    if tensor.datatype != datatype:
        raise RefusedError(f"inputs[0].datatype must be {datatype}, not {tensor.datatype}")
    shape = tensor.values.shape
    if form.dtype == TEXT:
        if tensor.values.size != 1:
            raise RefusedError(f"inputs[0].shape must be [1], one text, not {list(shape)}; send several requests")
        try:
            return str(tensor.values.reshape(-1)[0], "utf-8")
        except UnicodeDecodeError as error:
            raise RefusedError(f"inputs[0] must be a text in UTF-8: {error}") from None
    if form.shape is not None and not _fits(shape, form.shape):
        raise RefusedError(
            f"inputs[0].shape must be {list(form.shape)}, where -1 is any length of at least 1, not {list(shape)}"
        )
    return tensor.values


def _fits(shape: Sequence[int], form: Sequence[int]) -> bool:
    return len(shape) == len(form) and all(
        axis == wanted or (wanted == -1 and axis > 0) for axis, wanted in zip(shape, form, strict=True)
    )


def check_outputs(request: InferRequest, forms: Sequence[Form]) -> None:
    """Refuse a request for outputs that an application does not have.

    Raises:
        RefusedError: if it has no output of such a name.
    """
    names = [form.name for form in forms]
    for number, asked in enumerate(request.outputs):
        if asked.name not in names:
            raise RefusedError(
                f"outputs[{number}].name must be one of {', '.join(names)}, not {shown(asked.name)}."
                f"{did_you_mean(asked.name, names)}"
            )


def tensors_of(output: object, forms: Sequence[Form]) -> list[Tensor]:
    """Return the tensors of an output, as a task gives it to clients.

    What is no array is a text: a list or a map, as a classifier may give its probabilities, is written as JSON.

    Args:
        output: an array, a text, or `Outputs`.
        forms: forms of the outputs, which have their names.
    """
    if isinstance(output, Outputs):
        return [_tensor(name, one) for name, one in zip(output.names, output, strict=True)]
    return [_tensor(forms[0].name, output)]


def _tensor(name: str, one: object) -> Tensor:
    values = one if isinstance(one, np.ndarray | np.generic) else None
    if values is not None and tensors.datatype_of(values.dtype) != BYTES:
        return Tensor(name=name, datatype=tensors.datatype_of(values.dtype), values=np.asarray(values))
    if isinstance(values, np.ndarray):  # of texts
        texts = [_encoded(text) for text in values.reshape(-1).tolist()]
        shape = values.shape
    else:
        texts, shape = [_encoded(one)], (1,)
    made = np.empty(len(texts), dtype=object)
    made[:] = texts
    return Tensor(name=name, datatype=BYTES, values=made.reshape(shape))


def _encoded(one: object) -> bytes:
    if isinstance(one, bytes):
        return one
    if isinstance(one, str):
        return one.encode()
    return json.dumps(one, default=_plain).encode()


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def write_response(
    app: str,
    request: InferRequest,
    outputs: Sequence[Tensor],
    parameters: Mapping[str, str | float | bool],
) -> Body:
    """Return the body of a response.

    Args:
        app: name of the application.
        request: what was asked.
        outputs: all outputs that there are.
        parameters: what is said besides.

    Raises:
        RefusedError: if an output can't be had in the way in which it was asked for.
    """
    by_name = {tensor.name: tensor for tensor in outputs}
    asked = request.outputs or tuple(Asked(name=name, raw=request.raw) for name in by_name)
    described, raws = [], []
    for one in asked:
        tensor = by_name[one.name]
        entry: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.values.shape),
        }
        if one.raw:
            raws.append(tensors.to_raw(tensor.values))
            entry["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            entry["data"] = tensors.to_json(tensor.values)
        described.append(entry)
    said: dict[str, Any] = {"model_name": app, "model_version": VERSION}
    if request.id is not None:
        said["id"] = request.id
    written = _ENCODER.encode({**said, "parameters": parameters, "outputs": described}).encode()
    if not raws:
        return Body(written)
    return Body(b"".join([written, *raws]), len(written))


# ---------------------------------------------------------------- metadata

VERSION = "1"
"""The one version that each application has."""


def datatype_of(form: Form) -> str:
    """Return the protocol's name of a form's type."""
    return BYTES if form.dtype == TEXT else tensors.datatype_of(np.dtype(form.dtype))


def model_metadata(app: str, platform: str, takes: Form, gives: Sequence[Form]) -> dict[str, Any]:
    """Return the metadata of an application."""
    return {
        "name": app,
        "versions": [VERSION],
        "platform": platform,
        "inputs": [_described(takes)],
        "outputs": [_described(form) for form in gives],
    }


def _described(form: Form) -> dict[str, Any]:
    return {
        "name": form.name,
        "datatype": datatype_of(form),
        "shape": [-1] if form.shape is None else list(form.shape),
    }
