"""The modes of a board's file are read as written; a wrong one is refused, and a board is named with its mode."""

from pathlib import Path

import pytest

from actors.board_schema import BoardError
from actors.cluster import find_board, load_board, packaged_board
from helpers.board_files import PLAIN, load, unit
from scheduler.errors import InputError
from scheduler.mode import ClockRange, Mode

LOW = {"name": "LOW", "id": 1, "cpus": [0], "min_mhz": {"big": 400}, "max_mhz": {"big": 1400}, "emc_mhz": 1600}
FULL = {"name": "FULL", "id": 0}


def modes(*some, **keys):
    """The plain board with modes, and other keys."""
    return {**PLAIN, "modes": list(some), **keys}


def test_modes_read_as_written(tmp_path):
    board = load(tmp_path, modes(LOW, FULL))
    assert board.modes == (
        Mode(
            name="LOW",
            id=1,
            cpus=(0,),
            clocks=(ClockRange(unit="big", min_mhz=400.0, max_mhz=1400.0),),
            emc_mhz=1600.0,
        ),
        Mode(name="FULL", id=0),
    )
    assert board.mode is None
    assert [one.name for one in board.units] == ["big", "little"]


def test_a_board_is_in_the_mode_that_its_file_says_unless_another_is_named(tmp_path):
    content = modes(LOW, FULL, mode="LOW")
    stock, full = load(tmp_path, content), load(tmp_path, content, "FULL")
    assert (stock.name, stock.mode, [one.name for one in stock.units]) == ("two-core-host", "LOW", ["big"])
    assert (full.name, full.mode, [one.name for one in full.units]) == ("two-core-host:FULL", "FULL", ["big", "little"])
    assert stock.unit("big").mhz == (400.0, 600.0, 800.0, 1000.0, 1200.0, 1400.0)


def test_the_memory_of_a_mode_adds_to_the_power_of_the_rest_of_the_board(tmp_path):
    fast, slow = FULL | {"emc_w": 0.25}, LOW | {"emc_w": -0.5}
    content = modes(fast, slow, power={"base_w": 2.0, "source": "measured: here"})
    assert load(tmp_path, content).base_w == 2.0
    assert load(tmp_path, content, "FULL").base_w == 2.25
    assert load(tmp_path, content, "LOW").base_w == 1.5
    assert load(tmp_path, {**content, "mode": "LOW"}).base_w == 1.5
    # What is not known adds nothing.
    assert load(tmp_path, modes(FULL, power={"base_w": 2.0, "source": "measured: here"}), "FULL").base_w == 2.0


def test_speed_holds_at_the_clock_where_it_was_found(tmp_path):
    """A core that was measured at 1000 MHz runs there as measured; the rest follows from the memory share."""
    little = load(tmp_path, unit(speed=0.5, memory_share=0.2, speed_at_mhz=1000)).unit("little")
    assert little.pace(1000) == pytest.approx(0.5)
    assert little.pace(500) == pytest.approx(0.5 / (0.2 + 0.8 * 2))
    assert little.pace(1400) == pytest.approx(0.5 / (0.2 + 0.8 / 1.4))
    assert little.pace(1000, 0.6) == pytest.approx(0.5)
    assert little.pace(500, 0.6) == pytest.approx(0.5 / (0.6 + 0.4 * 2))


def test_a_board_is_named_alone_or_with_a_mode(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load(tmp_path, modes(LOW, FULL))
    assert find_board("board.yaml") == load_board(tmp_path / "board.yaml")
    assert find_board(Path("board.yaml:LOW")) == find_board("board.yaml:1") == load_board("board.yaml", "LOW")
    assert find_board("jetson-xavier-nx") == packaged_board("jetson-xavier-nx")
    assert find_board("jetson-xavier-nx:0") == packaged_board("jetson-xavier-nx", "MODE_15W_2CORE")
    assert find_board() == packaged_board("two-core-host")
    # A file that is there is meant, whatever is in its name.
    (tmp_path / "odd:name").write_bytes((tmp_path / "board.yaml").read_bytes())
    assert find_board("odd:name") == find_board("board.yaml")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("odroid-xu3:MAXN", "Board 'odroid-xu3' has no mode 'MAXN'. It has none, so name the board alone."),
        (
            "jetson-tx2:MAXNN",
            "Board 'jetson-tx2' has no mode 'MAXNN'. Did you mean 'MAXN'? Its modes: MAXN (0), MAXQ (1)",
        ),
        ("jetson-tx2:7", "Board 'jetson-tx2' has no mode '7'. Its modes: MAXN (0)"),
        ("jetson-tx2:", "Board 'jetson-tx2' has no mode ''. Its modes: MAXN (0)"),
        (
            "jetson-tx:MAXN",
            "Board 'jetson-tx' is not packaged. Did you mean 'jetson-tx2'? There are: jetson-agx-xavier,",
        ),
        ("no.yaml:MAXN", "no.yaml: cannot be read: "),
    ],
)
def test_a_board_or_a_mode_that_is_not_there_is_one_sentence_with_what_there_is(named, says):
    with pytest.raises(InputError) as caught:
        find_board(named)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


