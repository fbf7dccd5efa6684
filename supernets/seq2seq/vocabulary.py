"""Sub-words: text to numbers and back, by byte-pair encoding (sentencepiece). Imports sentencepiece late.

One vocabulary serves both languages, so that names and numbers are copied as they are and one table of embeddings is
enough. It has 4,000 sub-words. Of those, 12 % occur fewer than 50 times in the training texts; of 8,000 it would be
55 %, too few to learn from, for sentences that are 13 % shorter; 2,000 make them 19 % longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from supernets.errors import SupernetError
from supernets.seq2seq.sentences import Pair

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

PAD, UNKNOWN, BEGIN, END = range(4)
"""Numbers of the sub-words that stand for no text."""

SIZE = 4000
FILE = "vocabulary.model"
TENSOR = "vocabulary"
"""The tensor of a weights file that holds the file's bytes."""


def train(pairs: Sequence[Pair], path: Path, size: int = SIZE) -> None:
    """Learn a vocabulary from both languages of pairs, and write it.

    Args:
        pairs: what to learn from.
        path: file to write.
        size: number of sub-words.
    """
    import sentencepiece

    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for pair in pairs for text in (pair.english, pair.german)]),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        # The texts have under 200 characters, and a sentence with one that is unknown can't be translated.
        character_coverage=1.0,
        # Texts stay as they are: the usual rule would turn "…" into "...", and no translation could be right.
        normalization_rule_name="identity",
        pad_id=PAD,
        unk_id=UNKNOWN,
        bos_id=BEGIN,
        eos_id=END,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())


def load(path: Path) -> SentencePieceProcessor:
    """Return the vocabulary of a file.

    Raises:
        SupernetError: if the file is missing or holds none.
    """
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except (OSError, RuntimeError) as error:
        raise SupernetError(
            f"vocabulary {str(path)!r} can't be read ({error}); give a model of sentencepiece"
        ) from None


def of_weights(path: Path) -> bytes:
    """Return the vocabulary that a weights file brings, as its file's bytes.

    Raises:
        SupernetError: if it brings none.
    """
    try:
        with safe_open(path, framework="np") as file:
            content: bytes = file.get_tensor(TENSOR).tobytes()
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SupernetError(
            f"weights {str(path)!r} bring no vocabulary ({reason}); give a file that "
            "`python -m supernets.seq2seq.packing` wrote"
        ) from None
    return content
