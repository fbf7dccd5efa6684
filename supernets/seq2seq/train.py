"""The command that trains the translator supernet, a piece at a time.

Run it as `python -m supernets.seq2seq.train --seconds N` after `python -m supernets.seq2seq.corpus`; or with
`--updates N`, to end at a number of updates whatever the time. It goes on from its checkpoint, which it writes every
few minutes and at the end; SIGTERM and Ctrl-C end it as the end of its time does.
Without a checkpoint it begins from nothing, or with `--from-weights FILE` where the training of a weights file ended:
its optimizer then begins anew, so the learning rate rises once more.
Last of all, `--cool-down UPDATES` ends the training: it goes on from the checkpoint into `cooled.pt`, and leaves the
checkpoint as it is, so that a longer training can go on from there. Losses and qualities are added to CSV files beside
the file that is written.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from supernets.errors import SupernetError
from supernets.seq2seq import batches, corpus, vocabulary
from supernets.seq2seq.elastic import ElasticSeq2Seq
from supernets.seq2seq.evaluation import measure
from supernets.seq2seq.sentences import Pair
from supernets.seq2seq.space import TRANSLATOR, Transformer
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.supernet import Translator
from supernets.seq2seq.training import Cooling, Progress, Recipe, Trainer
from supernets.weights_file import read_metadata

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

CHECKPOINT, COOLED = "checkpoint.pt", "cooled.pt"
"""Files of the directory: where the training stands, and the end of a training that has cooled down."""
_SAVE_EVERY_S = 240
_LOG_EVERY = 25
_VALIDATE_EVERY = 500
_VALIDATED = 200
_COLUMNS = "utc,update,epoch,words,cpu_s,lr,loss,student_loss"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for some time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("build/translator"), help="the corpus and all that is written")
    parser.add_argument("--seconds", type=float, default=math.inf, help="length of this piece")
    parser.add_argument("--updates", type=int, metavar="N", help="end as soon as there have been N updates in all")
    parser.add_argument("--processes", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--from-weights", type=Path, metavar="FILE", help="a weights file to begin with")
    parser.add_argument("--cool-down", type=int, metavar="UPDATES", help="end the training with as many updates")
    options = parser.parse_args(arguments)
    if options.seconds == math.inf and options.updates is None and options.cool_down is None:
        parser.error("a training without --cool-down does not end by itself: give --seconds or --updates")
    if not (options.dir / vocabulary.FILE).exists():
        raise SystemExit(f"{options.dir} holds no corpus; run `python -m supernets.seq2seq.corpus` first")
    if options.cool_down is not None and not any((options.dir / name).exists() for name in (CHECKPOINT, COOLED)):
        raise SystemExit(f"{options.dir} holds no {CHECKPOINT} to cool down from; train without --cool-down first")
    if options.from_weights is not None:
        try:
            _begin_with(options.from_weights, options.dir)
        except SupernetError as error:
            parser.error(str(error))
    (options.dir / "rendezvous").unlink(missing_ok=True)
    # Processes of one machine find each other without a network.
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    until = time.monotonic() + options.seconds
    context = mp.get_context("spawn")
    workers = [
        context.Process(
            target=_train, args=(rank, options.processes, options.dir, until, options.updates, options.cool_down)
        )
        for rank in range(options.processes)
    ]
    for worker in workers:
        worker.start()

    # A signal is passed on: the workers end after the update under way, and write their checkpoint.
    def stop(*_: object) -> None:
        for worker in workers:
            worker.terminate()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    for worker in workers:
        worker.join()
    for number, handler in before.items():
        signal.signal(number, handler)
    failed = [worker.exitcode for worker in workers if worker.exitcode]
    if failed:
        raise SystemExit(f"a training process ended with code {failed[0]}; run the same command to go on")


def _begin_with(weights: Path, directory: Path) -> None:
    """Write the checkpoint of a training that goes on where that of a weights file ended.

    Raises:
        SupernetError: if there is a checkpoint already, or the file has no training, another space or other sub-words.
    """
    checkpoint = directory / CHECKPOINT
    if checkpoint.exists():
        raise SupernetError(f"{checkpoint} exists; to begin with a weights file, give a directory without one")
    training = read_metadata(weights).get("training")
    if training is None:
        raise SupernetError(f"{weights} does not say how far its training was; give a file of a training")
    if vocabulary.of_weights(weights) != (directory / vocabulary.FILE).read_bytes():
        raise SupernetError(f"{weights} has other sub-words than {directory}; make the corpus that it learned from")
    trainer = Trainer(TRANSLATOR, Recipe())
    trainer.begin_with(Translator(TRANSLATOR, weights, str(weights), None).state, Progress.read(json.loads(training)))
    trainer.save(checkpoint)


def _train(
    rank: int, processes: int, directory: Path, until: float, updates: int | None, cool_down: int | None
) -> None:
    """Be one of the training's processes."""
    torch.set_num_threads(1)
    parent = parent_process()
    assert parent is not None
    asked: list[int] = []
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: asked.append(number))
    if processes > 1:
        store = f"file://{(directory / 'rendezvous').absolute()}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=processes)
    trainer = Trainer(TRANSLATOR, Recipe(), rank, processes)
    checkpoint = _resume(trainer, directory, cool_down)
    if trainer.progress.cooled:
        print(f"{checkpoint} has cooled down already; remove it to cool down from {CHECKPOINT} anew")
        return
    if updates is not None and trainer.progress.update >= updates:
        print(f"{checkpoint} has {trainer.progress.update} updates already")
        return
    words = vocabulary.load(directory / vocabulary.FILE)
    coded = batches.encode_pairs(words, corpus.read(directory / corpus.TRAINING), TRANSLATOR.longest)
    validation = corpus.read(directory / "validation.tsv")[:_VALIDATED]
    saved, spent = time.monotonic(), time.process_time()
    losses: list[tuple[float, float]] = []
    for batch in _batches(trainer, coded):
        now, last_spent = time.process_time(), spent
        spent = now
        # A process whose parent was killed ends as well, before another training begins in the same directory.
        stop = bool(asked) or time.monotonic() > until or not parent.is_alive()
        loss, student, stopping = trainer.update(batch, now - last_spent, stop)
        losses.append((loss, student))
        done = trainer.progress
        ended = stopping or done.cooled or done.update == updates
        if done.update % _LOG_EVERY == 0:
            _give_back_memory()
        if rank == 0 and (done.update % _LOG_EVERY == 0 or ended):
            _log(checkpoint.with_name(f"{checkpoint.stem}-curve.csv"), trainer, losses)
            losses = []
        if rank == 0 and (time.monotonic() - saved > _SAVE_EVERY_S or ended):
            trainer.save(checkpoint)
            saved = time.monotonic()
        if rank == 0 and (done.update % _VALIDATE_EVERY == 0 or ended):
            _log_validation(checkpoint.with_name(f"{checkpoint.stem}-validation.csv"), trainer, words, validation)
        if ended:
            break
    if processes > 1:
        dist.destroy_process_group()


