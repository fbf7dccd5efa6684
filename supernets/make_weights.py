"""Makes the shipped weights of `ofa-plates` from nothing: trains, searches the ladder, calibrates, writes.

Run as `python -m supernets.make_weights` (or `make weights`). It goes on from its checkpoint after an interruption.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from supernets.catalog import OFA_PLATES
from supernets.search import Candidate, SearchPlan, search
from supernets.training import Recipe, train
from supernets.weights_file import save


def main() -> None:
    """Trains and writes `supernets/weights/ofa-plates.safetensors`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/plates"), help="checkpoint and exported candidates")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "weights" / f"{OFA_PLATES.name}.safetensors"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe, plan = Recipe(), SearchPlan()
    with _progress() as progress:
        bar = progress.add_task("training", total=recipe.steps, note="")

        def on_step(step: int, loss: float) -> None:
            progress.update(bar, completed=step + 1, note=f"loss {loss:.2f}")
            if not progress.console.is_terminal and (step + 1) % 250 == 0:
                progress.console.print(f"step {step + 1} of {recipe.steps}, loss {loss:.2f}")

        network = train(OFA_PLATES, recipe, options.work / "checkpoint.pt", on_step, device=options.device).eval()
        torch.set_num_threads(1)
        searching = progress.add_task("search", total=None, note="")

        def on_candidate(done: int, total: int) -> None:
            progress.update(searching, completed=done, total=total)

        ladder = search(network, plan, options.work / "candidates", on_candidate)
    about = {"recipe": repr(recipe), "search": repr(plan), "torch": torch.__version__}
    save(options.out, network.state_dict(), [(rung.subnet, rung.statistics) for rung in ladder], about)
    _show(ladder, options.out)


def _show(ladder: list[Candidate], out: Path) -> None:
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    for rung in ladder:
        print(f"{rung.subnet.id:24} {rung.latency_ms:6.3f} ms on one core  exact match {rung.subnet.accuracy:.4f}")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )


if __name__ == "__main__":
    main()
