"""The loop that makes a translation, around an encoder and a step that are open in ONNX Runtime. Knows no torch.

Cache, last sub-word and place lie in memory that is bound to the step once. ONNX Runtime writes the step's outputs into
the memory of its inputs: a row into the cache, and the next sub-word over the last one. So a step is one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from supernets.artifact import Artifact
from supernets.engines.common import Stop, StoppedError
from supernets.errors import SupernetError
from supernets.seq2seq.lengths import CAPACITIES, cap
from supernets.seq2seq.vocabulary import BEGIN, END

_WARM_UP_STEPS = 2
"""Steps with each capacity that warm a network up. The first with new lengths finds out where in memory to compute."""


class _Room:
    """A cache with room for some sub-words, bound to a step.

    Args:
        step: the session of the step.
        capacity: number of sub-words.
        state: memory of the last sub-word and its place, by the step's names.
    """

    def __init__(
        self, step: onnxruntime.InferenceSession, capacity: int, state: Mapping[str, NDArray[np.int64]]
    ) -> None:
        self.capacity = capacity
        self.binding = step.io_binding()
        self._unseen = np.empty((1, 1, 1, capacity), dtype=np.float32)
        self._caches: list[NDArray[np.float32]] = []
        self.binding.bind_ortvalue_input("unseen", _shared(self._unseen))
        for name, array in state.items():
            self.binding.bind_ortvalue_input(name, _shared(array))
        self.binding.bind_ortvalue_output("next_word", _shared(state["word"]))
        for entry in step.get_inputs():
            if entry.name.startswith("own_"):
                cache = np.zeros([size if isinstance(size, int) else capacity for size in entry.shape], np.float32)
                self._caches.append(cache)
                tensor = _shared(cache)
                self.binding.bind_ortvalue_input(entry.name, tensor)
                self.binding.bind_ortvalue_output(entry.name.replace("own_", "new_"), tensor)

    def begin(self, memory: Sequence[tuple[str, Any]], full: _Room | None) -> None:
        """Begin with an empty cache, or with all that another one holds.

        Args:
            memory: the encoded sentence, by the step's names.
            full: a smaller cache that has no more room.
        """
        for name, tensor in memory:
            self.binding.bind_ortvalue_input(name, tensor)
        self._unseen.fill(-np.inf)
        if full is not None:
            self._unseen[..., : full.capacity] = 0
            for mine, old in zip(self._caches, full._caches, strict=True):
                mine[:, :, : full.capacity] = old

    def show(self, place: int) -> None:
        """Let the next step see a place, which it is about to write."""
        self._unseen[..., place] = 0


class Translation:
    """A sub-network that translates a sentence, always taking the likeliest next sub-word; one call at a time.

    Args:
        encoder: the session of its encoder.
        step: the session of a step of its decoder.
        artifact: what both were opened from.
    """

    def __init__(
        self, encoder: onnxruntime.InferenceSession, step: onnxruntime.InferenceSession, artifact: Artifact
    ) -> None:
        self._encoder, self._step = encoder, step
        self._subnet, self._longest = artifact.subnet, artifact.input_shape[1]
        self._word, self._place = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        state = {"word": self._word, "place": self._place}
        self._places = []  # where the place stands for each head
        for entry in step.get_inputs():
            if entry.name.startswith("places."):
                state[entry.name] = np.zeros(entry.shape, dtype=np.int64)
                state[entry.name][0, :, 0, 1] = np.arange(entry.shape[1])
                self._places.append(state[entry.name][..., 2])
        self._rooms = [_Room(step, capacity, state) for capacity in CAPACITIES]
        self._memory_names = [entry.name for entry in encoder.get_outputs()]

    def __call__(self, x: NDArray[Any], stop: Stop | None = None) -> NDArray[np.int64]:
        """Return the sub-words of a translation; the last one is END unless the cap ended it.

        Args:
            x: sub-words of the sentence, (1, s), the last of which is END; whole numbers of any type.
            stop: asked before each sub-word; True ends the call.

        Raises:
            SupernetError: for a sentence of no sub-word or too many, and for fractions.
            StoppedError: if `stop` ended it. What was made until then is no translation, and nobody gets it.
        """
        if x.ndim != 2 or x.shape[0] != 1 or not 1 <= x.shape[1] <= self._longest:
            raise SupernetError(
                f"{self._subnet} takes one sentence of 1 to {self._longest} sub-words, its end included, in an array "
                f"of shape (1, n), not {tuple(x.shape)}; a translation has {CAPACITIES[-1]} at the most"
            )
        if x.dtype.kind not in "iu":
            raise SupernetError(f"{self._subnet} takes numbers of sub-words, which are whole, not {x.dtype}")
        memory, full = self._encoded(x), None
        most = cap(x.shape[1])
        made: list[int] = []
        self._word[0] = BEGIN
        for room in self._rooms:
            room.begin(memory, full)
            for place in range(len(made), min(most, room.capacity)):
                if stop is not None and stop():
                    raise StoppedError(f"{self._subnet} was stopped after {len(made)} sub-words")
                made.append(self._next(room, place))
                if made[-1] == END:
                    return np.array(made)
            if room.capacity >= most:
                break
            full = room
        return np.array(made)

    def warm_up(self) -> None:
        """Run with short and long sentences and each capacity of the cache."""
        for length in sorted({min(capacity, self._longest) for capacity in (1, *CAPACITIES)}):
            memory = self._encoded(np.full((1, length), END))
            for room in self._rooms:
                room.begin(memory, None)
                for place in range(_WARM_UP_STEPS):
                    self._next(room, place)

    def _encoded(self, x: NDArray[Any]) -> list[tuple[str, Any]]:
        binding = self._encoder.io_binding()
        binding.bind_ortvalue_input("source", _shared(np.ascontiguousarray(x, dtype=np.int64)))
        for name in self._memory_names:
            binding.bind_output(name)  # in memory that ONNX Runtime takes for it, since its size is the sentence's
        self._encoder.run_with_iobinding(binding)
        return list(zip(self._memory_names, binding.get_outputs(), strict=True))

    def _next(self, room: _Room, place: int) -> int:
        self._place[0] = place
        for places in self._places:
            places.fill(place)
        room.show(place)
        self._step.run_with_iobinding(room.binding)
        return int(self._word[0])


def _shared(array: NDArray[Any]) -> Any:
    """Return an array's own memory as ONNX Runtime takes it. The array must outlive it."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
