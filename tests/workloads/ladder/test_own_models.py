"""Models of one's own are refused before a run or its simulation starts, in the same words, or run in what can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from actors import profiling
from actors.profiling import Ladder
from helpers.own_models import brightest, scaled, value, write, zip_map
from helpers.tiny_networks import board
from scheduler.errors import InputError
from supernets import SupernetError, engines
from supernets.engines import Trials
from workloads import App, Family, Mix, Periodic
from workloads.ladder.own_models import family_ladder, left_out_lines
from workloads.ladder.profiles import profiles_for
from workloads.mix.errors import MixError
from workloads.runs.app_sources import check_sources
from workloads.runs.plan import notices, plan_run

Ladders = Callable[[Family], Ladder]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEARSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(profiling, "_SAMPLES", 5)
    return tmp_path / "cache"


@pytest.fixture
def ladder(trials: Trials) -> Ladders:
    """Return the ladder of a family."""
    return lambda family: family_ladder(family, trials)


def mix(family: Family, **fields: object) -> Mix:
    app = App("gate", **{"supernet": family, "arrivals": Periodic(hz=5), "latency_ms": 60, **fields})
    return Mix("test", apps=[app], duration_s=1)


def alike(path: Path) -> Path:
    """Write a model that gives two outputs that can't be told apart by their kind."""
    nodes = [helper.make_node("Relu", ["x"], ["left"]), helper.make_node("Neg", ["x"], ["scores"])]
    return write(path, nodes, [value("x", (1, 4))], [value("left", (1, 4)), value("scores", (1, 4))])


def test_all_outputs_are_wanted_or_the_one_that_is_named(tmp_path: Path, ladder: Ladders) -> None:
    path = brightest(tmp_path / "small.onnx")
    ((every, accuracy, source),) = ladder(Family([(path, 0.5)]))
    assert (every.outputs, accuracy, source) == (("class", "scores"), 0.5, "published")
    ((one, accuracy, source),) = ladder(Family([(path, None)], output="scores"))
    assert (one.outputs, accuracy, source) == (("scores",), None, "unknown")


@pytest.mark.parametrize("output", ["", 0, ["scores"]])
def test_an_output_that_is_no_name(tmp_path: Path, output: object) -> None:
    with pytest.raises(MixError, match="Family: output must be the name of one output, such as 'scores', not"):
        Family([(brightest(tmp_path / "small.onnx"), 0.5)], output=output)


def test_a_directory_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(MixError, match=r"model.onnx' is a directory; give the \.onnx file in it"):
        Family([(tmp_path / "model.onnx", 0.5)])


def test_models_that_give_other_outputs_than_each_other(tmp_path: Path, ladder: Ladders) -> None:
    models = [(brightest(tmp_path / "small.onnx"), 0.5), (alike(tmp_path / "large.onnx"), 0.6)]
    with pytest.raises(SupernetError) as refused:
        ladder(Family(models))
    said = str(refused.value)
    assert f"{tmp_path}/small.onnx gives class, scores and {tmp_path}/large.onnx gives left, scores" in said
    assert said.endswith("name one: Family([...], output='scores')")
    assert len(ladder(Family(models, output="scores"))) == 2
    with pytest.raises(SupernetError, match=r"large.onnx has no output 'class'.*Known: left, scores"):
        ladder(Family(models, output="class"))


def test_one_output_may_have_another_name_in_each_model(tmp_path: Path, ladder: Ladders) -> None:
    write(tmp_path / "other.onnx", [helper.make_node("Relu", ["x"], ["z"])], [value("x", (1, 4))], [value("z", (1, 4))])
    assert len(ladder(Family([(scaled(tmp_path / "y.onnx"), None), (tmp_path / "other.onnx", None)]))) == 2


def test_an_engine_that_can_not_run_a_model_is_left_out_and_said(tmp_path: Path) -> None:
    family = Family([(zip_map(tmp_path / "forest.onnx"), 0.5)])
    said: list[str] = []
    profiles = profiles_for(mix(family), board(), on_notice=said.append)
    assert {time.engine for rung in profiles[family].rungs for time in rung.times} == {"onnxruntime"}
    (line,) = said
    assert line.startswith("forest runs in onnxruntime alone: ")
    plan = plan_run(mix(family), board())
    assert line in notices(plan, {})


