"""`gearshift accuracy` measures and writes accuracies, here of a small network that tells three colours apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import supernets
from actors.session import RaySession
from helpers.command_line import Ended, assert_refused, gearshift
from helpers.photo_folder import TABBY, TENCH, TISSUE, write_photos
from helpers.tiny_space import lived_in
from supernets import catalog
from supernets.calibration import calibrate
from supernets.ofa.elastic import built_in
from supernets.ofa.space import Space, Stage
from supernets.pictures.image_folder import ImageFolder, ImagePool
from workloads.mix.app import App
from workloads.mix.arrivals import External, Periodic
from workloads.mix.errors import MixError
from workloads.mix.mix import Mix
from workloads.results.verdict import wilson_interval
from workloads.runs.boards import open_board
from workloads.runs.launch import run_plan
from workloads.runs.plan import RunPlan, notices, plan_run

PHOTOS = Space(
    name="photos",
    task="imagenet",
    in_channels=3,
    aspect=1,
    stem_width=8,
    first_width=8,
    stages=(Stage(width=16, stride=2, squeeze_excite=True, activation="hard_swish"),),
    final_expand=32,
    cells=1,
    feature_mix=32,
    classes=1000,
    kernels=(3, 5),
    expands=(1, 2),
    depths=(1, 2),
    resolutions=(32, 40),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`val` and `train`, and weights of which the classifier is fitted to the largest sub-network, calibrated."""
    directory = tmp_path_factory.mktemp("home")
    write_photos(directory / "val", {TENCH: 10, TABBY: 8, TISSUE: 12}, seed=1)
    write_photos(directory / "train", {TENCH: 30, TABBY: 30, TISSUE: 30}, seed=2)
    network = lived_in(PHOTOS)
    module = network.extract(PHOTOS.largest)
    batches = [
        (torch.from_numpy(x), torch.tensor(labels))
        for x, labels in ImageFolder(directory / "train").batches(PHOTOS.input_shape(40), 45)
    ]
    calibrate(module, [x for x, _ in batches])
    features: list[torch.Tensor] = []
    module.classifier.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        for x, _ in batches:
            module(x)
        wanted = torch.nn.functional.one_hot(torch.cat([labels for _, labels in batches]), 1000).float()
        with_bias = torch.cat([torch.cat(features), torch.ones(90, 1)], dim=1)
        solution = torch.linalg.lstsq(with_bias, wanted).solution
        network.classifier.weight.copy_(solution[:-1].T)
        network.classifier.bias.copy_(solution[-1])
    torch.save(network.state_dict(), directory / "photos.pth")
    return directory


@pytest.fixture(autouse=True)
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    monkeypatch.setitem(catalog.BUILT_IN, "photos", built_in(PHOTOS))
    return home


def accuracy(*options: object, name: str = "photos") -> Ended:
    return gearshift("accuracy", name, "--data", "val", "--weights", "photos=photos.pth", *options)


def figures(ended: Ended) -> dict:
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def largest() -> str:
    return supernets.load("photos").ladder()[-1].id


# ---------------------------------------------------------------- what it measures


