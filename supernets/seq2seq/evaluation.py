"""The command that translates held-out sentences with sub-networks, and measures how well.

Run it as `python -m supernets.seq2seq.evaluation` after some training. Quality is corpus BLEU and the mean of the
sentences' chrF, both by sacrebleu, whose signatures are written beside them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from supernets.errors import SupernetError
from supernets.seq2seq import batches, corpus, vocabulary
from supernets.seq2seq.decoding import Decoded, beam, greedy
from supernets.seq2seq.rungs import ladder
from supernets.seq2seq.sentences import Pair
from supernets.seq2seq.space import TRANSLATOR, Space
from supernets.seq2seq.static import StaticSeq2Seq

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """The quality of translations.

    Attributes:
        sentences: their number.
        bleu: corpus BLEU, 0 to 100.
        chrf: mean of the sentences' chrF, 0 to 100.
        capped: translations that their cap ended.
        words: sub-words made.
        bleu_signature: how sacrebleu counted BLEU.
        chrf_signature: how it counted chrF.
    """

    sentences: int
    bleu: float
    chrf: float
    capped: int
    words: int
    bleu_signature: str
    chrf_signature: str


def translate(
    net: StaticSeq2Seq, words: SentencePieceProcessor, texts: Sequence[str], beam_width: int = 1
) -> list[tuple[str, Decoded]]:
    """Return the translation of each text, and what was decoded.

    Args:
        net: the network.
        words: its vocabulary.
        texts: the sentences.
        beam_width: beginnings that are kept; 1 for the likeliest word each time.
    """
    sources = [batches.encode(words, text)[-net.space.longest :] for text in texts]
    decoded: dict[int, Decoded] = {}
    order = sorted(range(len(texts)), key=lambda index: len(sources[index]))
    if beam_width > 1:
        decoded = {index: beam(net, torch.tensor([sources[index]]), beam_width) for index in order}
    else:
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            source = batches.padded([sources[index] for index in chosen])
            decoded |= dict(zip(chosen, greedy(net, source), strict=True))
    return [(words.decode(decoded[index].words), decoded[index]) for index in range(len(texts))]


def measure(
    net: StaticSeq2Seq, words: SentencePieceProcessor, pairs: Sequence[Pair], beam_width: int = 1
) -> tuple[Quality, list[str]]:
    """Return how well a network translates pairs, and its translations."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    translated = translate(net, words, [pair.english for pair in pairs], beam_width)
    texts, right = [text for text, _ in translated], [pair.german for pair in pairs]
    bleu, chrf = BLEU(), CHRF()
    by_sentence = [chrf.sentence_score(text, [german]).score for text, german in zip(texts, right, strict=True)]
    quality = Quality(
        sentences=len(pairs),
        bleu=bleu.corpus_score(texts, [right]).score,
        chrf=sum(by_sentence) / len(pairs),
        capped=sum(decoded.capped for _, decoded in translated),
        words=sum(len(decoded.words) for _, decoded in translated),
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )
    return quality, texts


def cpu_ms(nets: Sequence[StaticSeq2Seq], words: SentencePieceProcessor, texts: Sequence[str]) -> list[float]:
    """Return the mean CPU time of each network's greedy translation of a sentence alone, in milliseconds.

    The networks take turns, sentence by sentence, so that a disturbance meets all of them. It is torch's time, on one
    thread; an engine's is shorter.
    """
    spent = [0.0] * len(nets)
    for text in texts:
        source = torch.tensor([batches.encode(words, text)[-nets[0].space.longest :]])
        for index, net in enumerate(nets):
            started = time.process_time()
            greedy(net, source)
            spent[index] += time.process_time() - started
    return [1000 * each / len(texts) for each in spent]


def read_checkpoint(path: Path, space: Space) -> dict[str, Any]:
    """Return a checkpoint: its averaged weights under `average`, and under `progress` how far the training went.

    Raises:
        SupernetError: if it is missing, or of another space.
    """
    if not path.exists():
        raise SupernetError(f"{path} is missing; train first")
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    if saved["space"] != space.name:
        raise SupernetError(f"{path} is a checkpoint of {saved['space']!r}, not of {space.name!r}")
    return saved


def read_average(path: Path, space: Space) -> dict[str, torch.Tensor]:
    """Return the averaged weights of a checkpoint, and print how far the training went.

    Raises:
        SupernetError: if it is missing, or of another space.
    """
    saved = read_checkpoint(path, space)
    print(f"{path}: {saved['progress']}")
    state: dict[str, torch.Tensor] = saved["average"]
    return state


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate a checkpoint's sub-networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("build/translator"))
    parser.add_argument("--checkpoint", default="checkpoint.pt", help="file of the directory")
    parser.add_argument("--part", default="validation", choices=("validation", "reported"))
    parser.add_argument("--sentences", type=int, default=200, help="the first so many of the part")
    parser.add_argument("--beam", type=int, default=1, help="beginnings that are kept; 1 for greedy decoding")
    parser.add_argument("--largest", action="store_true", help="evaluate the largest sub-network alone")
    parser.add_argument("--timed", type=int, default=0, help="measure CPU time on the first so many sentences alone")
    parser.add_argument("--show", type=int, default=0, help="print so many translations of each sub-network")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    state = read_average(options.dir / options.checkpoint, TRANSLATOR)
    words = vocabulary.load(options.dir / vocabulary.FILE)
    part = corpus.REPORTED if options.part == "reported" else options.dir / "validation.tsv"
    pairs = corpus.read(part)[: options.sentences]
    chosen = ladder(TRANSLATOR)
    if options.largest:
        chosen = {TRANSLATOR.id(TRANSLATOR.largest): TRANSLATOR.largest}
    nets = {name: StaticSeq2Seq(TRANSLATOR, architecture, state) for name, architecture in chosen.items()}
    if options.timed:
        times = cpu_ms(list(nets.values()), words, [pair.english for pair in pairs[: options.timed]])
        for name, each in zip(nets, times, strict=True):
            print(f"{name:28} {each:6.1f} ms of CPU a sentence")
    for name, net in nets.items():
        started = time.process_time()
        quality, texts = measure(net, words, pairs, options.beam)
        took = time.process_time() - started
        print(
            f"{name:28} BLEU {quality.bleu:5.2f}  chrF {quality.chrf:5.2f}  {quality.capped} capped of "
            f"{quality.sentences}  {quality.words} sub-words  {took:.1f} CPU seconds",
            flush=True,
        )
        with (options.dir / "quality.jsonl").open("a", encoding="utf-8") as file:
            row = {"checkpoint": options.checkpoint, "part": options.part, "beam": options.beam, "subnet": name}
            file.write(json.dumps({**row, **asdict(quality)}) + "\n")
        for pair, text in list(zip(pairs, texts, strict=True))[: options.show]:
            print(f"  {pair.english}\n    {text}\n    ({pair.german})")


if __name__ == "__main__":
    main()
