"""Measure translation, by sub-word and by sentence, against CTranslate2, transformers' Marian and ONNX Runtime bare.

The sentences are held-out ones, one at a time, in float32, greedily. All contenders make as many sub-words of a
sentence as the network itself does, and take turns sentence by sentence. A contender's time of one sub-word is that of
the whole sentence less that of its first sub-word, shared out among the others; so it has no part of the encoder.

Memory is what a process's unique set grows by when it loads the whole ladder and translates with each network.

`--wide` adds a network 512 wide, 6 + 6 layers, vocabulary of 32,000, with random weights; it makes 24 sub-words of
sentences of 20.

`python -m benchmarks.bench_translation --weights FILE [--rounds N] [--wide] [--memory] [--json FILE]`, with the extra
`peers`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

import supernets
from actors.clock import BoardClock
from benchmarks import translation_peers as peers
from benchmarks.rig import (
    Spread,
    Stopwatch,
    cores,
    figures_table,
    print_stalls,
    print_table,
    start_clock,
    watched,
)
from supernets.artifact import Artifact
from supernets.search.latency import on_cpus
from supernets.seq2seq import batches, corpus, exporting, vocabulary
from supernets.seq2seq.space import TRANSLATOR, Space
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.supernet import Translator

OURS, BARE, CTRANSLATE2, MARIAN = "prepared network", "ONNX Runtime, bare", "CTranslate2", "Marian"
_SENTENCES = 12
_SETTLE_S = 0.02
"""Pause before the turn of a contender, in which the threads of the one before stop to look for work."""
_WIDE = Space(
    name="wide",
    vocabulary=32000,
    longest=128,
    encoder_layers=6,
    head_width=64,
    attention_width=512,
    widths=(512,),
    ffns=(2048,),
    heads=(8,),
    cross_layers=(1,),
    decoder_layers=(6,),
)
_WIDE_SUB_WORDS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A network to run.

    Attributes:
        net: the network in torch.
        artifact: its files.
        sources: sub-words of each sentence, (1, s).
        counts: sub-words to make of each.
    """

    net: StaticSeq2Seq
    artifact: Artifact
    sources: Sequence[NDArray[np.int64]]
    counts: Sequence[int]


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="weights of translator-en-de; none for the shipped ones")
    parser.add_argument("--rounds", type=int, default=12, help="translations of each sentence by each contender")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="numbers of threads")
    parser.add_argument("--rungs", type=int, nargs="*", default=[1, 4, -1], help="places on the ladder, from 0")
    parser.add_argument("--wide", action="store_true", help="add a network 512 wide with random weights")
    parser.add_argument("--memory", action="store_true", help="measure memory too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    cases = []
    with tempfile.TemporaryDirectory() as name, watched(clock) as sentinel:
        for subject in _subjects(options.weights, options.rungs, options.wide, Path(name)):
            for threads in (count for count in options.threads if count <= len(cores())):
                with on_cpus(cores()[:threads]):
                    same, stopwatch = _compare(subject, Path(name), threads, options.rounds, clock)
                cases.append(_case(subject, threads, same, stopwatch.spreads(sentinel.gaps)))
                print(f"{subject.artifact.subnet}, threads: {threads}", file=sys.stderr, flush=True)
        memory = _memory(options.weights, Path(name)) if options.memory else {}
    figures = {"cases": cases, "memory_mb": memory, "load": os.getloadavg(), "host": asdict(sentinel.result())}
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _subjects(weights: Path | None, rungs: Sequence[int], wide: bool, directory: Path) -> Iterator[Subject]:
    supernet = supernets.load(TRANSLATOR.name, weights)
    assert isinstance(supernet, Translator)
    for subnet in [supernet.ladder()[rung] for rung in rungs]:
        artifact = supernets.export(supernet, subnet, directory)
        words = vocabulary.load(Path(artifact.part("vocabulary")))
        pairs = sorted(corpus.read(corpus.REPORTED), key=lambda pair: len(pair.english))
        chosen = pairs[len(pairs) // (2 * _SENTENCES) :: len(pairs) // _SENTENCES][:_SENTENCES]
        sources = [np.array([batches.encode(words, pair.english)]) for pair in chosen]
        network = supernets.engines.prepare(artifact)
        counts = [len(network(source)) for source in sources]
        yield Subject(net=supernet.module(subnet), artifact=artifact, sources=sources, counts=counts)
    if wide:
        net = StaticSeq2Seq(_WIDE, _WIDE.largest)
        rng = np.random.default_rng(0)
        yield Subject(
            net=net,
            artifact=exporting.export_module(net, "512 wide, random weights", directory / "wide.onnx"),
            sources=[rng.integers(4, _WIDE.vocabulary, (1, 20)) for _ in range(2)],
            counts=[_WIDE_SUB_WORDS] * 2,
        )


def _compare(
    subject: Subject, directory: Path, threads: int, rounds: int, clock: BoardClock
) -> tuple[dict[str, int], Stopwatch]:
    """Return for how many sentences each contender makes the sub-words that ONNX Runtime bare makes, and all times."""
    converted = peers.convert(subject.net, directory / f"{Path(subject.artifact.path).stem}-ctranslate2")
    contenders = {
        OURS: peers.prepared(subject.artifact, threads),
        BARE: peers.bare(subject.artifact, threads),
        CTRANSLATE2: peers.in_ctranslate2(converted, threads),
        MARIAN: peers.in_marian(subject.net, threads),
    }
    stopwatch, same = Stopwatch(clock), dict.fromkeys(contenders, 0)
    for source, count in zip(subject.sources, subject.counts, strict=True):
        expected = contenders[BARE](source, count)
        for name, make in contenders.items():
            same[name] += make(source, count) == expected
    for _ in range(rounds):
        for index, (source, count) in enumerate(zip(subject.sources, subject.counts, strict=True)):
            for name, make in contenders.items():
                time.sleep(_SETTLE_S)
                make(source, 1)  # the others' weights are in the caches
                stopwatch.time(f"{name}/{index}/first", make, source, 1)
                stopwatch.time(f"{name}/{index}/whole", make, source, count)
    return same, stopwatch


def _memory(weights: Path | None, directory: Path) -> dict[str, float]:
    """Return the memory in 10⁶ bytes of the whole ladder on one thread, prepared here and in CTranslate2."""
    rungs = range(len(supernets.load(TRANSLATOR.name, weights).ladder()))
    subjects = list(_subjects(weights, rungs, False, directory))
    places = [peers.convert(each.net, directory / f"{Path(each.artifact.path).stem}-ctranslate2") for each in subjects]
    artifacts = [each.artifact for each in subjects]
    made = {}
    for name, open_one, what in ((OURS, peers.prepared, artifacts), (CTRANSLATE2, peers.in_ctranslate2, places)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            made[name] = round(pool.submit(_grown_mb, open_one, what, subjects[0].sources[-1]).result(), 1)
    return made


def _grown_mb(open_one: Callable[[Any, int], peers.Make], what: Sequence[Any], source: NDArray[np.int64]) -> float:
    """Return what this process grows by, in 10⁶ bytes."""
    process = psutil.Process()
    before = process.memory_full_info().uss
    kept = [open_one(each, 1) for each in what]
    for make in kept:
        make(source, _WIDE_SUB_WORDS)
    return float(process.memory_full_info().uss - before) / 1e6


def _case(subject: Subject, threads: int, same: Mapping[str, int], spreads: Mapping[str, Spread]) -> dict[str, Any]:
    """Return each contender's times, with its ratios to CTranslate2 and to ONNX Runtime bare."""

    def p50(name: str, index: int, part: str) -> float:
        time_ms = spreads[f"{name}/{index}/{part}"].p50_ms
        return float("nan") if time_ms is None else time_ms

    rows: dict[str, dict[str, float]] = {}
    for name in same:
        whole = np.array([p50(name, index, "whole") for index in range(len(subject.sources))])
        first = np.array([p50(name, index, "first") for index in range(len(subject.sources))])
        others = np.array(subject.counts) - 1
        rows[name] = {
            "sub_word_ms": float(np.nanmedian((whole - first)[others > 0] / others[others > 0])),
            "sentence_ms": float(np.nanmean(whole)),
            "same": same[name],
        }
    for name, row in rows.items():
        for peer, key in ((CTRANSLATE2, "over_ctranslate2"), (BARE, "over_bare")):
            row[f"sub_word_{key}"] = row["sub_word_ms"] / rows[peer]["sub_word_ms"]
            row[f"sentence_{key}"] = row["sentence_ms"] / rows[peer]["sentence_ms"]
        rows[name] = {key: round(value, 4) for key, value in row.items()}
    return {
        "network": subject.artifact.subnet,
        "threads": threads,
        "sentences": len(subject.sources),
        "sub_words": sum(subject.counts),
        "times": rows,
    }


def _show(figures: dict[str, Any]) -> None:
    heads = ("sub-word, ms", "x CT2", "x bare", "sentence, ms", "x CT2", "x bare", "same")
    table = figures_table("translation, medians", *heads)
    keys = ("sub_word_ms", "sub_word_over_ctranslate2", "sub_word_over_bare")
    keys += ("sentence_ms", "sentence_over_ctranslate2", "sentence_over_bare")
    for case in figures["cases"]:
        table.add_row(f"{case['network']}, {case['threads']} thr.")
        for name, row in case["times"].items():
            table.add_row(f"  {name}", *(f"{row[key]:.3g}" for key in keys), f"{row['same']} of {case['sentences']}")
        table.add_section()
    print_table(table)
    if memory := figures["memory_mb"]:
        print("memory of the whole ladder: " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in memory.items()))
    print(f"load average {figures['load'][0]:.1f}")
    print_stalls(figures["host"])


if __name__ == "__main__":
    sys.exit(main())
