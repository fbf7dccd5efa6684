"""The inputs of the task of translation: held-out sentences that come with it, or a user's own. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.outputs import Output
from supernets.seq2seq import corpus
from supernets.seq2seq.sentences import Pair, share
from supernets.seq2seq.task import Translation, Words
from supernets.task import Source
from supernets.task_inputs import DRAWN, LabelledInputs

_FORM = "one sentence a line, and behind a tab its right translation if there is one"


class Sentences:
    """Sentences that are used in turn: a source of an application's inputs.

    Args:
        pairs: sentences in both languages; where the German one is empty there is no label.

    Attributes:
        task: what is done with them.
        notice: nothing.
        period: the number of sentences.
    """

    notice = ""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.task = Translation()
        self.period = len(pairs)
        self._pairs = pairs

    def inputs(self, artifact: Artifact) -> Callable[[int], Words]:
        """Return a function from a request's number to its sentence. It raises for one that the network can't take.

        Raises:
            SupernetError: if the network can take none of them.
        """
        samples = [self._sample(pair.english, artifact) for pair in self._pairs]
        refused = [sample for sample in samples if isinstance(sample, SupernetError)]
        if len(refused) == len(samples):
            raise refused[0]

        def of(index: int) -> Words:
            sample = samples[index % len(samples)]
            if isinstance(sample, SupernetError):
                raise sample
            return sample

        return of

    def _sample(self, sentence: str, artifact: Artifact) -> Words | SupernetError:
        # One bad sentence of many costs its own requests only.
        try:
            return self.task.sample(sentence, artifact)
        except SupernetError as error:
            return error

    def score(self, index: int, output: Output) -> float | None:
        """Return the credit of the output of request `index`; None where its sentence has no translation."""
        right = self._pairs[index % len(self._pairs)].german
        return self.task.credit(output, right) if right else None

    def adapt(self, payload: object, artifact: Artifact) -> Words:
        """Return a client's own sentence as the network takes it.

        Raises:
            SupernetError: for what is no sentence that it can take.
        """
        return self.task.sample(payload, artifact)


@dataclass(frozen=True)
class SentenceData:
    """Pairs to measure a network on.

    Attributes:
        pairs: the pairs.
        name: words for them.
    """

    pairs: Sequence[Pair]
    name: str

    @property
    def task(self) -> Translation:
        """The task of translation."""
        return _TASK

    @property
    def directory(self) -> Path | None:
        """None: they are no folder."""
        return None

    @property
    def notice(self) -> str:
        """Nothing."""
        return ""

    def __str__(self) -> str:
        return self.name

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def samples(self, artifact: Artifact, limit: int | None = None, seed: int = 0) -> Iterator[tuple[Words, object]]:
        """Yield sentences, chosen by seed where there is a limit, with their right translations."""
        chosen = np.random.default_rng(seed).permutation(len(self.pairs))[:limit] if limit else range(len(self.pairs))
        for index in chosen:
            pair = self.pairs[index]
            yield self.task.sample(pair.english, artifact), pair.german


@cache
def reported() -> tuple[Pair, ...]:
    """Return the thousand held-out pairs, in an order by chance that is the same each time."""
    return tuple(sorted(corpus.read(corpus.REPORTED), key=lambda pair: share(pair.english, "order")))


def _stream(seed: int) -> Sentences:
    # In one order whatever the seed, so that a profile knows each request's size by its number.
    return Sentences(reported())


def _stored(given: str, seed: int) -> Source:
    return Sentences(_own(Path(given), f"source {given!r}"))


def _labelled(given: str | None, option: str, *, held_out: bool) -> SentenceData:
    if given is None or given == DRAWN:
        return SentenceData(reported(), "1,000 held-out sentences of LibreOffice's help")
    pairs = _own(Path(given), f"{option} {given!r}")
    if lacking := next((number for number, pair in enumerate(pairs, 1) if not pair.german), None):
        raise SupernetError(f"{option} {given!r}: sentence {lacking} has no translation; give {_FORM}")
    return SentenceData(pairs, given)


def _own(path: Path, what: str) -> list[Pair]:
    """Return the sentences of a user's text file."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        why = f"{error.reason} at byte {error.start}"
        raise SupernetError(f"{what} is no text in UTF-8 ({why}); save it as such") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise SupernetError(f"{what} can't be read: {reason}; give a text file with {_FORM}") from None
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        english, *german = (part.strip() for part in line.split("\t"))
        if len(german) > 1 or not english:
            raise SupernetError(f"{what}, line {number} has {len(german)} tabs; give {_FORM}")
        pairs.append(Pair(str(path), english, german[0] if german else ""))
    if not pairs:
        raise SupernetError(f"{what} holds no sentence; give {_FORM}")
    return pairs


_TASK = Translation()

TRANSLATION = LabelledInputs(task=_TASK, stream=_stream, stored=_stored, labelled=_labelled, has_own=True)
"""The inputs of the task of translation: held-out sentences where the user gives none."""
