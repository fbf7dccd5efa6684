"""A recording plays the power that was recorded for each moment, and a file that is no recording is refused by line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agent.devices.sysfs import DeviceError
from actors.agent.sensors.common import SensorError
from actors.agent.sensors.replay import Recording, read_recording
from helpers.virtual_clock import VirtualClock

GOOD = "at_s,power_w\n0,2\n1,4\n3,4\n"


@pytest.fixture
def recorded(tmp_path):
    def write(text):
        path = tmp_path / "meter.csv"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(("at_s", "power_w"), [(0.0, 2.0), (0.25, 2.5), (1.0, 4.0), (2.5, 4.0), (3.0, 4.0)])
def test_power_between_two_rows_is_a_straight_line(recorded, at_s, power_w):
    assert Recording(recorded(GOOD), VirtualClock(at_s)).read() == power_w * 1e6


@pytest.mark.parametrize("at_s", [-0.001, 3.001])
def test_outside_the_recording_there_is_no_power(recorded, at_s):
    with pytest.raises(DeviceError, match="the recording is of 0 to 3 s"):
        Recording(recorded(GOOD), VirtualClock(at_s)).read()


def test_its_period_is_that_of_its_rows(recorded):
    assert Recording(recorded("power_w,at_s,note\n1,0,a\n1,0.1,b\n1,0.2,\n1,5,\n"), VirtualClock()).period.word_s == 0.1


@given(
    rows=st.lists(st.tuples(st.floats(0.001, 10), st.floats(0, 100)), min_size=2, max_size=10), where=st.floats(0, 1)
)
def test_a_reading_lies_between_its_neighbours(tmp_path_factory, rows, where):
    at_s, lines = 0.0, []
    for span_s, power_w in rows:
        at_s += span_s
        lines.append((at_s, power_w))
    file = tmp_path_factory.mktemp("replay") / "meter.csv"
    file.write_text("at_s,power_w\n" + "".join(f"{at_s!r},{power_w!r}\n" for at_s, power_w in lines))
    now_s = lines[0][0] + where * (lines[-1][0] - lines[0][0])
    power_w = Recording(str(file), VirtualClock(now_s)).read() / 1e6
    before = max(line for line in lines if line[0] <= now_s)
    after = min((line for line in lines if line[0] >= now_s), default=lines[-1])
    low_w, high_w = sorted((before[1], after[1]))
    assert low_w - 1e-6 <= power_w <= high_w + 1e-6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line must name the columns at_s and power_w"),
        ("time,watts\n0,1\n1,1\n", "first line must name the columns"),
        ("at_s,power_w\n0,1\n", "at least two rows, not 1"),
        ("at_s,power_w\n0,1\n1,many\n", "line 3: power_w must be a number, not 'many'"),
        ("at_s,power_w\n0,1\n1\n", "line 3: power_w must be a number, not None"),
        ("at_s,power_w\n0,1\nnan,1\n", "line 3: at_s must be a number"),
        ("at_s,power_w\n0,1\n2,1\n2,1\n", "line 4: at_s 2 must come after 2"),
        ("at_s,power_w\n0,1\n2,-1\n", "line 3: power_w must be at least 0"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(recorded, text, words):
    file = recorded(text)
    with pytest.raises(SensorError, match=words) as error:
        read_recording(file)
    assert file in str(error.value)


def test_a_file_that_cannot_be_read_or_is_no_text_is_refused(tmp_path):
    with pytest.raises(SensorError, match="cannot be read"):
        read_recording(str(tmp_path / "none.csv"))
    (tmp_path / "meter.csv").write_bytes(b"at_s,power_w\n\xff\xfe\n")
    with pytest.raises(SensorError, match="is no CSV"):
        read_recording(str(tmp_path / "meter.csv"))
