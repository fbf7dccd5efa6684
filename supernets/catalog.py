"""The supernets that are built in, by name. Knows no torch.

Each family of supernets lists its own in `BUILT_IN`; the catalog only joins these lists. A new family is one line here.
"""

from __future__ import annotations

from pathlib import Path

from supernets import static
from supernets.built_in import BuiltIn
from supernets.errors import SupernetError, known_options
from supernets.inputs import INPUTS
from supernets.ofa import elastic
from supernets.seq2seq import supernet as seq2seq
from supernets.slimmable import supernet as slimmable
from supernets.supernet import Supernet
from supernets.task_inputs import TaskInputs

_SHIPPED = Path(__file__).parent / "weights"

BUILT_IN: dict[str, BuiltIn] = {
    entry.name: entry
    for family in (
        elastic.BUILT_IN,
        slimmable.BUILT_IN,
        static.BUILT_IN,
        seq2seq.BUILT_IN,
    )
    for entry in family
}
"""All built-in supernets by name, in the order in which they are shown."""


def names() -> tuple[str, ...]:
    """Return the names of the built-in supernets."""
    return tuple(BUILT_IN)


def check_name(name: str) -> None:
    """Check a supernet's name, `NAME` or `NAME:LADDER`; the ladder is not looked at.

    Raises:
        SupernetError: if the supernet is not known.
    """
    supernet = name.partition(":")[0]
    if supernet not in BUILT_IN:
        raise SupernetError(f"supernet {supernet!r} is unknown. {known_options(supernet, BUILT_IN)}")


def task_of(name: str) -> str:
    """Return the task of a supernet's sub-networks, one of `supernets.inputs.INPUTS`.

    Args:
        name: `NAME` or `NAME:LADDER`.

    Raises:
        SupernetError: if the supernet is not known.
    """
    check_name(name)
    return BUILT_IN[name.partition(":")[0]].task


def inputs_of(name: str) -> TaskInputs:
    """Return the inputs that applications of a supernet have or take.

    Args:
        name: `NAME` or `NAME:LADDER`.

    Raises:
        SupernetError: if the supernet is not known.
    """
    return INPUTS[task_of(name)]


def load(name: str, weights: str | Path | None = None, ladder: str | Path | None = None) -> Supernet:
    """Open a supernet.

    Args:
        name: one of `names()`, or `NAME:LADDER`.
        weights: a state dict, bare or under `state_dict` or `model`, as `.safetensors` or as a `.pth` without code;
            None takes the shipped weights, or random ones where none are shipped (`Supernet.weights_source` says
            which).
        ladder: a published set (`gpu6`, `gpu7`), a static network (`small`, `large`, or a published sub-network's
            identifier), or a ladder file; None takes what the weights bring, else the supernet's own.

    Raises:
        SupernetError: if the name is not known, or a file can't be read or doesn't fit.
    """
    check_name(name)
    supernet, _, behind_colon = name.partition(":")
    entry = BUILT_IN[supernet]
    shipped = _SHIPPED / f"{supernet}.safetensors"
    file = Path(weights) if weights is not None else shipped if shipped.exists() else None
    source = "given" if weights is not None else "shipped"
    named_ladder, ladder_file = _ladder(entry, ladder if ladder is not None else behind_colon or None)
    return entry.open(file, source, ladder_file, named_ladder)


def _ladder(entry: BuiltIn, ladder: str | Path | None) -> tuple[str | None, Path | None]:
    """Return the named ladder, or the ladder file, that is asked for; the other is None."""
    if ladder is None:
        return None, None
    known = entry.named_ladders()
    if ladder in known:
        return str(ladder), None
    if Path(ladder).is_file():
        return None, Path(ladder)
    fix = known_options(str(ladder), known) if known else f"None is published for {entry.name}"
    raise SupernetError(
        f"ladder {str(ladder)!r} is neither a file, as `gearshift ladder` writes it, nor a published set. {fix}"
    )
