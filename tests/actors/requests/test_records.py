"""Records of versions that knew right and wrong results only are read as credits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.requests.records import EARLIER_RECORD, RECORD, Status, read_records, with_credits

# The fields as those versions wrote them, not as they are derived today.
WRITTEN = np.dtype(
    [("index", "<i8"), ("arrival_s", "<f8"), ("start_s", "<f8"), ("end_s", "<f8"), ("target_ms", "<f8"),
     ("service_ms", "<f8"), ("status", "u1"), ("correct", "i1"), ("subnet", "i2"), ("unit", "i2"), ("cores", "i2")]
)  # fmt: skip
ROWS = [
    (index, index / 10, index / 10, index / 10 + 0.05, 60.0, 50.0, Status.COMPLETED, correct, 2, 1, 4)
    for index, correct in enumerate((1, 0, -1))
]


def test_an_earlier_record_is_the_one_that_was_written() -> None:
    assert EARLIER_RECORD == WRITTEN


def test_right_is_a_whole_credit_and_all_else_stays() -> None:
    before = np.array(ROWS, dtype=WRITTEN)
    after = with_credits(before)
    assert after.dtype == RECORD
    np.testing.assert_array_equal(after["credit"], [1.0, 0.0, np.nan])
    for name in set(RECORD.names) - {"credit"}:
        np.testing.assert_array_equal(after[name], before[name])
    assert with_credits(after) is after


@pytest.mark.parametrize("cut", [0, 1, WRITTEN.itemsize - 1])
def test_a_file_of_earlier_records_is_read_by_their_length(tmp_path: Path, cut: int) -> None:
    raw = np.array(ROWS, dtype=WRITTEN).tobytes()
    (tmp_path / "records").write_bytes(raw[: len(raw) - cut])
    assert read_records(tmp_path / "records", WRITTEN)["index"].tolist() == [0, 1, 2][: 3 - bool(cut)]
