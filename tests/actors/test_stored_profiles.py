"""Stored profiles are read as they were written, and the published ones name their origin."""

import json
from dataclasses import replace

import numpy as np
import pytest

import supernets
from actors import stored_profiles
from actors.cluster import packaged_board
from actors.stored_profiles import (
    PACKAGED,
    StoredProfileError,
    is_executable,
    packaged_profile,
    thinned,
    write_packaged_profile,
)
from actors.wall_power import LADDERS
from helpers.shares import with_shares
from helpers.sized import sized_time
from scheduler.points import ArrivalModel, operating_points
from scheduler.profile import Profile, RungProfile, ServiceTime
from supernets import published
from workloads import App, Mix, Periodic
from workloads.ladder.ladders import ladders_of
from workloads.make_profiles import PROFILES, write_published
from workloads.mix.errors import MixError

OWN = ("ofa-plates", "translator-en-de")
"""The supernets that come with weights, whose profiles were measured."""

PROFILE = Profile(
    supernet="mine",
    machine="a machine",
    speed_of="its-core",
    rungs=(
        RungProfile(
            subnet="small",
            accuracy=0.5,
            accuracy_source="measured",
            times=(
                ServiceTime(kind="cpu", cores=1, samples_ms=(1.0, 2.0), engine="one"),
                ServiceTime(kind="gpu", cores=1, samples_ms=(0.5,), engine="two"),
            ),
        ),
        RungProfile(
            subnet="large",
            accuracy=None,
            accuracy_source="unknown",
            times=(ServiceTime(kind="cpu", cores=2, samples_ms=(3.0,)),),
        ),
    ),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of packaged profiles that holds `mine`."""
    write_packaged_profile(PROFILE, tmp_path / "mine.json", source="my bench", mark="published", executable=False)
    monkeypatch.setattr(stored_profiles, "_DATA", tmp_path)
    monkeypatch.setattr(stored_profiles, "PACKAGED", ("mine",))
    stored_profiles._packaged.cache_clear()
    yield tmp_path
    stored_profiles._packaged.cache_clear()


def profile_source(supernet: str) -> str:
    """Return where a packaged profile comes from, and what of it is assumed, as its file says."""
    stored = json.loads((stored_profiles._DATA / f"{supernet}.json").read_text())
    assumed = f"; assumed: {'; '.join(stored['assumed'])}" if stored["assumed"] else ""
    return f"{stored['mark']}: {stored['source']}{assumed}"


def test_a_profile_reads_as_written(folder):
    assert packaged_profile("mine") == PROFILE
    assert profile_source("mine") == "published: my bench"
    assert not is_executable("mine")


def test_what_is_assumed_is_part_of_the_source(folder):
    write_packaged_profile(PROFILE, folder / "mine.json", source="my bench", assumed=("this", "that"))
    assert profile_source("mine") == "measured: my bench; assumed: this; that"


def test_a_supernet_without_a_packaged_profile_may_have_a_network():
    assert packaged_profile("no-such") is None
    assert is_executable("no-such")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version: "),
        ({"source": None}, "source: "),
        ({"more": 1}, "more: "),
        ({"mark": "guessed"}, "mark: "),
        ({"rungs": []}, "rungs: "),
    ],
)
def test_a_wrong_file_is_named_with_its_key_and_the_fix(folder, change, message):
    path = folder / "mine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoredProfileError) as caught:
        packaged_profile("mine")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "Write it anew with workloads.make_profiles" in str(caught.value)


@pytest.mark.parametrize("samples_ms", [[2.0, 1.0], [], [0.0], [float("nan")]])
def test_samples_are_rising_times(folder, samples_ms):
    path = folder / "mine.json"
    content = json.loads(path.read_text())
    content["rungs"][0]["times"][0]["samples_ms"] = samples_ms
    path.write_text(json.dumps(content))
    with pytest.raises(StoredProfileError, match=r"rungs\.0\.times\.0"):
        packaged_profile("mine")


def test_a_networks_own_memory_share_reads_as_written_and_an_unknown_one_is_left_out(folder):
    assert "memory_share" not in (folder / "mine.json").read_text()
    own = with_shares(PROFILE, [0.0, None])
    write_packaged_profile(own, folder / "mine.json", source="my bench")
    stored_profiles._packaged.cache_clear()
    assert packaged_profile("mine") == own


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_memory_share_out_of_range_is_named_with_the_fix(folder, share):
    path = folder / "mine.json"
    content = json.loads(path.read_text())
    content["rungs"][0]["times"][1]["memory_share"] = share
    path.write_text(json.dumps(content))
    with pytest.raises(StoredProfileError) as caught:
        packaged_profile("mine")
    said = (
        f"rungs.0.times.1.memory_share: Value error, memory_share is {share}; it must be from 0 to 1. Where it is not"
    )
    assert said in str(caught.value)


BY_SIZE = replace(
    PROFILE,
    sizes=(3.0, 4.5, 20.0),
    rungs=(replace(PROFILE.rungs[1], times=(sized_time(10.0, 2.0, (3.0, 4.5, 20.0)),)),),
)


def test_a_profile_by_size_reads_as_written(folder):
    write_packaged_profile(BY_SIZE, folder / "mine.json", source="my bench")
    assert packaged_profile("mine") == BY_SIZE


def test_a_profile_by_size_keeps_its_line_its_mean_and_quantiles_above_98_percent(folder):
    rng = np.random.default_rng(0)
    raw = np.sort(rng.lognormal(0, 0.3, 999))
    residuals = tuple((raw / raw.mean()).tolist())
    time = sized_time(10.0, 2.0, BY_SIZE.sizes, residuals)
    long = replace(BY_SIZE, rungs=(replace(BY_SIZE.rungs[0], times=(time,)),))
    write_packaged_profile(long, folder / "mine.json", source="my bench")
    read = packaged_profile("mine").rungs[0].times[0]
    assert (read.base_ms, read.per_size_ms, len(read.samples_ms), len(read.residuals)) == (10.0, 2.0, 200, 200)
    assert read.mean_ms == pytest.approx(time.mean_ms, rel=1e-5)
    assert np.mean(read.samples_at_ms(7.0)) == pytest.approx(24.0, rel=1e-5)
    assert read.quantile_ms(0.98) < read.quantile_ms(0.99) < read.quantile_ms(0.995) < read.quantile_ms(1.0)
    assert read.quantile_ms(0.99) == pytest.approx(time.quantile_ms(0.99), rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base_ms": -1.0}, r"base_ms: Input should be greater than or equal to 0"),
        ({"base_ms": None}, r"base_ms is None, per_size_ms is 2\.0 and there are 3 residuals"),
        (
            {"per_size_ms": 0.0},
            r"per_size_ms is 0\.0 and there are 3 residuals; where times depend on the size all three",
        ),
        ({"per_size_ms": float("nan")}, "per_size_ms: "),
        ({"residuals": []}, "there are 0 residuals"),
        ({"residuals": [1.5, 0.5]}, "residuals must not fall"),
        ({"residuals": [0.0, 2.0]}, "residuals.0: Input should be greater than 0"),
        ({"residuals": [1.0, 1.5]}, r"the mean of residuals is 1\.25; it must be 1"),
    ],
)
def test_half_a_line_is_refused(folder, change, message):
    path = folder / "mine.json"
    write_packaged_profile(BY_SIZE, path, source="my bench")
    content = json.loads(path.read_text())
    content["rungs"][0]["times"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(StoredProfileError, match=message):
        packaged_profile("mine")


@pytest.mark.parametrize("sizes", [[], [0.0], [1.0, -3.0], [float("inf")]])
def test_sizes_are_above_0(folder, sizes):
    path = folder / "mine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sizes": sizes}))
    with pytest.raises(StoredProfileError, match="sizes"):
        packaged_profile("mine")


def test_what_has_no_sizes_is_written_without_a_word_of_them(folder):
    assert not any(key in (folder / "mine.json").read_text() for key in ("size", "residual", "base_ms"))


def test_thinning_keeps_the_mean_and_the_shape():
    samples_ms = tuple(1.0 + number / 70 for number in range(70))  # 70 does not divide by 50
    kept = thinned(samples_ms)
    assert len(kept) == 50
    assert kept == sorted(kept)
    assert sum(kept) / 50 == pytest.approx(sum(samples_ms) / 70, abs=1e-4)
    # The first fiftieth is one sample and two fifths of the next.
    assert kept[0] == pytest.approx((1.0 + 0.4 * (1 + 1 / 70)) / 1.4, abs=1e-4)
    assert kept[-1] == pytest.approx((samples_ms[-1] + 0.4 * samples_ms[-2]) / 1.4, abs=1e-4)


def test_few_samples_are_kept_as_they_are():
    assert thinned((1.0, 1.23456789)) == [1.0, 1.23456789]


# ---------------------------------------------------------------- what is packaged


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_profile_has_its_name_a_source_and_known_accuracies(name):
    profile = packaged_profile(name)
    assert profile.supernet == name
    assert ": " in profile_source(name)
    accuracies = [rung.accuracy for rung in profile.rungs]
    assert None not in accuracies
    assert accuracies == sorted(accuracies) or name in LADDERS  # those have dominated networks too
    assert [rung.times[0].mean_ms for rung in profile.rungs] == sorted(rung.times[0].mean_ms for rung in profile.rungs)


@pytest.mark.parametrize("name", sorted({*PACKAGED} - {*LADDERS, *OWN}))
def test_published_profiles_have_no_network_and_say_what_is_assumed(name):
    assert not is_executable(name)
    assert packaged_profile(name).speed_of == "jetson-xavier-nx"
    assert profile_source(name).startswith(("published: ", "digitised: ", "assumed: "))
    assert "; assumed: the spread about the published latency" in profile_source(name)
    if {time.kind for rung in packaged_profile(name).rungs for time in rung.times} == {"cpu"}:
        assert "one core, since the number is not published" in profile_source(name)


def test_the_measured_profile_is_of_the_shipped_network_and_of_a_host():
    profile = packaged_profile("ofa-plates")
    assert is_executable("ofa-plates")
    assert (profile.speed_of, len(profile.rungs)) == ("host", 7)
    assert profile_source("ofa-plates").startswith(f"measured: gearshift on {profile.machine}")
    for rung in profile.rungs:
        assert [(time.kind, time.cores, len(time.samples_ms)) for time in rung.times] == [
            ("cpu", 1, 50),
            ("cpu", 2, 50),
        ]


@pytest.mark.parametrize("name", OWN)
def test_a_measured_profile_is_of_the_ladder_that_is_shipped(name):
    shipped = [(subnet.id, subnet.accuracy) for subnet in supernets.load(name).ladder()]
    assert [(rung.subnet, rung.accuracy) for rung in packaged_profile(name).rungs] == shipped


def means_ms(name):
    return [rung.times[0].mean_ms for rung in packaged_profile(name).rungs]


@pytest.mark.parametrize(
    ("name", "system", "kind"),
    [
        ("dynamic-ofa-cpu", "Dynamic-OFA", "cpu"),
        ("dynamic-ofa-gpu-plotted", "Dynamic-OFA", "gpu"),
        ("autoslim-mnasnet-cpu", "AutoSlim-MnasNet", "cpu"),
        ("slimmable-mbv1-gpu", "Slimmable-MBv1", "gpu"),
    ],
)
def test_a_compared_system_has_the_points_of_the_published_figure(name, system, kind):
    points = [point for point in published.xavier_points() if (point.system, point.device) == (system, kind)]
    assert means_ms(name) == pytest.approx([point.latency_ms for point in points], rel=1e-4)
    assert [rung.accuracy for rung in packaged_profile(name).rungs] == [point.top1 for point in points]
    assert {(time.kind, time.cores) for rung in packaged_profile(name).rungs for time in rung.times} == {(kind, 1)}


def test_the_demos_ladder_has_the_latencies_stored_with_the_set():
    # runtime_demo, nets_6.pickle: level 4 is where the demo begins, under its 60 ms.
    assert means_ms("dynamic-ofa-gpu") == pytest.approx([41.159, 45.421, 49.436, 51.079, 56.747, 61.735], rel=1e-4)
    assert [rung.accuracy for rung in packaged_profile("dynamic-ofa-gpu").rungs][4] == pytest.approx(0.78346)


def test_a_ladder_by_macs_ends_where_the_published_one_does():
    # dynamic_ofa_subnets.json: 10⁶ MACs of the six networks.
    macs_m = [235.5, 254.0, 288.8, 375.5, 522.1, 731.1]
    assert means_ms("dynamic-ofa-gpu-by-macs") == pytest.approx([61.735 * one / 731.1 for one in macs_m], rel=1e-3)
    assert profile_source("dynamic-ofa-gpu-by-macs").startswith("assumed: ")
    by_macs, demo = packaged_profile("dynamic-ofa-gpu-by-macs"), packaged_profile("dynamic-ofa-gpu")
    assert [rung.accuracy for rung in by_macs.rungs] == [rung.accuracy for rung in demo.rungs]


def test_translation_has_hats_latencies_and_bleu():
    assert means_ms("hat-translation") == pytest.approx([3500, 4000, 4500, 5000, 6000, 6900], rel=1e-4)
    bleu = [rung.accuracy * 100 for rung in packaged_profile("hat-translation").rungs]
    assert bleu == pytest.approx([25.8, 26.9, 27.6, 27.8, 28.2, 28.4])
    assert packaged_profile("hat-translation").machine == "Raspberry Pi, Cortex-A72"


def test_the_spread_of_published_times_is_that_of_a_measured_network():
    measured = packaged_profile("ofa-plates").rungs[-1].times[0]
    spread = packaged_profile("dynamic-ofa-gpu").rungs[0].times[0]
    expected = [sample / measured.mean_ms for sample in measured.samples_ms]
    assert [sample / spread.mean_ms for sample in spread.samples_ms] == pytest.approx(expected, rel=1e-4)


def test_the_published_files_are_what_the_published_figures_make(tmp_path):
    write_published(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(made) == sorted(f"{name}.json" for name in PACKAGED if name not in OWN)
    for name, text in made.items():
        assert (PROFILES / name).read_text() == text, name


def test_published_latencies_hold_on_both_xavier_boards_at_the_clocks_of_the_15_w_mode():
    for board in (packaged_board("jetson-xavier-nx"), packaged_board("jetson-xavier-nx-unclamped")):
        for name, unit, mhz in (("dynamic-ofa-cpu", "cluster1", 1420.8), ("dynamic-ofa-gpu", "gpu", 1109.25)):
            profile = packaged_profile(name)
            assert profile.speed_of == board.speed_of
            points = operating_points(board, profile, app="a", arrivals=ArrivalModel(kind="saturate"), slo=0.95)
            at_clock = [point.service_ms for point in points if (point.unit, point.mhz) == (unit, mhz)]
            assert at_clock == pytest.approx(means_ms(name), rel=1e-3)


def test_a_run_for_real_refuses_figures_without_a_network():
    app = App("a", supernet="dynamic-ofa-gpu", arrivals=Periodic(hz=1), latency_ms=100)
    with pytest.raises(MixError, match=r"'dynamic-ofa-gpu' has published figures only.*simulate it with --backend sim"):
        ladders_of(Mix(name="m", duration_s=1, apps=[app]), {}, lambda what, done, total: None)
