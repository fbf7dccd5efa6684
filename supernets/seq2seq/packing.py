"""The command that makes one file of a training: the shared weights in float16, and the vocabulary that they go with.

`python -m supernets.seq2seq.packing --checkpoint cooled.pt --out FILE.safetensors`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from supernets import weights_file
from supernets.seq2seq import vocabulary as sub_words
from supernets.seq2seq.evaluation import read_average
from supernets.seq2seq.space import TRANSLATOR
from supernets.subnet import SubNet


def write(path: Path, name: str, state: Mapping[str, Tensor], vocabulary: bytes, ladder: Iterable[SubNet] = ()) -> None:
    """Write a weights file.

    Args:
        path: file to write, a `.safetensors`.
        name: name of the supernet.
        state: the shared weights, which are rounded to float16.
        vocabulary: a model of sentencepiece.
        ladder: sub-networks with their accuracies, smallest first; none for those of the space.
    """
    tensors = {key: tensor.to(torch.float16) for key, tensor in state.items()}
    tensors[sub_words.TENSOR] = torch.frombuffer(bytearray(vocabulary), dtype=torch.uint8)
    weights_file.save(path, tensors, [(subnet, {}) for subnet in ladder], {"supernet": name})


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a weights file of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("build/translator"))
    parser.add_argument("--checkpoint", default="cooled.pt", help="file of the directory")
    parser.add_argument("--out", type=Path, required=True, help="file to write, a .safetensors")
    options = parser.parse_args(arguments)
    state = read_average(options.dir / options.checkpoint, TRANSLATOR)
    words = options.dir / sub_words.FILE
    sub_words.load(words)
    write(options.out, TRANSLATOR.name, state, words.read_bytes())
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
