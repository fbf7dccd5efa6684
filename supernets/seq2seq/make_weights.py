"""The command that makes the weights of `translator-en-de` from nothing: corpus, training, cool-down, accuracies, file.

Run it as `python -m supernets.seq2seq.make_weights`, or as `make weights SUPERNET=translator-en-de`. After an
interruption the same command goes on from where it was: each step leaves a file, and the training has its checkpoint.
The weights file is written last, whole, so the one of before stays until the new one is complete.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import supernets
from supernets import Supernet, engines
from supernets.errors import SupernetError
from supernets.evaluation import LabelledData, accuracy
from supernets.inputs import INPUTS
from supernets.seq2seq import corpus, packing, train
from supernets.seq2seq.evaluation import read_checkpoint
from supernets.seq2seq.space import TRANSLATOR
from supernets.subnet import SubNet

UPDATES, COOL_DOWN = 11_928, 1_000
"""Updates before the cool-down, and in it: those of the shipped weights."""

_PACKED = "packed.safetensors"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make `supernets/weights/translator-en-de.safetensors`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("build/translator"), help="corpus and checkpoints")
    parser.add_argument("--updates", type=int, default=UPDATES, help="updates before the cool-down")
    parser.add_argument("--cool-down", type=int, default=COOL_DOWN, help="updates of the cool-down")
    parser.add_argument("--processes", type=int, default=2, help="processes of one thread each")
    weights = Path(supernets.__file__).parent / "weights"
    parser.add_argument("--out", type=Path, default=weights / f"{TRANSLATOR.name}.safetensors", help="file to write")
    options = parser.parse_args(arguments)
    try:
        make(options.dir, options.updates, options.cool_down, options.processes, options.out)
    except SupernetError as error:
        parser.error(str(error))


def make(directory: Path, updates: int, cool_down: int, processes: int, out: Path) -> None:
    """Do what is not done yet of all steps.

    Args:
        directory: directory of the corpus and the training.
        updates: updates before the cool-down. A training that has more already is not shortened.
        cool_down: updates of the cool-down.
        processes: processes that share an update; the weights depend on their number.
        out: the weights file.

    Raises:
        SupernetError: if the corpus can't be fetched, or a file of the directory is not the translator's.
        SystemExit: if the training was stopped before its end.
    """
    if not (directory / corpus.ABOUT).exists():
        corpus.main(["--dir", str(directory)])
    common = ["--dir", str(directory), "--processes", str(processes)]
    cooled = directory / train.COOLED
    if not cooled.exists():
        _trained(directory / train.CHECKPOINT, [*common, "--updates", str(updates)], lambda done: done >= updates)
    _trained(cooled, [*common, "--cool-down", str(cool_down)])
    packed = directory / _PACKED
    packing.write_training(packed, directory, train.COOLED)
    net = supernets.load(TRANSLATOR.name, packed)
    data = INPUTS[net.task].labelled(None, "", held_out=True)
    ladder = measured(net, data, directory / "exported")
    packing.write_training(out, directory, train.COOLED, ladder)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


def _trained(checkpoint: Path, options: Sequence[str], is_done: Callable[[int], bool] | None = None) -> None:
    """Train until a checkpoint is done: by its updates, or as one that has cooled down.

    Raises:
        SystemExit: if the training was stopped.
    """

    def done() -> bool:
        if not checkpoint.exists():
            return False
        progress = read_checkpoint(checkpoint, TRANSLATOR)["progress"]
        if is_done is not None:
            return is_done(progress["update"])
        cooling = progress["cooling"]
        return cooling is not None and progress["update"] >= cooling["first"] + cooling["updates"]

    if not done():
        train.main(options)
        if not done():
            raise SystemExit("the training was stopped; run the same command to go on")


def measured(net: Supernet, data: LabelledData, exported: Path) -> list[SubNet]:
    """Return the ladder of a supernet with accuracies measured on labelled data, in ONNX Runtime on one thread.

    Args:
        net: the supernet.
        data: the data.
        exported: directory for the exported networks.
    """
    ladder = []
    for rung in net.ladder():
        artifact = supernets.export(net, rung, exported)
        score = accuracy(engines.prepare(artifact, "onnxruntime", 1), data, artifact)
        ladder.append(replace(rung, accuracy=round(score.accuracy, 4), accuracy_source="measured"))
        figures = ", ".join(f"{one.name} {one.value:.2f}" for one in score.figures if one.value is not None)
        print(f"{rung.id:28} {data.task.metric} {score.accuracy:.4f}  {figures}", flush=True)
    return ladder


if __name__ == "__main__":
    main()
