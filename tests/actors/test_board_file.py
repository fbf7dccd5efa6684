"""A board file is read as written, and a wrong one is refused with the fault's place and the fix."""

import copy

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.board_schema import BoardError
from actors.cluster import load_board
from helpers.board_files import PLAIN, load, power, unit
from scheduler.idle_state import IdleState
from scheduler.sensor import Sensor
from scheduler.thermal import Thermal


def test_a_board_reads_as_written(tmp_path):
    gpu = {
        "name": "gpu",
        "kind": "gpu",
        "dvfs": "devfreq",
        "mhz": [100, 1000.5],
        "host": "little",
        "domain": "soc",
        "memory_share": 0.3,
    }
    content = {**PLAIN, "units": [*PLAIN["units"], gpu], "power": {"source": "none", "base_w": 1}}
    board = load(tmp_path, content)
    assert [unit.name for unit in board.units] == ["big", "little", "gpu"]
    assert (board.base_w, board.sensor, board.power_source, board.emulated) == (1.0, "none", "none", True)
    unit = board.unit("gpu")
    assert (unit.mhz, unit.cpus, unit.cores, unit.static_w, unit.speed) == ((100.0, 1000.5), (), 1, None, 1.0)
    assert (unit.host, unit.domain, unit.memory_share) == ("little", "soc", 0.3)


def test_what_only_the_simulator_plays_reads_as_written(tmp_path):
    content = unit(
        transition_us=140,
        idle_states=[{"residency_us": 10, "exit_us": 1}, {"residency_us": 2500, "exit_us": 700}],
        idle_share=0.25,
        thermal={"c_per_w": 6, "tau_s": 8.5, "trip_c": 84, "static_per_c": 0.01},
    )
    board = load(tmp_path, {**content, "ambient_c": 35, "speed_of": "other-core"})
    big, little = board.units
    assert (board.ambient_c, board.speed_of) == (35.0, "other-core")
    assert (little.transition_us, little.idle_share) == (140.0, 0.25)
    assert little.idle_states == (IdleState(residency_us=10, exit_us=1), IdleState(residency_us=2500, exit_us=700))
    assert little.thermal == Thermal(c_per_w=6, tau_s=8.5, trip_c=84, static_per_c=0.01)
    assert (little.thermal.polling_ms, little.thermal.reference_c) == (1000.0, 45.0)
    assert (big.transition_us, big.idle_states, big.idle_share, big.thermal) == (0.0, (), 1.0, None)
    plain = load(tmp_path, PLAIN)
    assert (plain.ambient_c, plain.speed_of) == (25.0, "host")


def test_sensors_read_as_written(tmp_path):
    (tmp_path / "found.csv").write_text("")
    sensors = [
        {"rail": "VDD_IN", "driver": "ina3221", "covers": "board"},
        {"rail": "A15", "driver": "ina2xx", "covers": ["big"], "address": 0x40},
        {"rail": "A7", "driver": "ina2xx", "covers": ["little"], "address": "4-0045"},
        {"rail": "MEM", "driver": "replay", "covers": [], "file": "found.csv"},
    ]
    board = load(tmp_path, power(sensors=sensors))
    assert board.sensors == (
        Sensor(rail="VDD_IN", driver="ina3221", covers="board"),
        Sensor(rail="A15", driver="ina2xx", covers=("big",), address="0x40"),
        Sensor(rail="A7", driver="ina2xx", covers=("little",), address="4-0045"),
        Sensor(rail="MEM", driver="replay", covers=(), file=str(tmp_path / "found.csv")),
    )
    assert load(tmp_path, power(sensor="rapl")).sensor == "rapl"
    assert load(tmp_path, PLAIN).sensors == ()


@pytest.mark.parametrize("written", ["0x40", "0x05"])
def test_an_address_may_stand_without_quotes(tmp_path, written):
    """YAML reads 0x40 as the number 64."""
    content = yaml.safe_dump(sensor(driver="ina2xx", address="HERE")).replace("HERE", written)
    assert load(tmp_path, content.encode()).sensors[0].address == written


