"""A whole bench in simulation runs, keeps, resumes and writes its tasks, and refuses bad ones."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars
import pytest
import typer
from typer.testing import CliRunner

from scheduler.errors import InputError
from workloads.bench.cases import Cases, find_cases
from workloads.bench.results import RunResult
from workloads.bench.rows import app_rows, run_rows
from workloads.bench.runner import run_bench
from workloads.bench.store import COMMAND_FILE, RUNS_FILE, Store
from workloads.bench.tasks import Command, usual_baselines
from workloads.cli.bench import bench
from workloads.mix.errors import MixError

MIX = """
from workloads import App, Mix, Periodic, Poisson, at

def mix():
    return Mix(
        name="{name}",
        duration_s=3,
        apps=[
            App("gate", "ofa-plates", Periodic(hz=10), latency_ms=120, min_accuracy=0.7),
            App("yard", "ofa-plates", Poisson(hz=5), latency_ms=300),
        ],
        events=[at(1, "gate", min_accuracy=0.75)],
        boards=["two-core-host"],
    )
"""
POLICY = """
from dataclasses import replace
from scheduler.policies import make_policy

class Fails:
    def decide(self, snapshot):
        raise RuntimeError("no idea")

class Changed:
    def __init__(self):
        self.joint = make_policy("joint")

    def decide(self, snapshot):
        plan = self.joint.decide(snapshot)
        return replace(plan, gears={**plan.gears, **self.change(plan.gears["gate"])})

class Misnames(Changed):
    def change(self, gear):
        return {"gtae": gear}

class AsksForSeven(Changed):
    def change(self, gear):
        return {"gate": replace(gear, cores=7)}
"""
BARE_BOARD = """
name: bare
units:
  - {name: cpu, kind: cpu, cpus: [0, 1], dvfs: emulated, speed: 0.035, mhz: [500, 1000]}