def _give_back_memory() -> None:
    """Hand freed memory back to the system.

    Tensors of ever other sizes leave glibc's heap full of holes, 6 MB more with each update: 10 GB in 1,500 updates.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resume(trainer: Trainer, directory: Path, cool_down: int | None) -> Path:
    """Load the checkpoint to go on from, if any, and return the file to write."""
    checkpoint, cooled = directory / CHECKPOINT, directory / COOLED
    if cool_down is None:
        if checkpoint.exists():
            trainer.load(checkpoint)
        return checkpoint
    if cooled.exists():
        trainer.load(cooled)
        return cooled
    trainer.load(checkpoint)
    trainer.progress.cooling = Cooling(trainer.progress.update, cool_down)
    return cooled


def _batches(trainer: Trainer, coded: Sequence[tuple[list[int], list[int]]]) -> Iterator[batches.Batch]:
    """Yield this process's batches from where the training stands, and count them."""
    done, recipe = trainer.progress, trainer.recipe
    while True:
        order = batches.epoch(coded, recipe.batch_words, np.random.default_rng([recipe.seed, done.epoch]))
        while done.batch + trainer.processes <= len(order):
            mine = order[done.batch + trainer.rank]
            done.batch += trainer.processes
            yield batches.batch(mine)
        done.epoch, done.batch = done.epoch + 1, 0


def _log(path: Path, trainer: Trainer, losses: Sequence[tuple[float, float]]) -> None:
    done = trainer.progress
    loss, student = np.mean(losses, axis=0)
    lr = trainer.recipe.lr(done.update - 1, done.cooling, done.begun)
    _append(
        path,
        _COLUMNS,
        f"{done.update},{done.epoch},{done.words},{done.cpu_s:.0f},{lr:.3g},{loss:.4f},{student:.4f}",
    )


def _log_validation(path: Path, trainer: Trainer, words: SentencePieceProcessor, validation: Sequence[Pair]) -> None:
    """Add a row: the losses of the space's two ends, and how well the largest network translates."""
    space, average = trainer.space, trainer.average
    coded = batches.encode_pairs(words, validation, space.longest)
    ends = [mean_loss(average, coded, architecture) for architecture in (space.largest, space.smallest)]
    quality, _ = measure(StaticSeq2Seq(space, space.largest, average.state_dict()), words, validation)
    row = (
        f"{trainer.progress.update},{ends[0]:.4f},{ends[1]:.4f},{quality.bleu:.2f},{quality.chrf:.2f},{quality.capped}"
    )
    _append(path, "utc,update,largest_loss,smallest_loss,largest_bleu,largest_chrf,largest_capped", row)


def _append(path: Path, columns: str, row: str) -> None:
    fresh = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        if fresh:
            file.write(columns + "\n")
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S},{row}\n")


@torch.no_grad()
def mean_loss(net: ElasticSeq2Seq, coded: Sequence[tuple[list[int], list[int]]], architecture: Transformer) -> float:
    """Return the cross-entropy of pairs in nats a sub-word, without smoothing."""
    net.eval()
    total, words = 0.0, 0
    for group in batches.epoch(coded, 1500, np.random.default_rng(0)):
        batch = batches.batch(group)
        logits = net(batch.source, batch.target, architecture).flatten(0, 1)
        total += float(F.cross_entropy(logits, batch.labels.flatten(), ignore_index=vocabulary.PAD, reduction="sum"))
        words += batch.words
    return total / words


if __name__ == "__main__":
    main()