def test_a_unit_may_be_switched_off_where_its_owner_says_so(tmp_path):
    assert [one.may_switch_off for one in load(tmp_path, unit(may_switch_off=True)).units] == [False, True]


def test_a_gpu_may_be_locked_where_its_owner_says_so(tmp_path):
    gpu = unit(may_lock=True, cpus=None, **GPU)
    assert [one.may_lock for one in load(tmp_path, gpu).units] == [False, True]


# ---------------------------------------------------------------- what can be wrong


def without(key):
    return {name: value for name, value in PLAIN.items() if name != key}


def thermal(**changes):
    return unit(thermal={"c_per_w": 6, "tau_s": 8, "trip_c": 84} | changes)


def idle(*residencies_us, exit_us=1):
    return unit(idle_states=[{"residency_us": residency, "exit_us": exit_us} for residency in residencies_us])


def sensor(*others, **changes):
    """The plain board with a sensor of some keys changed, and other sensors behind it; None leaves a key out."""
    first = {"rail": "VDD", "driver": "ina3221", "covers": ["big"]} | changes
    return power(sensors=[{key: value for key, value in first.items() if value is not None}, *others])


GPU = {"kind": "gpu", "dvfs": "nvml"}
SEVEN = [0.1] * 7
WRONG = {
    "unknown key": (unit(mzh=1), "units[1].mzh is not a key of a board. Did you mean 'mhz'?"),
    "unknown key in power": (power(sorce="x"), "power.sorce is not a key of a board. Did you mean 'source'?"),
    "unknown key on top": ({**PLAIN, "unit": []}, "unit is not a key of a board. Did you mean 'units'?"),
    "key that is like no other": (unit(zzz=1), "units[1].zzz is not a key of a board. The keys there are name, kind"),
    "key that is a number": ({**PLAIN, 3: 4}, "[3] is not a key of a board."),
    "no units": (without("units"), "units is missing. Add it."),
    "empty units": ({**PLAIN, "units": []}, "units must be a list with something in it, not []."),
    "units a mapping": ({**PLAIN, "units": {}}, "units must be a list in [brackets], not {}."),
    "unit a number": ({**PLAIN, "units": [7]}, "units[0] must be a mapping, not 7."),
    "no power": (without("power"), "power is missing. Add it."),
    "no source": ({**PLAIN, "power": {"sensor": "none"}}, "power.source is missing. Add it."),
    "empty source": (power(source=" "), "power.source must be text with something in it, not ' '."),
    "negative base": (power(base_w=-1), "power.base_w must be at least 0, not -1."),
    "no clocks": (unit(mhz=[]), "units[1].mhz must be a list with something in it, not []."),
    "clocks out of order": (
        unit(mhz=[200, 600, 400]),
        "units[1].mhz must rise from clock to clock, but",
    ),
    "clock twice": (unit(mhz=[200, 200]), "units[1].mhz must rise from clock to clock"),
    "clock zero": (unit(mhz=[0, 200]), "units[1].mhz[0] must be above 0, not 0."),
    "clock negative": (unit(mhz=[-5]), "units[1].mhz[0] must be above 0, not -5."),
    "clock NaN": (unit(mhz=[float("nan")]), "units[1].mhz[0] must be a finite number, not nan."),
    "clock infinite": (unit(mhz=[float("inf")]), "units[1].mhz[0] must be a finite number, not inf."),
    "clock in quotes": (unit(mhz=["200"]), "units[1].mhz[0] must be a number, not '200'."),
    "clock yes": (unit(mhz=[True]), "units[1].mhz[0] must be a number, not True."),
    "two fixed clocks": (unit(dvfs="fixed"), "units[1].mhz must be one clock where dvfs is fixed, not [200"),
    "CPU twice": (unit(cpus=[1, 1]), "units[1].cpus[1]: CPU 1 is listed twice, before in units[1].cpus."),
    "CPU in two units": (unit(cpus=[0]), "units[1].cpus[0]: CPU 0 is listed twice, before in units[0].cpus."),
    "CPU negative": (unit(cpus=[-1]), "units[1].cpus[0] must be at least 0, not -1."),
    "CPU a fraction": (unit(cpus=[0.5]), "units[1].cpus[0] must be a whole number, not 0.5."),
    "CPU unit without CPUs": (unit(cpus=None), "units[1].cpus must list at least one CPU, not []."),
    "GPU with CPUs": (unit(**GPU), "units[1].cpus must be left out where kind is gpu, not [1]."),
    "kind": (unit(kind="cpus"), "units[1].kind must be 'cpu' or 'gpu', not 'cpus'. Did you mean 'cpu'?"),
    "dvfs": (
        unit(dvfs="emulate"),
        "units[1].dvfs must be 'cpufreq', 'devfreq', 'nvml', 'emulated' or 'fixed', not 'emulate'. "
        "Did you mean 'emulated'?",
    ),
    "dvfs a number": (unit(dvfs=3), "dvfs must be 'cpufreq', 'devfreq', 'nvml', 'emulated' or 'fixed', not 3."),
    "dvfs a list": (unit(dvfs=["fixed"]), "must be 'cpufreq', 'devfreq', 'nvml', 'emulated' or 'fixed', not ['fixed']"),
    "dvfs of the other kind": (unit(dvfs="nvml"), "units[1].dvfs must be one of cpufreq, emulated, fixed"),
    "name twice": (unit(name="big"), "units[1].name: A unit named 'big' is there already."),
    "name empty": (unit(name=""), "units[1].name must be a name of letters, digits"),
    "speed zero": (unit(speed=0), "units[1].speed must be above 0, not 0."),
    "memory share": (unit(memory_share=1.5), "units[1].memory_share must be at most 1, not 1.5."),
    "static too short": (unit(static_w=[1, 2]), "units[1].static_w must have one figure for each of the 7 clocks"),
    "dynamic too long": (unit(dynamic_w=[1] * 8), "units[1].dynamic_w must have one figure for each of the 7 clocks"),
    "static falls": (unit(static_w=[2, 1, 3, 4, 5, 6, 7]), "units[1].static_w must not fall from clock to clock"),
    "static negative": (unit(static_w=[-1] * 7), "units[1].static_w[0] must be at least 0, not -1."),
    "dynamic NaN": (unit(dynamic_w=[float("nan")] * 7), "units[1].dynamic_w[0] must be a finite number, not nan."),
    "static alone": (unit(dynamic_w=None), "units[1].dynamic_w is missing beside static_w."),
    "host of a CPU unit": (unit(host="big"), "units[1].host is for a GPU; leave it out where kind is cpu"),
    "host unknown": (unit(cpus=None, host="bigg", **GPU), "units[1].host must be the name of a CPU unit"),
    "transition negative": (unit(transition_us=-1), "units[1].transition_us must be at least 0, not -1."),
    "idle share": (unit(idle_share=1.5), "units[1].idle_share must be at most 1, not 1.5."),
    "off without consent": (unit(off_w=0.001), "units[1].off_w is for a unit with may_switch_off: true. Add that."),
    "on time without consent": (unit(on_ms=3), "units[1].on_ms is for a unit with may_switch_off: true. Add that."),
    "off above idle": (
        unit(may_switch_off=True, off_w=5.0, idle_share=0.5),
        "units[1].off_w must be at most the idle power at the lowest clock, 0.0069 W, not 5.",
    ),
    "off without power": (
        unit(static_w=None, dynamic_w=None, may_switch_off=True, off_w=0.0),
        "units[1].off_w needs static_w and dynamic_w. Add both, or leave it out.",
    ),
    "milliwatts": (
        unit(dynamic_w=[14.6, 36.0, 54.0, 87.1, 108.9, 168.8, 204.8]),
        "units[1].dynamic_w[4] is 108.9 W for one core; figures are in W, not mW. Divide them by 1000.",
    ),
    "idle states a number": (unit(idle_states=7), "units[1].idle_states must be a list in [brackets], not 7."),
    "idle state not deeper": (
        idle(2500, 2500),
        "units[1].idle_states must come with rising residency_us, but [1] = 2500 follows 2500.",
    ),
    "exit negative": (idle(9, exit_us=-1), "units[1].idle_states[0].exit_us must be at least 0, not -1."),
    "unknown key of an idle state": (
        unit(idle_states=[{"residency_us": 1, "exit": 1}]),
        "units[1].idle_states[0].exit is not a key of a board. Did you mean 'exit_us'?",
    ),
    "idle state without exit": (
        unit(idle_states=[{"residency_us": 1}]),
        "units[1].idle_states[0].exit_us is missing. Add it.",
    ),
    "resistance zero": (thermal(c_per_w=0), "units[1].thermal.c_per_w must be above 0, not 0."),
    "time constant zero": (thermal(tau_s=0), "units[1].thermal.tau_s must be above 0, not 0."),
    "trip below ambient": (thermal(trip_c=25), "units[1].thermal.trip_c must be above ambient_c (25), not 25."),
    "polling zero": (thermal(polling_ms=0), "units[1].thermal.polling_ms must be above 0, not 0."),
    "cooling leakage": (thermal(static_per_c=-1), "units[1].thermal.static_per_c must be at least 0, not -1."),
    "unknown key of thermal": (
        thermal(trip=90),
        "units[1].thermal.trip is not a key of a board. Did you mean 'trip_c'?",
    ),
    "thermal without power": (
        unit(static_w=None, dynamic_w=None, thermal={"c_per_w": 6, "tau_s": 8, "trip_c": 84}),
        "units[1].thermal needs static_w and dynamic_w, since power is what heats. Add both.",
    ),
    "ambient below zero": ({**PLAIN, "ambient_c": -300}, "ambient_c must be above -273.15, not -300."),
    "whose speed": ({**PLAIN, "speed_of": "a core"}, "speed_of must be a name of letters, digits"),
    "sensor unknown": (power(sensor="ina"), "power.sensor must be 'none', 'rapl', 'ina3221', 'ina2xx' or 'nvml', not"),
    "sensor twice": (
        {**PLAIN, "power": {**sensor()["power"], "sensor": "rapl"}},
        "power.sensor is 'rapl' beside power.sensors. Give one of the two.",
    ),
    "driver unknown": (sensor(driver="ina3321"), "'nvml' or 'replay', not 'ina3321'. Did you mean 'ina3221'?"),
    "unknown key of a sensor": (sensor(adress=1), "power.sensors[0].adress is not a key of a board. Did you mean 'add"),
    "no rail": (sensor(rail=None), "power.sensors[0].rail is missing. Add it."),
    "rail twice": (
        sensor({"rail": "VDD", "driver": "rapl", "covers": []}),
        "power.sensors[1].rail: A rail named 'VDD' is there already.",
    ),
    "covers a word": (sensor(covers="boart"), "covers must be 'board' or a list of names of units, not 'boart'. Did"),
    "covers numbers": (sensor(covers=[0]), "covers must be 'board' or a list of names of units, not [0]."),
    "covers nobody": (
        sensor(covers=["big", "litle"]),
        "power.sensors[0].covers must name units, some of big, little, not 'litle'. Did you mean 'little'?",
    ),
    "covered twice": (
        sensor({"rail": "B", "driver": "rapl", "covers": ["little", "big"]}),
        "power.sensors[1].covers: rail 'VDD' covers big already. Cover it once.",
    ),
    "board covered twice": (
        sensor({"rail": "B", "driver": "rapl", "covers": "board"}, covers="board"),
        "power.sensors[1].covers: rail 'VDD' covers the board already.",
    ),
    "the board's name as a unit's": (sensor(covers=["board"]), "covers must name units, some of big, little, not 'boa"),
    "address of no chip": (
        sensor(driver="rapl", address="0x40"),
        "power.sensors[0].address is for a chip on an I2C bus; leave it out where driver is rapl.",
    ),
    "no address": (sensor(driver="ina2xx"), "power.sensors[0].address is missing: an ina2xx has no labels. Add it, as"),
    "address of eight bits": (sensor(address=0x80), "power.sensors[0].address must be an I2C address such as 0x40,"),
    "address without its zeros": (sensor(address="4-40"), "such as 4-0040, not '4-40'."),
    "replay without file": (sensor(driver="replay"), "power.sensors[0].file is missing. Add the recorded CSV where"),
    "file without replay": (sensor(file="a.csv"), "power.sensors[0].file is for driver replay; leave it out where dri"),
    "no such recording": (
        sensor(driver="replay", file="no.csv"),
        "no.csv'. Name a recorded CSV.",
    ),
    "switching a GPU off": (
        unit(may_switch_off=True, cpus=None, **GPU),
        "units[1].may_switch_off is for CPUs; leave it out where kind is gpu.",
    ),
    "switching off without a knob": (
        unit(may_switch_off=True, dvfs="fixed", mhz=[1000], static_w=None, dynamic_w=None),
        "units[1].may_switch_off needs a clock that can be set; leave it out where dvfs is fixed.",
    ),
    "switching all off": (
        {**PLAIN, "units": [one | {"may_switch_off": True} for one in PLAIN["units"]]},
        "units[1].may_switch_off: one CPU unit has to stay on. Leave it out of this unit, or of another one.",
    ),
    "switching off, a word": (unit(may_switch_off="yes"), "units[1].may_switch_off must be true or false, not 'yes'."),
    "locking a CPU": (
        unit(may_lock=True, dvfs="cpufreq"),
        "units[1].may_lock is for clocks that NVML locks; leave it out where dvfs is cpufreq.",
    ),
    "garbage": (b"\x00\x93\xff\xfe\x80", "is not text."),
    "control characters": (b"name: \x01", "is not text."),
    "empty": (b"", "is empty. A board has the keys name, units, power, modes, mode, sources, ambient_c, speed_of."),
    "only a comment": (b"# no\n", "is empty."),
    "syntax": (b"name: x\nunits: [1\npower: 3\n", "is not YAML in line 3: "),
    "a tag": (b"a: !!python/object:os.system {}", "is not YAML in line 1: "),
    "too deep": (b"[" * 500, "is not YAML in line 1: more than 50 open brackets."),
    "a list": (
        b"- 1\n",
        "must be a mapping with the keys name, units, power, modes, mode, sources, ambient_c, speed_of",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_board_is_one_message_with_file_key_value_and_fix(tmp_path, content, message):
    with pytest.raises(BoardError) as caught:
        load(tmp_path, content)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'board.yaml'}: ")
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize("path", ["no/such.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(path):
    with pytest.raises(BoardError, match=f"^{path}: cannot be read: "):
        load_board(path)


@given(garbage=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_garbage_gets_past_or_raises_anything_else(tmp_path_factory, garbage):
    path = tmp_path_factory.getbasetemp() / "garbage.yaml"
    path.write_bytes(garbage)
    with pytest.raises(BoardError):
        load_board(path)


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.floats(), max_size=3)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_board_with_any_value_replaced_is_read_or_refused_in_one_line(tmp_path_factory, data):
    content = copy.deepcopy(PLAIN)
    holder = data.draw(st.sampled_from([content, content["power"], *content["units"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JUNK)
    path = tmp_path_factory.getbasetemp() / "junk.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    units, refusal = (), ""
    try:
        units = load_board(path).units
    except BoardError as error:
        refusal = str(error)
    assert bool(units) != bool(refusal)
    assert "\n" not in refusal
    for one in units:
        assert list(one.mhz) == sorted(set(one.mhz))
        assert len(one.static_w or one.mhz) == len(one.mhz)