power: {sensor: none, base_w: null, source: "unknown: nobody measured"}
"""
QUIET: tuple[Callable[[str], None], Callable[[str, float, float], None]] = (lambda words: None, lambda *done: None)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "gate.py"
    path.write_text(MIX.format(name="gate"))
    return path


def command(policies: tuple[str, ...] = ("joint", "schedutil"), **given: object) -> Command:
    usual = {"against": usual_baselines(policies), "repeats": 2, "seed": 0, "backend": "sim", "scale": (1,)}
    options = usual | {"sensitivity": False} | given
    return Command(policies=policies, **options)  # type: ignore[arg-type]


def cases_of(asked: Command, *scripts: Path, boards: list[str] | None = None) -> Cases:
    return find_cases(asked, scripts, boards, 0, *QUIET)


def ran(asked: Command, cases: Cases, out: Path, jobs: int = 1) -> list[RunResult]:
    return run_bench(asked, cases, Store(out, cases.identity), jobs, QUIET[1])


def lines(out: Path) -> list[str]:
    return (out / RUNS_FILE).read_text().splitlines()


def test_every_policy_runs_with_every_seed_and_ours_at_the_baseline_s_accuracy(script: Path, tmp_path: Path) -> None:
    asked = command()
    results = ran(asked, cases_of(asked, script), tmp_path / "out")
    ran_as = [(one.task.policy, one.task.seed, one.task.parity) for one in results]
    assert ran_as == [
        ("joint", 0, None), ("joint", 1, None), ("schedutil", 0, None), ("schedutil", 1, None),
        ("joint", 0, "schedutil"), ("joint", 1, "schedutil"),
    ]  # fmt: skip
    assert all(one.error is None for one in results)
    baseline, parity = results[2].summary, results[4].summary
    assert baseline
    assert parity
    for name, app in parity.apps.items():
        for mine, other in zip(app.segments, baseline.apps[name].segments, strict=True):
            assert mine.accuracy is not None
            assert other.accuracy is not None
            assert mine.accuracy >= other.accuracy - 1e-9


def test_scale_and_sensitivity_run_the_mix_and_the_board_changed(script: Path, tmp_path: Path) -> None:
    asked = command(repeats=1, scale=(1, 2), sensitivity=True)
    rows = run_rows(ran(asked, cases_of(asked, script), tmp_path / "out"))
    plain = next(row for row in rows if (row["policy"], row["clones"], row["change"]) == ("joint", 1, None))
    more = next(row for row in rows if (row["policy"], row["clones"]) == ("joint", 2))
    idle = next(row for row in rows if (row["policy"], row["change"]) == ("joint", "idle power 0 % of static"))
    assert more["units_j"] > plain["units_j"]
    assert idle["units_j"] < plain["units_j"]


def test_a_bench_that_was_stopped_goes_on_where_it_was(script: Path, tmp_path: Path) -> None:
    asked, out = command(), tmp_path / "out"
    cases = cases_of(asked, script)
    whole = run_rows(ran(asked, cases, out))
    kept = lines(out)
    # As if it had been killed while it wrote the third line.
    (out / RUNS_FILE).write_text("\n".join(kept[:2]) + "\n" + kept[2][: len(kept[2]) // 2])
    again = Store(out, cases.identity)
    assert len(again.results) == 2
    assert run_rows(run_bench(asked, cases, again, 1, QUIET[1])) == whole
    assert sorted(lines(out)) == sorted(kept)


def test_what_is_done_is_not_run_again(script: Path, tmp_path: Path) -> None:
    asked, out = command(), tmp_path / "out"
    cases = cases_of(asked, script)
    first = run_rows(ran(asked, cases, out))
    script.unlink()
    assert run_rows(ran(asked, cases, out)) == first


def test_results_do_not_depend_on_the_number_of_processes(script: Path, tmp_path: Path) -> None:
    asked = command(("joint", "best", "schedutil", "oracle"), repeats=1)
    cases = cases_of(asked, script)
    alone, together = ran(asked, cases, tmp_path / "a", jobs=1), ran(asked, cases, tmp_path / "b", jobs=2)
    assert run_rows(alone) == run_rows(together)
    assert app_rows(alone) == app_rows(together)


def test_a_policy_that_raises_fails_by_name_and_the_others_go_on(script: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POLICY)
    asked = command(policies=(f"{file}:Fails", "joint"), against=(f"{file}:Fails",), repeats=1)
    cases = cases_of(asked, script)
    failed, good, *_ = ran(asked, cases, tmp_path / "out")
    assert failed.summary is None
    assert failed.error is not None
    assert "no idea" in failed.error
    assert good.summary is not None
    before = lines(tmp_path / "out")
    ran(asked, cases, tmp_path / "out")
    # What failed is tried again, and what did not is not.
    assert lines(tmp_path / "out") == [*before, before[0]]


@pytest.mark.parametrize(
    ("name", "words"),
    [("Misnames", "app 'gtae', which is unknown. Did you mean 'gate'?"), ("AsksForSeven", "'gate'.*7")],
)
def test_a_policy_that_asks_for_what_is_not_there_is_told_so(
    script: Path, tmp_path: Path, name: str, words: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POLICY)
    asked = command(policies=(f"{file}:{name}", "floor"), repeats=1)
    failed, good, *_ = ran(asked, cases_of(asked, script), tmp_path / "out")
    assert failed.error is not None
    assert re.search(re.escape(f"{file}:{name}") + ".*" + words.replace("?", "[?]"), failed.error)
    assert good.error is None


def test_another_command_in_the_same_directory_is_refused_by_what_differs(tmp_path: Path) -> None:
    Store(tmp_path / "out", {"repeats": 3, "seed": 0})
    with pytest.raises(InputError, match="repeats is 3 there, and 4 now"):
        Store(tmp_path / "out", {"repeats": 4, "seed": 0})


def test_a_directory_of_an_older_version_is_refused_and_never_read(tmp_path: Path) -> None:
    Store(tmp_path / "out", {"schema": 1, "repeats": 3})
    (tmp_path / "out" / RUNS_FILE).write_text("of another form\n")
    with pytest.raises(
        InputError, match=r"another version of gearshift \(schema 1 there, 2 now\); give another directory"
    ):
        Store(tmp_path / "out", {"schema": 2, "repeats": 3})


def test_a_changed_script_is_another_bench(script: Path, tmp_path: Path) -> None:
    asked = command()
    before = cases_of(asked, script).identity
    script.write_text(MIX.format(name="gate").replace("hz=10", "hz=9"))
    after = cases_of(asked, script).identity
    assert [key for key in before if before[key] != after[key]] == ["mixes"]


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no bench"):
        Store(tmp_path, {})
    with pytest.raises(InputError, match="is a file"):
        Store(tmp_path / "notes.txt", {})


def test_a_command_file_that_is_none_is_damaged(tmp_path: Path) -> None:
    for content in ("[1]", "{"):
        (tmp_path / COMMAND_FILE).write_text(content)
        with pytest.raises(InputError, match=r"bench\.json is damaged; give a new directory"):
            Store(tmp_path, {})


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    Store(tmp_path / "out", {})
    (tmp_path / "out" / RUNS_FILE).write_text('{"task": 3}\n')
    with pytest.raises(InputError, match=r"line 1 of runs\.jsonl is damaged"):
        Store(tmp_path / "out", {})


def test_a_mix_that_does_not_fit_a_board_asked_for_is_left_out(tmp_path: Path) -> None:
    for name, event in (("any", ""), ("big", 'at(1, unit="big", max_mhz=1000)')):
        text = MIX.format(name=name).replace('at(1, "gate", min_accuracy=0.75)', event)
        (tmp_path / f"{name}.py").write_text(text)
    scripts = [tmp_path / "any.py", tmp_path / "big.py"]
    cases = cases_of(command(), *scripts, boards=["one-unit-host"])
    assert [case.mix for case in cases.cases] == ["any"]
    assert len(cases.left_out) == 1
    assert "big on one-unit-host" in cases.left_out[0]
    with pytest.raises(MixError, match="no mix is left: big on one-unit-host"):
        cases_of(command(), scripts[1], boards=["one-unit-host"])


def test_generated_mixes_run_with_one_seed_and_keep_their_utilisation(tmp_path: Path) -> None:
    asked = command(policies=("floor",))
    cases = find_cases(asked, [], ["two-core-host"], 2, *QUIET)
    results = ran(asked, cases, tmp_path / "out")
    assert [(one.task.mix, one.task.seed) for one in results] == [("generated-0", 0), ("generated-1", 0)]
    assert [one.utilisation for one in results] == [case.utilisation for case in cases.cases]
    assert all(one.utilisation and 0.1 <= one.utilisation <= 0.9 for one in results)


def test_a_run_has_the_bound_for_what_it_dropped_its_objective_and_its_board_s_power_table(tmp_path: Path) -> None:
    path = tmp_path / "sharp.py"
    path.write_text(MIX.format(name="sharp").replace("duration_s=", 'objective="accuracy", duration_s='))
    asked = command(("joint", "floor", "largest"), against=("floor",), repeats=1)
    boards = ["odroid-xu3", "one-unit-host", "two-core-host"]
    results = ran(asked, cases_of(asked, path, boards=boards), tmp_path / "out")
    assert {one.group for one in results} == {"accuracy"}
    assert len({one.power_table for one in results}) == 1
    for one in results:
        assert one.summary is not None
        met = all((app.on_time or 0.0) >= app.slo for app in one.summary.apps.values())
        # Only the studied policy and its baselines are bounded.
        assert (one.lower_bound_j is not None) == (met and one.task.plain and one.task.policy != "largest")
        if one.lower_bound_j is not None:
            assert one.summary.energy.units_j is not None
            assert one.lower_bound_j <= one.summary.energy.units_j
    assert any(one.lower_bound_j is not None for one in results)


def test_two_boards_whose_power_is_unknown_share_nothing(tmp_path: Path) -> None:
    path, board = tmp_path / "gate.py", tmp_path / "bare.yaml"
    path.write_text(MIX.format(name="gate"))
    board.write_text(BARE_BOARD)
    asked = command(("floor",), repeats=1)
    [found] = ran(asked, cases_of(asked, path, boards=[str(board)]), tmp_path / "out")
    assert found.power_table == ""


def test_two_mixes_of_one_name_are_refused(script: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(MIX.format(name="gate"))
    with pytest.raises(MixError, match="two mixes are named 'gate'"):
        cases_of(command(), script, other)


def invoke(*given: object) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(bench)
    done = CliRunner().invoke(app, [str(one) for one in given])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_writes_tables_and_a_report_and_goes_on(script: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = (script, "--policies", "joint,schedutil", "--repeats", 1, "--jobs", 1, "--out", out)
    code, stdout, _ = invoke(*given)
    assert code == 0
    assert "Against schedutil, 1 mix " in stdout
    files = {COMMAND_FILE, RUNS_FILE, "report.html", "results.csv", "results.parquet", "runs.csv"}
    assert {path.name for path in out.iterdir()} == files
    assert polars.read_parquet(out / "results.parquet")["app"].to_list() == ["gate", "yard"] * 2
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    code, _, stderr = invoke(*given)
    assert code == 0
    assert "3 runs are done already" in stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == written
    assert json.loads((out / COMMAND_FILE).read_text())["policies"] == ["joint", "schedutil"]


def test_the_policies_that_are_named_are_what_others_are_compared_with(script: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = (script, "--policies", "floor,joint,largest", "--repeats", 1, "--jobs", 1, "--out", out)
    code, stdout, _ = invoke(*given, "--against", "floor,largest")
    assert code == 0
    assert re.findall(r"Against (\S+),", stdout) == ["floor", "largest"]
    runs = polars.read_csv(out / "runs.csv")
    assert runs["parity"].to_list() == [None] * 3 + ["floor", "largest"]
    assert runs["policy"].to_list() == ["floor", "joint", "largest", "joint", "joint"]
    # Other baselines need no other run but those at their accuracy.
    code, _, stderr = invoke(*given, "--against", "joint")
    assert code == 0
    assert "5 runs are done already" in stderr
    assert polars.read_csv(out / "runs.csv")["policy"].to_list() == ["floor", "joint", "largest", "floor"]
    assert len(lines(out)) == 6


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--policies", "jiont"), "Did you mean 'joint'"),
        (("--policies", "joint,,floor"), "--policies 'joint,,floor' must be names"),
        (
            ("--policies", "joint,schedutil", "--against", "schedutli"),
            "--against 'schedutli': 'schedutli' is not among --policies joint,schedutil. Did you mean 'schedutil'?",
        ),
        (("--against", "floor,"), "--against 'floor,' must be names"),
        (("--backend", "simm"), "Did you mean 'sim'"),
        (("--boards", "two-core-hots"), "Did you mean 'two-core-host'"),
        (("--scale", "1,2.5"), "--scale '1,2.5' must be whole numbers"),
        (("--backend", "ray", "--sensitivity"), "--sensitivity"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_two(
    script: Path, tmp_path: Path, given: tuple[str, ...], words: str
) -> None:
    code, stdout, stderr = invoke(script, "--out", tmp_path / "out", *given)
    assert (code, stdout) == (2, "")
    assert words in stderr
    assert stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_board_without_power_figures_is_named_and_the_rest_is_told(tmp_path: Path) -> None:
    script, board = tmp_path / "gate.py", tmp_path / "bare.yaml"
    script.write_text(MIX.format(name="gate"))
    board.write_text(BARE_BOARD)
    given = (script, "--boards", board, "--policies", "floor,schedutil", "--repeats", 1, "--jobs", 1)
    code, stdout, stderr = invoke(*given, "--out", tmp_path / "out")
    assert code == 0
    assert "board 'bare': no power figures for cpu, so energy is unknown and not compared" in stderr
    assert "unknown" in stdout
    assert polars.read_csv(tmp_path / "out" / "runs.csv")["units_j"].is_null().all()


def test_a_failed_run_is_exit_code_one_and_the_rest_is_written(script: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POLICY)
    out = tmp_path / "out"
    code, stdout, _ = invoke(script, "--policies", f"joint,{file}:Fails", "--repeats", 1, "--jobs", 1, "--out", out)
    assert code == 1
    assert "Runs that failed" in stdout
    assert polars.read_csv(out / "results.csv")["policy"].to_list() == ["joint", "joint"]
