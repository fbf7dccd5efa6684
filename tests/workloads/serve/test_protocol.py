"""What is written can be read back, by us and by Triton's client, and what is malformed is refused by name."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from supernets.outputs import Outputs
from supernets.task import TEXT, Form
from workloads.serve import protocol, tensors
from workloads.serve.protocol import Body, InferRequest
from workloads.serve.refused import RefusedError

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
NUMBERS = st.sampled_from(sorted(tensors.TYPES)).flatmap(
    lambda name: arrays.arrays(
        tensors.TYPES[name],
        SHAPES,
        elements={"allow_nan": False, "allow_infinity": False} if name[:2] == "FP" else None,
    )
)
TEXTS = arrays.arrays(object, SHAPES, elements=st.text(max_size=5).map(str.encode), fill=st.nothing())


def written(*given: tuple[str, np.ndarray, bool], **more: Any) -> Body:
    """Return the body of a request for tensors of a name, with values, raw or not."""
    inputs, raws = [], []
    for name, values, raw in given:
        entry = {"name": name, "datatype": tensors.datatype_of(values.dtype), "shape": list(values.shape)}
        if raw:
            raws.append(tensors.to_raw(values))
            entry["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            entry["data"] = tensors.to_json(values)
        inputs.append(entry)
    head = json.dumps({"inputs": inputs, **more}).encode()
    return Body(b"".join([head, *raws]), len(head)) if raws else Body(head)


@given(given=st.lists(st.tuples(NUMBERS | TEXTS, st.booleans()), min_size=1, max_size=3))
@settings(max_examples=50)
def test_tensors_arrive_as_they_were_sent(given):
    body = written(*((f"t{number}", values, raw) for number, (values, raw) in enumerate(given)))
    request = protocol.read_request(body)
    for tensor, (values, _) in zip(request.inputs, given, strict=True):
        assert tensor.values.dtype == values.dtype
        assert tensor.values.shape == values.shape
        assert tensor.values.tolist() == values.tolist()


@given(values=NUMBERS | TEXTS)
def test_json_may_be_nested_by_axes(values):
    nested = values.tolist() if values.dtype != object else np.vectorize(bytes.decode, otypes=[object])(values).tolist()
    read = tensors.from_json("x", tensors.datatype_of(values.dtype), values.shape, nested) if values.size else values
    assert read.tolist() == values.tolist()


@given(values=NUMBERS | TEXTS, raw=st.booleans(), cut=st.data())
def test_a_body_that_is_cut_or_longer_is_refused(values, raw, cut):
    body = written(("x", values, raw))
    end = cut.draw(st.integers(0, len(body.content) - 1))
    length = body.json_length
    content = body.content[:end]
    shortened = Body(content, None if length is None else min(length, len(content)))
    with pytest.raises(RefusedError):
        protocol.read_request(shortened)
    with pytest.raises(RefusedError):
        protocol.read_request(Body(body.content + b"1", body.json_length))


@given(
    given=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda one: (
            st.lists(one)
            | st.dictionaries(
                st.sampled_from(
                    ["inputs", "name", "shape", "datatype", "data", "parameters", "binary_data_size", "outputs", "id"]
                ),
                one,
            )
        ),
    )
)
@settings(max_examples=60)
def test_whatever_json_comes_is_read_or_refused(given):
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": given}
    for value in (
        given,
        {"inputs": given},
        {"inputs": [given]},
        {"inputs": [tensor]},
        {"inputs": [{**tensor, "data": [1], "shape": given}]},
    ):
        with suppress(RefusedError):
            protocol.read_request(Body(json.dumps(value).encode()))


X = {"name": "x", "datatype": "INT8", "shape": [2], "data": [1, 2]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"{", "the body must be JSON"),
        (b"[]", r"the body must be a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"inputs": [NaN]}', "NaN is no number of JSON"),
        ({}, "inputs must be a list of at least one tensor, not None"),
        ({"inputs": [X], "id": 7}, "id must be a text"),
        ({"inputs": [{**X, "data": [1, 300]}]}, r"inputs\[0\].data must be from -128 to 127 for INT8, not 1 to 300"),
        ({"inputs": [{**X, "data": [1, 2.5]}]}, r"inputs\[0\].data must be whole numbers for INT8; it has 2.5"),
        ({"inputs": [{**X, "data": [1, "2"]}]}, r"it has '2'"),
        ({"inputs": [{**X, "data": [[1], [2, 3]]}]}, "lists of equal length"),
        ({"inputs": [{**X, "data": [1]}]}, r"has the shape \[1\], and inputs\[0\].shape says \[2\]"),
        ({"inputs": [{**X, "datatype": "INT9"}]}, r"datatype must be one of .*, not 'INT9'. Did you mean 'INT8'"),
        ({"inputs": [{**X, "datatype": "BF16"}]}, "send FP32"),
        ({"inputs": [{**X, "shape": [-1]}]}, r"inputs\[0\].shape must be a list of whole numbers"),
        ({"inputs": [{**X, "shape": [2**20, 2**20]}]}, "values at the most"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 2}}]}, "has both data and"),
        ({"inputs": [{"name": "x", "datatype": "INT8", "shape": [2]}]}, "must have data, or"),
        ({"inputs": [{**X, "datatype": "FP16", "data": [1e6, 1]}]}, "whose largest number is 65504"),
        ({"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}, "classification"),
        ({"inputs": [{**X, "parameters": {"shared_memory_region": "a"}}]}, "shared memory is not served"),
    ],
)
def test_a_refusal_names_the_field_the_value_and_the_fix(given, said):
    with pytest.raises(RefusedError, match=said):
        protocol.read_request(Body(given if isinstance(given, bytes) else json.dumps(given).encode()))


@pytest.mark.parametrize("header", ["-1", "x", "9" * 30, "3", "²"])
def test_a_length_of_json_that_can_not_be_is_refused(header):
    with pytest.raises(RefusedError, match="Inference-Header-Content-Length must be"):
        protocol.json_length(header, b"{}")


def test_json_has_a_bound_that_raw_bytes_do_not_count_to():
    big = np.zeros(protocol.MOST_JSON_BYTES // 3 + 1, np.uint8)
    assert protocol.read_request(written(("x", np.tile(big, 4), True))).inputs[0].values.size == 4 * big.size
    with pytest.raises(RefusedError, match="send tensors as raw bytes") as raised:
        protocol.read_request(written(("x", big, False)))
    assert raised.value.status == 413


PICTURE = Form(name="x", dtype="uint8", shape=(-1, 4))


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("y", np.zeros((2, 4), np.uint8), r"inputs\[0\].name must be 'x', not 'y'"),
        ("x", np.zeros((2, 4), np.float32), r"inputs\[0\].datatype must be UINT8, not FP32"),
        ("x", np.zeros((2, 5), np.uint8), r"inputs\[0\].shape must be \[-1, 4\], .* not \[2, 5\]"),
        ("x", np.zeros((0, 4), np.uint8), "any length of at least 1"),
        ("x", np.zeros((1, 2, 4), np.uint8), "shape must be"),
    ],
)
def test_an_input_must_have_the_form_that_the_application_takes(name, values, said):
    request = protocol.read_request(written((name, values, True)))
    with pytest.raises(RefusedError, match=said):
        protocol.payload_of(request, PICTURE)


def test_texts_go_in_and_come_out():
    request = protocol.read_request(written(("x", np.array([b"gr\xc3\xbcn"], object), True)))
    form = Form(name="x", dtype=TEXT, shape=(1,))
    assert protocol.payload_of(request, form) == "grün"
    (tensor,) = protocol.tensors_of("grün", (Form(name="y", dtype=TEXT, shape=(1,)),))
    body = protocol.write_response("app", request, [tensor], {"subnet": "small"})
    answer = json.loads(body.content)
    assert answer["outputs"] == [{"name": "y", "datatype": "BYTES", "shape": [1], "data": ["grün"]}]
    assert (answer["model_name"], answer["parameters"]) == ("app", {"subnet": "small"})


def test_several_outputs_come_by_name_as_each_was_asked_for():
    output = Outputs(["scores", "map"], [np.array([[0.5, np.inf]], np.float32), [{0: 0.25}]])
    found = protocol.tensors_of(output, ())
    asked = {"outputs": [{"name": "map"}, {"name": "scores", "parameters": {"binary_data": True}}], "id": "7"}
    request = protocol.read_request(written(("x", np.zeros(1, np.int8), False), **asked))
    body = protocol.write_response("app", request, found, {})
    assert body.json_length is not None
    answer = json.loads(body.content[: body.json_length])
    assert answer["id"] == "7"
    assert answer["outputs"][0]["data"] == ['[{"0": 0.25}]']
    assert np.frombuffer(body.content[body.json_length :], np.float32).tolist() == [0.5, np.inf]
    everything = protocol.write_response("app", InferRequest(id=None, inputs=()), found, {})
    assert json.loads(everything.content)["outputs"][0]["data"] == [0.5, None]
    with pytest.raises(RefusedError, match=r"outputs\[1\].name must be one of map, not 'scores'"):
        protocol.check_outputs(request, (Form(name="map", dtype=TEXT, shape=(1,)),))
