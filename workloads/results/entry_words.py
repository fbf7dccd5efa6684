"""Entries of the epoch log in words: what a run says while it goes on, in a terminal or through `logging`."""

from __future__ import annotations

import logging
from typing import Any

from workloads.results.admission_words import admission_of, admission_words
from workloads.results.thinning import Entry

_LOG = logging.getLogger("gearshift")
_AS_PLANNED = ("event", "gear", "admission")
"""Kinds of entries that are no trouble; an answer that says what gives way is one."""

_ORDERS = {
    "Prepare": "the order to make a network ready",
    "Pin": "the order to move to its CPUs",
    "Activate": "the order to change gear",
    "SetClock": "the order to set its clock",
    "SwitchUnit": "the order to switch its CPUs on or off",
}


def log_entry(entry: Entry) -> None:
    """Log an entry under the name `gearshift`: trouble as a warning, an event or a change of gear as information."""
    words = entry_words(entry)
    if words:
        is_trouble = entry["kind"] not in _AS_PLANNED or (
            entry["kind"] == "admission" and admission_of(entry).outlook.verdict == "degraded"
        )
        level = logging.WARNING if is_trouble else logging.INFO
        _LOG.log(level, "gearshift: %.2f s  %s", entry["now_s"], words)


def entry_words(entry: Entry) -> str | None:
    """Return a log entry as a line, `event   garage leaves`; None for one that is not shown."""
    words = told(entry)
    return f"{words[0]:<8}{words[1]}" if words else None


def told(entry: Entry) -> tuple[str, str] | None:
    """Return a log entry in words, `("event", "garage leaves")`; None for one that is not shown.

    Raises:
        KeyError: the entry lacks a field, as in a log that is damaged.
    """
    match entry["kind"]:
        case "event":
            return "event", f"{entry['text']}"
        case "gear":
            return "gear", f"{entry['app']}: {_gear(entry['from'])} -> {_gear(entry['to'])}   {entry['why']}"
        case "admission":
            answer = admission_of(entry)
            return "admit" if answer.joined else "outlook", admission_words(answer)
        case "lost":
            return "lost", f"{entry['app']}: {entry['reason']}"
        case "part_lost":
            return "lost", f"the {entry['part']}: {entry['reason']}"
        case "part_back":
            return "back", f"the {entry['part']}: another one took over"
        case "fenced":
            held_ms, bound_ms = f"{entry['held_ms']:.0f} ms", f"{entry['bound_ms']:.0f} ms"
            return (
                "lost",
                f"{entry['app']}: {entry['why']} on {entry['unit']}: {held_ms}, bound {bound_ms}; it is killed",
            )
        case "out":
            return "lost", f"{entry['app']}: given up, since it is lost again and again: {entry['reason']}"
        case "stuck":
            return "slow", f"{entry['app']}: {entry['why']} for {entry['for_s']:.1f} s{_then(entry)}"
        case "fault":
            often = f"{entry['times']} times by now, first" if entry["times"] > 1 else "first"
            return "error", f"{entry['app']}: {entry['where']}: {entry['text']} ({often} at request {entry['first']})"
        case "unhealthy":
            return "slow", f"{entry.get('app') or entry.get('unit')}: no answer to {order_words(entry['waiting_for'])}"
        case "denied":
            asked, granted = f"{entry['asked']:g} MHz asked for", f"{entry['granted']:g} MHz granted"
            return "denied", f"{entry['unit']}: {asked}, {granted}, and no cap is seen; the plan goes on at that"
        case "shared":
            return "void", f"{entry['text']}"
        case "handed_back":
            return "board", "; ".join(entry["lines"])
        case "policy_failed":
            return "error", f"policy {entry['policy']}: {entry['error']}; the plan before stays in force"
        case "error":
            return "error", f"{entry['app']}: {entry['text']}"
    return None


def order_words(order: str) -> str:
    """Return an order of the manager, by its name in the log, in words."""
    return _ORDERS.get(order, order)


def _then(stuck: Entry) -> str:
    """Return what comes of a worker that makes no progress, where that is known."""
    if stuck["ends"]:
        return "; its process is ended"
    return "" if stuck["bound_s"] is None else f"; its process is ended at {stuck['bound_s']:g} s"


def _gear(gear: list[Any] | None) -> str:
    return "nothing" if gear is None else f"{gear[0]} on {gear[2]} x {gear[1]}"