@pytest.fixture(scope="module")
def calibrated(home: Path) -> dict:
    """The whole ladder, calibrated, and written to `mine.safetensors`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setitem(catalog.BUILT_IN, "photos", built_in(PHOTOS))
        return figures(accuracy("--calibrate", "train", "--write", "mine.safetensors", "--json"))


def test_calibrated_it_tells_the_colours_apart(calibrated: dict) -> None:
    """The classifier was fitted to the largest; of the smallest nobody knows, so it is only counted."""
    small, large = calibrated["rungs"]
    assert (large["accuracy"], large["right"], large["n"]) == (1.0, 30, 30)
    assert large["interval_95"] == pytest.approx(wilson_interval(30, 30))
    assert (large["top5"], large["before"]) == (1.0, {"value": None, "source": "unknown"})
    assert [rung["subnet"] for rung in (small, large)] == [rung.id for rung in supernets.load("photos").ladder()]
    assert {rung["statistics"] for rung in (small, large)} == {"calibrated"}
    assert calibrated["notes"] == []


def test_statistics_that_are_inherited_cost_accuracy_and_are_warned_of(calibrated: dict) -> None:
    ended = accuracy("--subnet", largest(), "--json")
    (rung,) = figures(ended)["rungs"]
    assert rung["accuracy"] < calibrated["rungs"][-1]["accuracy"]
    assert rung["statistics"] == "inherited"
    assert "--calibrate DIR" in ended.err


def test_what_was_written_is_measured_alike_when_it_is_loaded(calibrated: dict, home: Path) -> None:
    again = figures(accuracy("--json", name="photos:mine.safetensors"))
    for before, after in zip(calibrated["rungs"], again["rungs"], strict=True):
        assert (after["right"], after["n"]) == (before["right"], before["n"])
        assert after["before"] == {"value": round(before["accuracy"], 4), "source": "measured"}
        assert after["statistics"] == "own"
    loaded = supernets.load("photos:mine.safetensors", home / "photos.pth").ladder()
    assert [rung.accuracy for rung in loaded] == [round(rung["accuracy"], 4) for rung in calibrated["rungs"]]


def test_a_limit_takes_all_classes_alike_and_a_leak_is_warned_of() -> None:
    ended = accuracy("--subnet", largest(), "--calibrate", "./val", "--limit", "3", "--json")
    (rung,) = figures(ended)["rungs"]
    assert (rung["n"], rung["right"]) == (3, 3)
    assert "the very data that are measured on, which flatters them" in ended.err


def test_the_table_goes_to_stdout_and_the_progress_to_stderr(calibrated: dict) -> None:
    ended = accuracy("--subnet", largest(), name="photos:mine.safetensors")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("photos (given weights) on val, 30 inputs, onnxruntime")
    assert "100.0 %" in lines[-1]
    assert "88.6 – 100.0 %" in lines[-1]
    assert "100.0 % measured" in lines[-1]
    assert all(len(line) <= 110 for line in lines)
    assert f"accuracy {largest()}: 100%" in ended.err


def test_plates_need_no_data() -> None:
    ended = gearshift("accuracy", "ofa-plates", "--subnet", "r16-1.16m-2186", "--limit", "66", "--json")
    (rung,) = figures(ended)["rungs"]
    assert (rung["n"], rung["top5"], rung["statistics"]) == (66, None, "own")
    low, high = rung["interval_95"]
    assert low < rung["before"]["value"] < high  # what is published of it with the shipped weights


def test_another_precision_is_a_rung_of_its_own(calibrated: dict, home: Path) -> None:
    options = ["--precision", "bfloat16", "--subnet", largest(), "--write", "low.safetensors", "--json"]
    (rung,) = figures(accuracy("--engine", "openvino", *options, name="photos:mine.safetensors"))["rungs"]
    assert (rung["subnet"], rung["precision"]) == (f"{largest()}-bfloat16", "bfloat16")
    assert (rung["before"]["value"], rung["statistics"]) == (1.0, "own")
    (loaded,) = supernets.load("photos:low.safetensors", home / "photos.pth").ladder()
    assert (loaded.id, loaded.precision, loaded.accuracy) == (rung["subnet"], "bfloat16", round(rung["accuracy"], 4))
    (back,) = figures(accuracy("--precision", "float32", "--json", name="photos:low.safetensors"))["rungs"]
    assert (back["subnet"], back["accuracy"]) == (largest(), 1.0)  # its statistics have come along


def test_an_engine_that_can_not_compute_in_a_precision_is_refused() -> None:
    ended = accuracy("--precision", "bfloat16", "--engine", "onnxruntime", "--subnet", largest())
    assert (ended.code, ended.out) == (2, "")
    assert "bfloat16" in ended.err.splitlines()[-1]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--subnet", "r40-0.5m-0578"], ["'r40-0.5m-0578' is not on the ladder of photos. Did you mean 'r40-"]),
        (["--engine", "onnxruntme"], ["--engine 'onnxruntme'", "Did you mean 'onnxruntime'?"]),
        (["--precision", "bfloat"], ["--precision 'bfloat' is unknown. Did you mean 'bfloat16'?"]),
        (["--calibrate", "absent"], ["absent does not exist"]),
        (["--write", "mine.pth"], ["--write 'mine.pth' must be a file that ends in .safetensors"]),
        (["--write", "photos.pth/mine.safetensors"], ["photos.pth is no directory"]),
        (["--weights", "photo=photos.pth"], ["--weights are given for 'photo', but this is about 'photos'"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_option_is_refused(options: list[str], says: list[str]) -> None:
    assert_refused(accuracy(*options), *says)


def test_an_imagenet_supernet_needs_data() -> None:
    assert_refused(gearshift("accuracy", "photos"), "--data must be a folder of ImageNet pictures", "--data DIR")


def test_plates_take_no_folder() -> None:
    ended = gearshift("accuracy", "ofa-plates", "--data", "val")
    assert_refused(ended, "--data 'val': plates are drawn by seed", "--data drawn")


@pytest.mark.parametrize("directory", ["empty", "file", "many", "flat"])
def test_a_folder_that_will_not_do_is_refused(directory: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    write_photos(tmp_path / "many", {"3": 1, "1000": 1})
    (tmp_path / "flat").symlink_to(write_photos(tmp_path / "classes", {TENCH: 1}) / TENCH)
    ended = gearshift("accuracy", "photos", "--data", tmp_path / directory)
    assert_refused(ended, str(tmp_path / directory))


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    write_photos(tmp_path, {TENCH: 2})
    broken = tmp_path / TENCH / "ILSVRC2012_val_00000001.JPEG"
    broken.write_bytes(b"garbage")
    ended = gearshift("accuracy", "photos", "--data", tmp_path, "--subnet", largest())
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.splitlines()[-1].startswith(f"gearshift: {broken} is no picture that can be read")


# ---------------------------------------------------------------- a run with it


def planned(home: Path, **app: Any) -> RunPlan:
    gate = App("gate", supernet="photos:mine.safetensors", latency_ms=500, **{"arrivals": Periodic(hz=20), **app})
    mix = Mix("photos", duration_s=2, apps=[gate])
    return plan_run(mix, open_board(None), weights={"photos": home / "photos.pth"})


@pytest.mark.ray
def test_a_run_on_the_same_photos_delivers_what_was_measured(
    calibrated: dict, home: Path, tmp_path: Path, session: RaySession
) -> None:
    """The ladder file and the folder, through a mix, to a worker and back: every answer of the largest is right."""
    (home / "val" / ".DS_Store").write_bytes(b"x")
    plan = planned(home, source="val", min_accuracy=calibrated["rungs"][-1]["accuracy"])
    assert isinstance(plan.apps["gate"].source, ImagePool)
    (notice,) = notices(plan, {"photos": home / "photos.pth"})
    assert notice.startswith("app 'gate': ")
    assert notice.endswith("/val: 1 entry that is no picture is left out, '.DS_Store' (a hidden file)")
    app = run_plan(plan, session, tmp_path / "run").apps["gate"]
    assert set(app.subnets) == {largest()}
    assert (app.accuracy.value, app.accuracy.source) == (1.0, "measured")
    assert app.accuracy.n == app.completed > 0


def test_an_app_without_a_source_gets_noise_and_is_told(calibrated: dict, home: Path) -> None:
    plan = planned(home)
    (notice,) = notices(plan, {"photos": home / "photos.pth"})
    assert "app 'gate': it has no source, so it gets noise" in notice


def test_a_client_may_send_pictures_of_any_size(calibrated: dict, home: Path) -> None:
    plan = planned(home, arrivals=External())
    assert notices(plan, {"photos": home / "photos.pth"}) == []
    picture = np.zeros((50, 70, 3), dtype=np.uint8)
    for artifact in plan.apps["gate"].artifacts.values():
        assert plan.apps["gate"].source.adapt(picture, artifact).shape == artifact.input_shape


def test_a_source_that_will_not_do_is_refused_by_the_apps_name(calibrated: dict, home: Path, tmp_path: Path) -> None:
    with pytest.raises(MixError, match=r"app 'gate': source '.*absent' is not a folder"):
        planned(home, source=tmp_path / "absent")
