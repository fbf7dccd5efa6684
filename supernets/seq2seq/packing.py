"""The command that makes one file of a training: the shared weights in float16, and the vocabulary that they go with.

`python -m supernets.seq2seq.packing --checkpoint cooled.pt --out FILE.safetensors`

The file's metadata say how far the training went and what it learned from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from supernets import weights_file
from supernets.seq2seq import corpus
from supernets.seq2seq import vocabulary as sub_words
from supernets.seq2seq.evaluation import read_checkpoint
from supernets.seq2seq.space import TRANSLATOR
from supernets.seq2seq.training import Recipe
from supernets.subnet import SubNet


def write(
    path: Path,
    name: str,
    state: Mapping[str, Tensor],
    vocabulary: bytes,
    ladder: Iterable[SubNet] = (),
    about: Mapping[str, str] | None = None,
) -> None:
    """Write a weights file.

    Args:
        path: file to write, a `.safetensors`.
        name: name of the supernet.
        state: the shared weights, which are rounded to float16.
        vocabulary: a model of sentencepiece.
        ladder: sub-networks with their accuracies, smallest first; none for those of the space.
        about: further metadata.
    """
    tensors = {key: tensor.to(torch.float16) for key, tensor in state.items()}
    tensors[sub_words.TENSOR] = torch.frombuffer(bytearray(vocabulary), dtype=torch.uint8)
    weights_file.save(path, tensors, [(subnet, {}) for subnet in ladder], {"supernet": name, **(about or {})})


def write_training(path: Path, directory: Path, checkpoint: str, ladder: Iterable[SubNet] = ()) -> None:
    """Write the weights file of a training.

    Args:
        path: file to write, a `.safetensors`.
        directory: directory of the training, with its corpus.
        checkpoint: file of the directory that has the weights.
        ladder: sub-networks with their accuracies, smallest first; none for those of the space.

    Raises:
        SupernetError: if the checkpoint is missing or of another space, or there is no vocabulary.
    """
    saved = read_checkpoint(directory / checkpoint, TRANSLATOR)
    words = directory / sub_words.FILE
    sub_words.load(words)
    about = about_training(directory, saved["progress"])
    write(path, TRANSLATOR.name, saved["average"], words.read_bytes(), ladder, about)


def about_training(directory: Path, progress: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a training: its recipe, how far it went, and what it learned from, with hashes.

    Args:
        directory: directory of the training.
        progress: progress that its checkpoint has, such as `{"update": 9000, "words": 19000000, …}`.
    """
    source = directory / corpus.ABOUT
    learned = json.loads(source.read_text(encoding="utf-8")) if source.exists() else {}
    learned["sha256"] = {
        file.name: weights_file.file_hash([file])
        for file in (directory / corpus.TRAINING, directory / sub_words.FILE)
        if file.exists()
    }
    return {
        "recipe": repr(Recipe()),
        "training": json.dumps(dict(progress)),
        "corpus": json.dumps(learned),
        "torch": torch.__version__,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a weights file of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("build/translator"))
    parser.add_argument("--checkpoint", default="cooled.pt", help="file of the directory")
    parser.add_argument("--out", type=Path, required=True, help="file to write, a .safetensors")
    options = parser.parse_args(arguments)
    write_training(options.out, options.dir, options.checkpoint)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
