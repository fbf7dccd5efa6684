"""Loading weights: files that fit are taken over exactly, others are refused with one clear message."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import supernets
from helpers.tiny_space import TINY, lived_in, off_by, pictures
from supernets import SupernetError
from supernets.catalog import load, names
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.mobilenet import ElasticMobileNetV3
from supernets.ofa.spaces import OFA_PLATES
from supernets.weights_file import save


@pytest.fixture(scope="module")
def tiny() -> ElasticMobileNetV3:
    return lived_in(TINY)


def weights_of(supernet: ElasticSupernet) -> dict[str, torch.Tensor]:
    return supernet.network.state_dict()


def assert_same(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


# ---------------------------------------------------------------- what fits


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "under state_dict"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_a_checkpoint_of_torch_is_taken_over(
    tiny: ElasticMobileNetV3, tmp_path: Path, wrapped: bool, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    state = tiny.state_dict()
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, path)
    supernet = ElasticSupernet(TINY, path, "given")
    assert supernet.weights_source == "given"
    assert_same(weights_of(supernet), state)


def test_a_saved_supernet_comes_back_with_its_ladder_and_its_statistics(
    tiny: ElasticMobileNetV3, tmp_path: Path
) -> None:
    path = tmp_path / "made" / "weights.safetensors"
    rungs = [
        replace(TINY.subnet(TINY.smallest, 16), accuracy=0.5, accuracy_source="measured"),
        replace(TINY.subnet(TINY.largest, 24), accuracy=0.75, accuracy_source="published"),
    ]
    modules = [tiny.extract(rung.knobs) for rung in rungs]
    own = []
    for number, module in enumerate(modules):
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer += number + 0.5
        own.append({n: t for n, t in module.named_buffers() if n.endswith(("running_mean", "running_var"))})
    save(path, tiny.state_dict(), list(zip(rungs, own, strict=True)), {"recipe": "by hand"})
    supernet = ElasticSupernet(TINY, path, "given")
    assert supernet.ladder() == tuple(rungs)
    assert_same(weights_of(supernet), tiny.state_dict())
    x = pictures(TINY, 2, 16)
    for rung, module in zip(rungs, modules, strict=True):
        assert_same(supernet.module(rung).state_dict(), module.state_dict())
        with torch.no_grad():
            assert off_by(module(x), tiny.extract(rung.knobs)(x)) > 1e-2  # its own statistics matter
    # Off the ladder: inherited statistics, and an accuracy that nobody knows.
    between = supernet.subnet(TINY.smallest.kernel, TINY.smallest.expand, TINY.smallest.depth, 24)
    assert (between.accuracy, between.accuracy_source) == (None, "unknown")
    assert_same(supernet.module(between).state_dict(), tiny.extract(between.knobs).state_dict())
    # On it: the rung, whatever unused blocks were said to be.
    kernel = (3, 7, 7, 3, 5, 5)
    assert supernet.subnet(kernel, TINY.smallest.expand, TINY.smallest.depth, 16) == rungs[0]


def test_half_precision_weights_are_taken_over(tiny: ElasticMobileNetV3, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    halved = {name: t.to(torch.bfloat16) if t.is_floating_point() else t for name, t in tiny.state_dict().items()}
    save_file(halved, path)
    taken = weights_of(ElasticSupernet(TINY, path, "given"))
    assert_same(taken, {name: t.to(taken[name].dtype) for name, t in halved.items()})


def test_weights_without_a_ladder_offer_the_two_ends(tiny: ElasticMobileNetV3, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(tiny.state_dict(), path)
    smallest, largest = ElasticSupernet(TINY, path, "given").ladder()
    assert (smallest.knobs, smallest.resolution, smallest.accuracy) == (TINY.smallest, 16, None)
    assert (largest.knobs, largest.resolution, largest.accuracy) == (TINY.largest, 24, None)


def test_random_weights_are_said_to_be_random_and_are_always_the_same() -> None:
    one, other = (ElasticSupernet(TINY, None, "shipped") for _ in range(2))
    assert one.weights_source == "random"
    state = torch.random.get_rng_state()
    assert_same(weights_of(one), weights_of(other))
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's own randomness goes on undisturbed
    assert one.weights_hash == other.weights_hash


def test_the_hash_is_of_the_weights(tiny: ElasticMobileNetV3, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in "abc"]
    save(paths[0], tiny.state_dict(), [], {})
    paths[1].write_bytes(paths[0].read_bytes())
    save(paths[2], lived_in(TINY, seed=1).state_dict(), [], {})
    a, b, c = (ElasticSupernet(TINY, path, "given").weights_hash for path in paths)
    assert a == b != c


def test_reading_a_ladder_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, supernets;"
        "ladder = supernets.load('ofa-plates').ladder();"
        "assert len(ladder) >= 2;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ---------------------------------------------------------------- what does not


def refusal(path: Path, name: str = "ofa-plates") -> str:
    """Return the message with which weights are refused."""
    with pytest.raises(SupernetError) as caught:
        _ = load(name, path).network
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize(
    ("name", "mend"),
    [("ofa-plate", "Did you mean 'ofa-plates'?"), ("OFA_plates", "Did you mean"), ("zebra", "Known: autoslim-mbv1, ")],
)
def test_an_unknown_name_is_refused(name: str, mend: str) -> None:
    with pytest.raises(SupernetError) as caught:
        load(name)
    assert repr(name) in str(caught.value)
    assert mend in str(caught.value)
    assert "ofa-plates" in names()


@pytest.mark.parametrize("name", ["absent.safetensors", "absent.pth", "."])
def test_missing_weights_are_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(SupernetError, match="no such file"):
        load("ofa-plates", tmp_path / name)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tiny: ElasticMobileNetV3, tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save(tiny.state_dict(), path)
    else:
        save(path, tiny.state_dict(), [], {})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "can't be read" in refusal(path)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.just(b""), st.just(b"\x80\x02"), st.just(b"PK\x03\x04")),
    st.binary(max_size=200),
    st.sampled_from([".safetensors", ".pth", ""]),
)
@pytest.mark.filterwarnings("ignore")
def test_garbage_is_refused(tmp_path: Path, magic: bytes, garbage: bytes, suffix: str) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(magic + garbage)
    refusal(path)


class Trap:
    """An object whose pickle is a command that makes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (open, (str(self.proof), "w"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("by", ["torch.save", "pickle"])
def test_a_file_with_code_is_refused_and_the_code_not_run(tmp_path: Path, suffix: str, by: str) -> None:
    path, proof = tmp_path / f"trap{suffix}", tmp_path / "proof"
    if by == "torch.save":
        torch.save({"state_dict": {}, "extra": Trap(proof)}, path)
    else:
        path.write_bytes(pickle.dumps({"state_dict": Trap(proof)}, protocol=2))
    assert "can't be read" in refusal(path)
    assert not proof.exists()
    if suffix == ".pth":  # the trap works
        torch.load(path, weights_only=False) if by == "torch.save" else pickle.loads(path.read_bytes())
        assert proof.exists()


@pytest.mark.parametrize("content", [[1, 2], {"net": {"a": torch.zeros(1)}}, torch.zeros(3)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    assert "holds no state dict" in refusal(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_another_width_are_refused_by_name_and_shapes(tmp_path: Path, suffix: str) -> None:
    wider = replace(OFA_PLATES, stem_width=32)
    state = ElasticMobileNetV3(wider).state_dict()
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    message = refusal(path)
    assert "'stem.weight'" in message
    assert "(32, 1, 3, 3)" in message
    assert "(24, 1, 3, 3)" in message


def test_weights_that_lack_a_tensor_are_refused_by_its_name(tmp_path: Path) -> None:
    state = ElasticMobileNetV3(OFA_PLATES).state_dict()
    del state["blocks.2.project.weight"]
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    assert "lacks 'blocks.2.project.weight'" in refusal(path)


@pytest.mark.parametrize(
    "ladder",
    [
        "not JSON",
        "[1]",
        '[{"kernel": [3]}]',
        json.dumps([{"kernel": [3], "expand": [2], "depth": [1], "resolution": 16}]),
    ],
)
def test_a_ladder_of_another_space_is_refused(tmp_path: Path, ladder: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"ladder": ladder})
    with pytest.raises(SupernetError, match="brings a ladder that is none of ofa-plates"):
        load("ofa-plates", path).ladder()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": [9] * 9}, "kernel 9 is not in"),
        ({"depth": [1]}, "depth of ofa-plates takes 3 values"),
        ({"resolution": 20}, "resolution 20"),
    ],
)
def test_a_point_outside_the_space_is_refused(change: dict[str, object], message: str) -> None:
    point = {"kernel": [3] * 9, "expand": [2] * 9, "depth": [1] * 3, "resolution": 16} | change
    with pytest.raises(SupernetError, match=message):
        load("ofa-plates").subnet(**point)  # type: ignore[arg-type]


def test_a_sub_network_is_exported_and_prepared(tiny: ElasticMobileNetV3, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(path, tiny.state_dict(), [], {})
    supernet = ElasticSupernet(TINY, path, "given")
    x = pictures(TINY, 1, 16)
    with torch.no_grad():
        expected = tiny.extract(TINY.smallest)(x)
    artifact = supernets.export(supernet, TINY.subnet(TINY.smallest, 16), tmp_path)
    actual = supernets.engines.prepare(artifact)(x.numpy())
    assert actual.dtype == np.float32
    assert off_by(torch.from_numpy(actual), expected) < 1e-4
