"""Weights of an elastic transformer as one file: the shared weights in float16, and the vocabulary that goes with them.

`python -m supernets.seq2seq.weights --checkpoint cooled.pt --out FILE.safetensors` makes it of a training's checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from supernets import weights_file
from supernets.errors import SupernetError
from supernets.subnet import SubNet

if TYPE_CHECKING:
    from torch import Tensor

_VOCABULARY = "vocabulary"


def write(
    path: Path, name: str, state: Mapping[str, Tensor], vocabulary: bytes, ladder: Iterable[SubNet] = ()
) -> None:
    """Write a weights file.

    Args:
        path: file to write, a `.safetensors`.
        name: name of the supernet.
        state: the shared weights, which are rounded to float16.
        vocabulary: a model of sentencepiece.
        ladder: sub-networks with their accuracies, smallest first; none for those of the space.
    """
    import torch

    tensors = {key: tensor.to(torch.float16) for key, tensor in state.items()}
    tensors[_VOCABULARY] = torch.frombuffer(bytearray(vocabulary), dtype=torch.uint8)
    weights_file.save(path, tensors, [(subnet, {}) for subnet in ladder], {"supernet": name})


def read_vocabulary(path: Path) -> bytes:
    """Return the vocabulary of a weights file. Needs no torch.

    Raises:
        SupernetError: if the file has none.
    """
    try:
        with safe_open(path, framework="np") as file:
            content: bytes = file.get_tensor(_VOCABULARY).tobytes()
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SupernetError(
            f"weights {str(path)!r} bring no vocabulary ({reason}); give a file that "
            "`python -m supernets.seq2seq.weights` wrote"
        ) from None
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a weights file of a checkpoint."""
    from supernets.seq2seq import vocabulary
    from supernets.seq2seq.evaluation import read_average
    from supernets.seq2seq.space import TRANSLATOR

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("build/translator"))
    parser.add_argument("--checkpoint", default="cooled.pt", help="file of the directory")
    parser.add_argument("--out", type=Path, required=True, help="file to write, a .safetensors")
    options = parser.parse_args(arguments)
    state = read_average(options.dir / options.checkpoint, TRANSLATOR)
    words = options.dir / vocabulary.FILE
    vocabulary.load(words)
    write(options.out, TRANSLATOR.name, state, words.read_bytes())
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
