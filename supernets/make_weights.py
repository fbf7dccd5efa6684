"""The command that makes the shipped weights of `ofa-plates`: it trains, searches the ladder, calibrates and writes.

Run it as `python -m supernets.make_weights` (or `make weights`). After an interruption it goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from supernets import weights_file
from supernets.ofa.elastic import ElasticSupernet
from supernets.ofa.mobilenet import ElasticMobileNetV3
from supernets.ofa.spaces import OFA_PLATES
from supernets.ofa.training import Recipe, train
from supernets.pictures.evaluation import PLATES, PlateData
from supernets.search.accuracy_source import Calibration, MeasuredAccuracy
from supernets.search.evolution import EvolutionPlan
from supernets.search.find import LatencyBench, NewLadder, Progress, SearchPlan, search
from supernets.search.work_file import WorkFile

PLAN = SearchPlan(rungs=12, lowest_accuracy=0.60, evolution=EvolutionPlan(seed=1, population=8, generations=4))
"""Twelve latency limits, since at the lowest of them no sub-network reads well enough to be of use."""


def main() -> None:
    """Train and write `supernets/weights/ofa-plates.safetensors`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/plates"), help="checkpoint and exported candidates")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "weights" / f"{OFA_PLATES.name}.safetensors"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = Recipe()
    with _progress() as progress:
        bar = progress.add_task("training", total=recipe.steps, note="")

        def on_step(step: int, loss: float) -> None:
            progress.update(bar, completed=step + 1, note=f"loss {loss:.2f}")
            if not progress.console.is_terminal and (step + 1) % 250 == 0:
                progress.console.print(f"step {step + 1} of {recipe.steps}, loss {loss:.2f}")

        network = train(OFA_PLATES, recipe, options.work / "checkpoint.pt", on_step, device=options.device).eval()
        torch.set_num_threads(1)
        bars: dict[str, TaskID] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=total, note="")
            progress.update(bars[what], completed=done, total=total)

        ladder = find_ladder(network, PLAN, options.work, on_progress)
    about = {"recipe": repr(recipe), "search": repr(PLAN), "torch": torch.__version__}
    rungs = [(rung.subnet, rung.statistics) for rung in ladder.rungs]
    weights_file.save(options.out, network.state_dict(), rungs, about)
    _show(ladder, options.out)


def find_ladder(network: ElasticMobileNetV3, plan: SearchPlan, directory: Path, on_progress: Progress) -> NewLadder:
    """Search the ladder of a trained plate reader on one core of this machine.

    Args:
        network: the trained supernet.
        plan: how far to search.
        directory: directory for the trained weights and the work file.
        on_progress: called with the stage's name, how much of it is done, and of how much.

    Returns:
        The ladder, with accuracies measured on held-out plates.
    """
    state = directory / "trained.safetensors"
    weights_file.save(state, network.state_dict(), [], {})
    net = ElasticSupernet(network.space, state, "given")
    work = WorkFile(directory / "work.json", {"weights": net.base_hash})
    calibration = Calibration(data=PlateData(held_out=False), pictures=512, seed=plan.evolution.seed)
    bench = LatencyBench(engine="onnxruntime", threads=1)
    source = MeasuredAccuracy(
        net,
        PlateData(),
        calibration,
        pictures=1000,
        test_pictures=PLATES,
        seed=plan.evolution.seed,
        engine=bench.engine,
        threads=bench.threads,
        known=work.section("accuracy"),
        on_measured=lambda done, total: on_progress("accuracies", done, total),
    )
    return search(net, source, bench.timed_network, plan, work, calibration, on_progress)


def _show(ladder: NewLadder, out: Path) -> None:
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB; latency predictor: {ladder.error}")
    for rung in ladder.rungs:
        print(f"{rung.subnet.id:24} {rung.latency_ms:6.3f} ms on one core  exact match {rung.subnet.accuracy:.4f}")


def _progress() -> Bars:
    return Bars(
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )


if __name__ == "__main__":
    main()
