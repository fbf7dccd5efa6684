"""Sub-words: text to numbers and back, by byte-pair encoding (sentencepiece). Imports sentencepiece late.

One vocabulary serves both languages, so that names and numbers are copied as they are and one table of embeddings is
enough. 4,000 sub-words: at 256 wide the table is a million weights of seven, a third of what half-size training texts
(a million words) can fill with examples; twice as many would make sentences only some 8 % shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from supernets.errors import SupernetError
from supernets.seq2seq.sentences import Pair

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

PAD, UNKNOWN, BEGIN, END = range(4)
"""Numbers of the sub-words that stand for no text."""

SIZE = 4000
FILE = "vocabulary.model"


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
        character_coverage=0.99995,
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