def test_a_ladder_of_which_each_engine_can_run_a_part_is_measured(tmp_path: Path) -> None:
    best = helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0)
    plain_ = write(tmp_path / "plain.onnx", [best], [value("x", (1, 3))], [value("label", (None,), TensorProto.INT64)])
    family = Family([(plain_, 0.5), (zip_map(tmp_path / "forest.onnx"), 0.6)], output="label")
    plain, forest = profiles_for(mix(family), board())[family].rungs
    assert {time.engine for time in forest.times} == {"onnxruntime"}
    assert {time.engine for time in plain.times} <= {"onnxruntime", "openvino"}


def test_the_end_of_a_trial_is_remembered_unless_the_next_may_end_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("die-9", "die-11", "sound")
    weights = {name: f"{name}.weights" for name in names}
    families = [Family([(scaled(tmp_path / f"{name}.onnx", weights=weights[name]), 0.5)]) for name in names]
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with Trials(server="helpers.dying_trials") as dying:
        _, crashes, sound = [family_ladder(family, dying) for family in families]
        assert left_out_lines([crashes, sound]) == [
            f"die-11 runs in onnxruntime alone: openvino crashes on {tmp_path}/die-11.onnx (signal 11, SIGSEGV); "
            "download or export it again"
        ]
    with Trials(server="no.such.module") as nobody:
        assert [family_ladder(family, nobody) for family in families[1:]] == [crashes, sound]
        with pytest.raises(SupernetError, match="does not start"):
            family_ladder(families[0], nobody)
        scaled(tmp_path / "sound.onnx", 3.0, weights["sound"])  # the same file, and other weights beside it
        with pytest.raises(SupernetError, match="does not start"):
            family_ladder(families[2], nobody)


def test_other_weights_beside_the_model_are_another_profile(tmp_path: Path, cache: Path) -> None:
    family = Family([(scaled(tmp_path / "model.onnx", weights="weights"), 0.5)])
    profiles_for(mix(family), board())
    scaled(tmp_path / "model.onnx", 3.0, weights="weights")
    profiles_for(mix(family), board())
    assert len(list((cache / "profiles").iterdir())) == 2


def test_what_no_engine_can_run_is_refused_with_the_fix(tmp_path: Path, ladder: Ladders) -> None:
    node = helper.make_node("Fancy", ["x"], ["y"], domain="mine.ops")
    path = write(tmp_path / "m.onnx", [node], [value("x", (1, 4))], [value("y", (1, 4))], domains=["mine.ops"])
    with pytest.raises(SupernetError, match=r"ONNX Runtime can load.*OpenVINO can load.*mine\.ops::Fancy.*export it"):
        ladder(Family([(path, 0.5)]))


def test_an_engine_that_can_not_be_used_here_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supernets.engines.unusable", lambda: {"openvino": "it dies"})
    assert left_out_lines([]) == ["engine openvino can't be used here: it dies"]
    assert engines.candidates()


REFUSED = {
    "two inputs": lambda folder: mix(
        Family(
            [
                (
                    write(
                        folder / "two.onnx",
                        [helper.make_node("Add", ["a", "b"], ["y"])],
                        [value("a", (1, 4)), value("b", (1, 4))],
                        [value("y", (1, 4))],
                    ),
                    0.5,
                )
            ]
        )
    ),
    "an unknown output": lambda folder: mix(Family([(brightest(folder / "m.onnx"), 0.5)], output="boxes")),
    "a floor": lambda folder: mix(Family([(scaled(folder / "m.onnx"), None)]), min_accuracy=0.5),
    "a folder": lambda folder: mix(Family([(scaled(folder / "m.onnx"), 0.5)]), source=str(folder)),
    "several shapes": lambda folder: mix(
        Family([(brightest(folder / "m.onnx"), 0.5), (brightest(folder / "n.onnx", (1, 3, 6, 6)), 0.6)]),
        source=lambda index: None,
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_simulation_refuses_what_a_run_refuses_in_the_same_words(what: str, tmp_path: Path) -> None:
    bad = REFUSED[what](tmp_path)
    said = []

    def simulation() -> None:
        check_sources(bad, seed=0)
        profiles_for(bad, board())

    for plan in (lambda: plan_run(bad, board()), simulation):
        with pytest.raises(InputError) as refused:
            plan()
        said.append((type(refused.value), str(refused.value)))
    assert said[0] == said[1]
