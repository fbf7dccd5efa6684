"""Exported sub-networks in an engine against torch: the same sub-words in all lengths, and nothing of other calls."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from helpers.tiny_seq2seq import AS_HAT, SMALL, elastic, sentences
from supernets import SupernetError, engines
from supernets.artifact import Artifact
from supernets.seq2seq.decoding import greedy
from supernets.seq2seq.exporting import export_module
from supernets.seq2seq.lengths import CAPACITIES, cap
from supernets.seq2seq.space import TRANSLATOR, Space, Transformer
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.vocabulary import END

EDGES = (1, 11, 12, 27, 28, 128)
"""Lengths of sentences: the shortest, the longest, and those whose cap is at a capacity of the cache or past it."""


def static(space: Space, architecture: Transformer) -> StaticSeq2Seq:
    net = elastic(space)
    if architecture == space.largest:
        net.embedding.data[END] = 0  # it never ends, so that every capacity is filled
    return StaticSeq2Seq(space, architecture, net.state_dict())


def words(net: StaticSeq2Seq, source: torch.Tensor) -> list[int]:
    """Return what torch makes, as an engine gives it."""
    decoded = greedy(net, source)[0]
    return decoded.words if decoded.capped else [*decoded.words, END]


def differing(net: StaticSeq2Seq, artifact: Artifact, lengths: tuple[int, ...]) -> list[int]:
    """Return the lengths of the sentences of which an engine makes something else than torch does."""
    prepared = engines.prepare(artifact)
    sources = [sentences(net.space, (length,), seed) for seed, length in enumerate(lengths)]
    return [
        length
        for length, source in zip(lengths, sources, strict=True)
        if prepared(source.numpy()).tolist() != words(net, source)
    ]


@pytest.fixture(scope="module")
def largest(tmp_path_factory: pytest.TempPathFactory) -> tuple[StaticSeq2Seq, Artifact]:
    net = static(SMALL, SMALL.largest)
    return net, export_module(net, "largest", tmp_path_factory.mktemp("largest") / "net.onnx")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export_module(static(SMALL, SMALL.smallest), "smallest", tmp_path_factory.mktemp("other") / "net.onnx")


def test_edges_are_those_of_the_capacities() -> None:
    assert {cap(length) for length in EDGES} >= {CAPACITIES[0], CAPACITIES[0] + 2, CAPACITIES[1], CAPACITIES[1] + 2}


def test_a_network_makes_what_torch_makes_with_each_capacity(largest: tuple[StaticSeq2Seq, Artifact]) -> None:
    net, artifact = largest
    assert differing(net, artifact, EDGES) == []
    made = engines.prepare(artifact)(sentences(SMALL, (128,), 1).numpy())
    assert len(made) == CAPACITIES[-1]
    assert len(set(made.tolist())) > 5  # so that a wrong place of the cache would be seen


@pytest.mark.parametrize(("space", "networks"), [(SMALL, 4), (AS_HAT, 3)])
def test_random_networks_make_what_torch_makes(space: Space, networks: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    ended = 0
    for _ in range(networks):
        net = static(space, space.random(rng))
        assert differing(net, export_module(net, "net", tmp_path / "net.onnx"), (2, 9, 21, 40)) == []
        ended += not greedy(net, sentences(space, (9,), 1))[0].capped
    assert ended > 0


@pytest.mark.parametrize("cross", [(1, 2, 3), (2, 1, 2), (3, 3, 1)])
def test_an_encoder_gives_what_each_layer_attends_to(cross: tuple[int, ...], tmp_path: Path) -> None:
    """Which words come out depends little on it in random networks, so the numbers are compared."""
    net = static(SMALL, replace(SMALL.random(np.random.default_rng(5)), cross_layers=cross, decoder_layers=3))
    artifact = export_module(net, "net", tmp_path / "net.onnx")
    session, source = engines.open_model(artifact.path), sentences(SMALL, (9,), 1)
    made = dict(
        zip([entry.name for entry in session.get_outputs()], session.run(None, {"source": source.numpy()}), strict=True)
    )
    memory = net.encode(source)
    for layer in range(3):
        keys, values = made[f"keys.{layer}"], made[f"values.{layer}"]
        assert values.shape[1] == 9 * cross[layer]
        np.testing.assert_allclose(keys, memory.keys[layer][0].transpose(1, 2).numpy(), atol=1e-5)
        np.testing.assert_allclose(values, memory.values[layer][0].numpy(), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("space", [SMALL, AS_HAT, TRANSLATOR], ids=["small", "as-hat", "translator"])
def test_many_random_networks_make_what_torch_makes(space: Space, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        net = static(space, space.random(rng))
        artifact = export_module(net, "net", tmp_path / "net.onnx")
        assert differing(net, artifact, (*EDGES, *rng.integers(2, 129, 6).tolist())) == []


def test_nothing_of_another_sentence_or_another_networks_run_is_left(
    largest: tuple[StaticSeq2Seq, Artifact], other: Artifact
) -> None:
    one, two = (sentences(SMALL, (length,), length).numpy() for length in (40, 7))
    prepared, second, another = engines.prepare(largest[1]), engines.prepare(largest[1]), engines.prepare(other)
    first = prepared(two)
    expected = first.tolist()
    for disturb in (lambda: prepared(one), lambda: another(two), lambda: second(one)):
        disturb()
        assert prepared(two).tolist() == expected
    assert first.tolist() == expected  # nor was what it returned overwritten


def test_two_threads_make_the_same(largest: tuple[StaticSeq2Seq, Artifact]) -> None:
    net, artifact = largest
    source = sentences(SMALL, (30,), 5)
    assert engines.prepare(artifact, threads=2)(source.numpy()).tolist() == words(net, source)
    one, two = (engines.prepare(artifact, threads=threads) for threads in (1, 2))
    assert one.mapped == two.mapped
    assert one.mapped is not None
    assert one.mapped.mb > 0
    with ThreadPoolExecutor(2) as pool:  # each on a thread of its own, at once
        made = list(pool.map(lambda prepared: prepared(source.numpy()).tolist(), (one, two)))
    assert made == [words(net, source)] * 2


@pytest.mark.parametrize("after", [0, 1, 40])
def test_a_call_is_stopped_between_two_sub_words(largest: tuple[StaticSeq2Seq, Artifact], after: int) -> None:
    net, artifact = largest
    prepared, source = engines.prepare(artifact), sentences(SMALL, (60,), 6)
    asked = count()
    with pytest.raises(engines.StoppedError, match=f"stopped after {after} sub-words"):
        prepared(source.numpy(), stop=lambda: next(asked) == after)
    assert next(asked) == after + 1
    assert prepared(source.numpy(), stop=lambda: False).tolist() == words(net, source)


@pytest.mark.parametrize("shape", [(1, 0), (1, 129), (2, 5), (5,), (1, 1, 5)])
def test_what_is_no_sentence_or_too_long_is_refused(
    largest: tuple[StaticSeq2Seq, Artifact], shape: tuple[int, ...]
) -> None:
    said = rf"largest takes one sentence of 1 to 128 sub-words.*not {str(shape)[:-1]}".replace("(", r"\(")
    prepared = engines.prepare(largest[1])
    with pytest.raises(SupernetError, match=said):
        prepared(np.full(shape, 5))


def test_fractions_are_refused(largest: tuple[StaticSeq2Seq, Artifact]) -> None:
    with pytest.raises(SupernetError, match="takes numbers of sub-words, which are whole, not float32"):
        engines.prepare(largest[1])(np.full((1, 5), 7, dtype=np.float32))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
def test_sub_words_may_be_whole_numbers_of_any_type_and_lie_anyhow(
    largest: tuple[StaticSeq2Seq, Artifact], kind: type
) -> None:
    net, artifact = largest
    source = sentences(SMALL, (9,), 2)
    spread: NDArray[np.integer] = np.repeat(source.numpy(), 2, axis=1).astype(kind)[:, ::2]
    spread.flags.writeable = False
    assert engines.prepare(artifact)(spread).tolist() == words(net, source)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_engines_that_cannot_run_it_say_so_and_auto_leaves_them_out(
    largest: tuple[StaticSeq2Seq, Artifact], engine: str
) -> None:
    artifact = largest[1]
    with pytest.raises(SupernetError, match=f"engine '{engine}' can't run largest.*these can: onnxruntime"):
        engines.prepare(artifact, engine)
    assert engines.able(artifact) == ("onnxruntime",)
    assert engines.prepare(artifact).engine == "onnxruntime"


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"garbage")])
@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_is_missing_or_spoilt_is_named(
    largest: tuple[StaticSeq2Seq, Artifact], tmp_path: Path, spoil: Callable[[Path], object], which: int
) -> None:
    artifact = export_module(largest[0], "net", tmp_path / "net.onnx")
    spoil(Path(artifact.files[which]))
    with pytest.raises(SupernetError, match="is not a model that ONNX Runtime can load") as caught:
        engines.prepare(artifact)
    assert artifact.files[which] in str(caught.value)


def test_without_leave_to_write_beside_it_a_network_runs_and_its_memory_is_its_own(
    largest: tuple[StaticSeq2Seq, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError("read-only")

    artifact = export_module(largest[0], "net", tmp_path / "net.onnx")
    monkeypatch.setattr("supernets.engines.onnxruntime_sessions.TemporaryDirectory", refused)
    prepared = engines.prepare(artifact)
    assert prepared.mapped is None
    assert prepared.memory_mb >= sum(Path(file).stat().st_size for file in artifact.files) / 1e6
    source = sentences(SMALL, (12,), 3)
    assert prepared(source.numpy()).tolist() == words(largest[0], source)


def test_a_step_multiplies_single_rows_so_its_weights_stay_as_they_are_mapped(other: Artifact) -> None:
    engines.prepare(other)
    for file, packed in zip(other.files, (True, False), strict=True):
        (kept,) = Path(file).parent.glob(f"{Path(file).stem}.????????????.optimised")
        assert f'"prepacks": {str(packed).lower()}' in (kept / "about.json").read_text()


def test_a_word_that_the_vocabulary_lacks_is_the_engines_error_and_the_network_goes_on(
    largest: tuple[StaticSeq2Seq, Artifact],
) -> None:
    net, artifact = largest
    prepared, source = engines.prepare(artifact), sentences(SMALL, (9,), 2)
    with pytest.raises(Exception, match="out of data bounds"):
        prepared(np.array([[5, 60, END]]))
    assert prepared(source.numpy()).tolist() == words(net, source)


def test_files_are_standard_onnx_of_all_lengths(other: Artifact) -> None:
    for file in other.files:
        model = onnx.load(file)
        assert {entry.domain for entry in model.opset_import} == {""}
        assert {node.domain for node in model.graph.node} == {""}
    assert replace(other, parts=()).files == (other.path,)
