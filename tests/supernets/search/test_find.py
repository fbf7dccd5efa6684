"""The search of a ladder from end to end: its measurements, its work file and its choices."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.tiny_space import TINY, lived_in
from supernets import SubNet, SupernetError, make_weights, weights_file
from supernets.calibration import calibrate, statistics
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.space import Architecture
from supernets.pictures import plates
from supernets.pictures.evaluation import PLATES, PlateData
from supernets.search.accuracy_source import AccuracySource, Calibration, MeasuredAccuracy
from supernets.search.evolution import Encoding, EvolutionPlan, Genes
from supernets.search.find import NewLadder, SearchPlan, search
from supernets.search.latency import FloatArray, LatencyPredictor, TimedNetwork
from supernets.search.work_file import WorkFile

RATES = np.array([4e-8, 2e-8, 1e-8, 5e-8, 3e-7, 2e-7, 0.02, 1e-8, 2e-8, 3e-8])
PLAN = SearchPlan(
    rungs=4, training_networks=20, held_out_networks=5, evolution=EvolutionPlan(population=10, generations=5)
)


class Known(TimedNetwork):
    """A network with a known latency."""

    def __init__(self, latency_ms: float) -> None:
        self._latency_ms = latency_ms

    def sample(self) -> list[tuple[float, bool]]:
        return [(self._latency_ms, True)]


class Machine:
    """A machine whose latencies follow a formula; it records the networks that it was asked to measure."""

    def __init__(self, slower: dict[str, float] | None = None) -> None:
        self._encoding = Encoding(TINY)
        self._truth = LatencyPredictor(self._encoding, RATES)
        self._slower = slower or {}
        self.asked: list[str] = []

    def __call__(self, net: ElasticSupernet, subnet: SubNet) -> TimedNetwork:
        assert isinstance(subnet.knobs, Architecture)
        self.asked.append(subnet.id)
        row = self._encoding.encoded(subnet.knobs, subnet.resolution)[None]
        return Known(float(self._truth(row)[0]) * self._slower.get(subnet.id, 1.0))


class ByMacs(AccuracySource):
    """An accuracy source in which more work means more accuracy."""

    def __init__(self) -> None:
        self.encoding = Encoding(TINY)

    def scores(self, genes: Genes) -> FloatArray:
        macs = [TINY.macs(*self.encoding.decoded(row)) for row in genes]
        return np.array(macs) / TINY.macs(TINY.largest, TINY.resolutions[-1])

    def final(self, subnet: SubNet) -> SubNet:
        assert isinstance(subnet.knobs, Architecture)
        score = self.scores(self.encoding.encoded(subnet.knobs, subnet.resolution)[None])[0]
        return TINY.subnet(subnet.knobs, subnet.resolution, float(score), "predicted")


@pytest.fixture
def net() -> ElasticSupernet:
    return ElasticSupernet(TINY, None, "random")


def work(path: Path) -> WorkFile:
    return WorkFile(path / "work.json", {"machine": "this"})


def ids(ladder: NewLadder) -> list[str]:
    return [rung.subnet.id for rung in ladder.rungs]


def test_the_ladder_reaches_from_the_fastest_to_the_most_accurate(net: ElasticSupernet, tmp_path: Path) -> None:
    machine = Machine()
    ladder = search(net, ByMacs(), machine, PLAN, work(tmp_path))
    assert ids(ladder)[0] == TINY.subnet(TINY.smallest, TINY.resolutions[0]).id
    assert ids(ladder)[-1] == TINY.subnet(TINY.largest, TINY.resolutions[-1]).id
    assert len(ladder.rungs) == 4
    for a, b in pairwise(ladder.rungs):
        assert a.latency_ms < b.latency_ms
        assert (a.subnet.accuracy or 0) < (b.subnet.accuracy or 0)
    for rung in ladder.rungs:
        assert rung.predicted_ms == pytest.approx(rung.latency_ms, rel=0.02)
        assert rung.subnet.accuracy_source == "predicted"
    assert ladder.error.n == 5
    assert ladder.error.p90 < 0.02
    # Each is measured once to fit, and the chosen once more in turns, beside a reference each time.
    assert len(machine.asked) <= 1 + 25 + 1 + 4


def test_limits_are_kept_by_what_was_predicted(net: ElasticSupernet, tmp_path: Path) -> None:
    encoding = Encoding(TINY)
    ends_ms = LatencyPredictor(encoding, RATES)(encoding.ends())
    limits_ms = (1.2 * float(ends_ms.min()), 0.8 * float(ends_ms.max()))
    plan = SearchPlan(limits_ms=limits_ms, training_networks=20, held_out_networks=5, evolution=PLAN.evolution)
    ladder = search(net, ByMacs(), Machine(), plan, work(tmp_path))
    for rung, limit in zip(ladder.rungs, limits_ms, strict=True):
        assert 0.7 * limit < rung.predicted_ms <= limit
    with pytest.raises(SupernetError, match=r"no sub-network is within 0\.001 ms"):
        search(net, ByMacs(), Machine(), SearchPlan(limits_ms=(0.001,)), work(tmp_path))


def test_an_interrupted_search_ends_in_the_same_ladder(net: ElasticSupernet, tmp_path: Path) -> None:
    whole = search(net, ByMacs(), Machine(), PLAN, work(tmp_path / "whole"))
    first = Machine()

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(net, ByMacs(), first, PLAN, work(tmp_path / "cut"), on_progress=interrupt)
    kept = json.loads((tmp_path / "cut" / "work.json").read_text())["relative_latency"]
    assert len(kept) == 12
    second = Machine()
    resumed = search(net, ByMacs(), second, PLAN, work(tmp_path / "cut"))
    assert resumed == whole
    reference = TINY.subnet(TINY.largest, TINY.resolutions[1]).id
    assert not set(kept) & set(second.asked[: second.asked.index(reference, 1)]) - {reference}
    idle = Machine()
    assert search(net, ByMacs(), idle, PLAN, work(tmp_path / "cut")) == whole
    assert idle.asked == []


def test_what_is_beaten_when_measured_again_is_left_out(net: ElasticSupernet, tmp_path: Path) -> None:
    plain = search(net, ByMacs(), Machine(), PLAN, work(tmp_path / "plain"))
    slow = ids(plain)[1]
    # Slower than the next; the figure that the fit saw, if it saw one, was too.
    ladder = search(net, ByMacs(), Machine({slow: 100.0}), PLAN, work(tmp_path / "slow"))
    assert slow not in ids(ladder)
    for rung in ladder.beaten:
        assert any(
            better.latency_ms <= rung.latency_ms and (better.subnet.accuracy or 0) >= (rung.subnet.accuracy or 0)
            for better in ladder.rungs
        )


def test_rungs_below_the_lowest_accuracy_are_left_out(net: ElasticSupernet, tmp_path: Path) -> None:
    def plan(lowest: float) -> SearchPlan:
        return SearchPlan(
            rungs=4,
            lowest_accuracy=lowest,
            training_networks=20,
            held_out_networks=5,
            evolution=PLAN.evolution,
        )

    every = search(net, ByMacs(), Machine(), plan(0.0), work(tmp_path))
    good = search(net, ByMacs(), Machine(), plan(0.5), work(tmp_path))
    assert 0 < len(good.rungs) < len(every.rungs)
    assert min(rung.subnet.accuracy or 0 for rung in good.rungs) >= 0.5
    with pytest.raises(SupernetError, match=r"below the lowest accuracy of 1\.5"):
        search(net, ByMacs(), Machine(), plan(1.5), work(tmp_path))


def test_a_work_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "work.json"
    WorkFile(file, {"machine": "this"}).section("latency_ms")["a"] = 1.5
    assert WorkFile(file, {"machine": "this"}).section("latency_ms")["a"] == 1.5
    with pytest.raises(SupernetError, match="measured with machine 'this', not 'that'"):
        WorkFile(file, {"machine": "that"})
    for damaged in ("{", "[]", '{"latency_ms": {}}'):
        file.write_text(damaged)
        with pytest.raises(SupernetError, match="damaged"):
            WorkFile(file, {"machine": "this"})


def test_a_measured_search_ends_in_a_calibrated_front(tmp_path: Path) -> None:
    """The ladder of a plate reader, from the weights of a trained network to the statistics of each rung."""
    network = lived_in(TINY)
    with torch.no_grad():  # every sub-network reads 0000
        network.classifier.weight.zero_()
    weights_file.save(tmp_path / "trained.safetensors", network.state_dict(), [], {})
    net = ElasticSupernet(TINY, tmp_path / "trained.safetensors", "given")
    calibration = Calibration(data=PlateData(held_out=False), pictures=64, seed=1)
    known: dict[str, float] = {}
    source = MeasuredAccuracy(
        net,
        PlateData(),
        calibration,
        pictures=8,
        test_pictures=32,
        seed=1,
        engine="onnxruntime",
        threads=1,
        known=known,
        resolutions=[16],
    )
    plan = SearchPlan(
        rungs=2,
        training_networks=4,
        held_out_networks=1,
        evolution=EvolutionPlan(population=1, generations=0),
    )
    ladder = search(net, source, Machine(), plan, work(tmp_path), calibration)
    # None reads a plate right, so the fastest alone is left. Its statistics are those of its own calibration.
    (rung,) = ladder.rungs
    assert (rung.subnet.accuracy, rung.subnet.accuracy_source) == (0.0, "measured")
    assert any("8 of seed 1" in key for key in known)
    assert any("32 of seed 2" in key for key in known)
    assert isinstance(rung.subnet.knobs, Architecture)
    module = network.extract(rung.subnet.knobs)
    drawn = plates.draw(64, seed=1, held_out=False, stratified=True)
    calibrate(module, [torch.from_numpy(plates.resize(drawn.pictures, rung.subnet.resolution))])
    for name, tensor in statistics(module).items():
        torch.testing.assert_close(rung.statistics[name], tensor, msg=name)


def test_shipped_accuracies_are_of_pictures_that_the_choice_did_not_see() -> None:
    seed = make_weights.PLAN.evolution.seed
    seen = plates.draw(50, seed=seed, held_out=True, stratified=True)
    test = plates.draw(50, seed=seed + 1, held_out=True, stratified=True)
    assert not set(seen.texts) & set(test.texts)
    assert PLATES >= 10_000
    assert PLATES % len(plates.ALPHABET) == 0