WRONG = {
    "modes a mapping": (modes() | {"modes": {}}, "modes must be a list in [brackets], not {}."),
    "no name": (modes({"id": 0}), "modes[0].name is missing. Add it."),
    "no id": (modes({"name": "A"}), "modes[0].id is missing. Add it."),
    "unknown key": (modes(LOW | {"max_mzh": {}}), "modes[0].max_mzh is not a key of a board. Did you mean 'max_mhz'?"),
    "id negative": (modes(LOW | {"id": -1}), "modes[0].id must be at least 0, not -1."),
    "name twice": (modes(LOW, LOW | {"id": 2}), "modes[1].name: A mode named 'LOW' is there already."),
    "id twice": (modes(LOW, FULL | {"id": 1}), "modes[1].id: A mode named '1' is there already."),
    "name a number": (
        modes(LOW | {"name": "15"}),
        "modes[0].name must not be a number, since that is an id",
    ),
    "no CPU": (
        modes(LOW | {"cpus": []}),
        "modes[0].cpus must list at least one CPU. Leave it out",
    ),
    "CPU of nobody": (modes(LOW | {"cpus": [0, 7]}), "modes[0].cpus: CPU 7 is not of a unit. Use some of [0, 1]."),
    "CPU twice": (modes(LOW | {"cpus": [0, 0]}), "modes[0].cpus: CPU 0 is listed twice. List it once."),
    "limits a number": (modes(LOW | {"max_mhz": 1400}), "modes[0].max_mhz must be a mapping, not 1400."),
    "limit a word": (modes(LOW | {"max_mhz": {"big": "top"}}), "modes[0].max_mhz.big must be a number, not 'top'."),
    "limit of nobody": (
        modes(LOW | {"max_mhz": {"bigg": 1}}),
        "modes[0].max_mhz.bigg is not a unit. Did you",
    ),
    "limit off the table": (
        modes(LOW | {"max_mhz": {"big": 1450}}),
        "modes[0].max_mhz.big must be one of its clocks, such as 1400, not 1450.",
    ),
    "limits crossed": (
        modes(LOW | {"min_mhz": {"big": 1600}}),
        "modes[0].min_mhz.big must be at most its max_mhz, 1400, not 1600.",
    ),
    "memory zero": (modes(LOW | {"emc_mhz": 0}), "modes[0].emc_mhz must be above 0, not 0."),
    "memory without a base": (
        modes(LOW | {"emc_w": 0.9}, power={"source": "unknown: not measured"}),
        "modes[0].emc_w adds to power.base_w, which is unknown. Give that too, or leave emc_w out.",
    ),
    "memory below nothing": (
        modes(LOW | {"emc_w": -1.5}, power={"base_w": 1.0, "source": "measured: here"}),
        "modes[0].emc_w must leave power.base_w, 1, at 0 at least, not -1.5.",
    ),
    "stock mode unknown": (
        modes(LOW, mode="LO"),
        "mode must be the name of one of modes, not 'LO'. Did you",
    ),
    "stock mode by id": (modes(LOW, mode=1), "mode must be text, not 1."),
    "speed off the table": (
        unit(speed_at_mhz=1500),
        "units[1].speed_at_mhz must be within the clocks, 200 to 1400",
    ),
    "source of nothing": (
        {**PLAIN, "sources": {"mzh": "measured: here"}},
        "sources.mzh: 'mzh' is neither a key nor a unit. Did you mean 'mhz'?",
    ),
    "source of no unit": (
        {**PLAIN, "sources": {"gpu.mhz": "measured: here"}},
        "sources.gpu.mhz: 'gpu' is neither a key nor a unit.",
    ),
    "source without mark": (
        {**PLAIN, "sources": {"mhz": "the kernel"}},
        "sources.mhz must begin with one of measured, published, fitted, modelled, inferred, assumed, unknown and a",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_mode_is_one_message_with_key_value_and_fix(tmp_path, content, message):
    with pytest.raises(BoardError) as caught:
        load(tmp_path, content)
    said = str(caught.value)
    assert said.removeprefix(f"{tmp_path / 'board.yaml'}: ").startswith(message)
    assert "\n" not in said
