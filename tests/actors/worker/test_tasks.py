"""A worker serves a task that is about no pictures: it hands payloads on, and knows credits alone."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from actors.requests.records import Status
from actors.worker.results import RequestFailedError
from actors.worker.serving import CAPPED
from helpers.words import Words, WordTask
from helpers.worker_rig import LARGE, SMALL


def faults(one):
    return [(fault.where, fault.text, fault.times, fault.first) for fault in one.telemetry().faults]


def answered(one, payload: object) -> Future:
    future = one.worker.submit(payload)
    one.run_until(one.clock.now_s() + 0.5)
    return future


def test_credits_are_recorded_and_on_result_gets_words(rig):
    said = []
    one = rig(
        arrivals_s=[0.1, 0.2, 0.3], source=Words(labels=("aaaa", "aa")), on_result=lambda _, word: said.append(word)
    )
    one.shift(SMALL)
    one.run_until(1)
    assert said == ["aaaa", "aaa", "aaaa"]
    assert [one.ends[index]["credit"] for index in range(3)] == pytest.approx([1, 2 / 3, 1])
    assert faults(one) == []


def test_without_labels_there_is_no_credit(rig):
    one = rig(arrivals_s=[0.1], source=Words(labels=None))
    one.shift(SMALL)
    one.run_until(1)
    assert np.isnan(one.ends[0]["credit"])


def test_a_clients_text_arrives_as_it_is_and_gets_words_back(rig):
    one = rig(source=Words())
    one.shift(LARGE)
    result = answered(one, "oak").result(0)
    assert (result.output, result.subnet) == ("aaaaaa", "large")
    assert np.isnan(one.ends[0]["credit"])


@pytest.mark.parametrize("payload", ["", None, 7, ["a", "b"], b"oak"])
def test_a_payload_of_another_kind_costs_its_own_request_only(rig, payload: object):
    one = rig(source=Words())
    one.shift(SMALL)
    with pytest.raises(RequestFailedError, match="an input must be a word, not"):
        answered(one, payload).result(0)
    assert answered(one, "oak").result(0).output == "aaa"
    assert one.statuses() == {0: Status.FAILED, 1: Status.COMPLETED}
    assert faults(one) == [("input", f"SupernetError: an input must be a word, not {payload!r}", 1, 0)]


def test_a_bad_input_of_the_mix_costs_its_own_request_only(rig):
    one = rig(arrivals_s=[0.1, 0.2], source=Words(words=("", "oak")))
    one.shift(SMALL)
    one.run_until(1)
    assert one.statuses() == {0: Status.FAILED, 1: Status.COMPLETED}
    assert faults(one) == [("source", "SupernetError: an input must be a word, not ''", 1, 0)]


def test_answers_that_are_cut_are_counted_and_complete(rig):
    one = rig(arrivals_s=[0.1, 0.2, 0.3], source=Words(words=("oak", "linden")))
    one.shift(LARGE)  # twice six letters are more than eight
    one.run_until(1)
    assert set(one.statuses().values()) == {Status.COMPLETED}
    assert faults(one) == [("output", CAPPED, 1, 1)]


def test_an_output_that_the_task_cannot_read_fails_its_request(rig, monkeypatch):
    def unread(*_):
        raise ValueError("no word")

    monkeypatch.setattr(WordTask, "payload", unread)
    one = rig(source=Words())
    one.shift(SMALL)
    with pytest.raises(RequestFailedError, match="no word"):
        answered(one, "oak").result(0)
    assert one.statuses() == {0: Status.FAILED}


@pytest.mark.parametrize(("score", "credit"), [(True, 1.0), (False, 0.0), (np.True_, 1.0), (0.25, 0.25), (0, 0.0)])
def test_a_users_score_may_be_a_bool_or_a_credit(rig, monkeypatch, score: object, credit: float):
    monkeypatch.setattr(Words, "score", lambda *_: score)
    one = rig(arrivals_s=[0.1], source=Words())
    one.shift(SMALL)
    one.run_until(1)
    assert (one.ends[0]["credit"], faults(one)) == (credit, [])


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan"), "good"])
def test_a_score_that_is_no_credit_is_a_trouble_and_the_result_stands(rig, monkeypatch, score: object):
    monkeypatch.setattr(Words, "score", lambda *_: score)
    one = rig(arrivals_s=[0.1], source=Words())
    one.shift(SMALL)
    one.run_until(1)
    assert one.statuses() == {0: Status.COMPLETED}
    assert np.isnan(one.ends[0]["credit"])
    ((where, _, times, first),) = faults(one)
    assert (where, times, first) == ("score", 1, 0)
