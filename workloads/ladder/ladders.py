"""The ladders of a mix: exported networks of supernets and users' own models, with what is known of their accuracy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import supernets
from actors.paths import cache_dir
from actors.profiling import Ladder
from actors.stored_profiles import is_executable
from supernets.task_inputs import TaskInputs
from workloads.ladder.own_models import family_ladder
from workloads.mix.app import Family
from workloads.mix.errors import MixError, suggestion
from workloads.mix.mix import Mix
from workloads.progress import Progress


def ladders_of(
    mix: Mix,
    weights: Mapping[str, Path],
    on_progress: Progress,
    without: Collection[str | Family] = (),
    programs: bool = False,
) -> dict[str | Family, Ladder]:
    """Return the ladder of each supernet and family in a mix; all are looked up before the first is exported.

    Args:
        mix: the mix.
        weights: files of own weights, by supernet's name.
        on_progress: called as exports go on.
        without: supernets and families whose ladders are not needed.
        programs: True also exports what the torch engine and so all GPUs load.

    Raises:
        MixError: for an unknown supernet, one without a network to run, or weights that no app uses.
        supernets.SupernetError: for a file that can't be used.
        MissingExtraError: if torch is needed and not installed.
    """
    apps = [presence.app for presence in mix.all_apps() if presence.app.supernet not in without]
    supernets_ = list(dict.fromkeys(app.supernet for app in apps))
    for app in apps:
        if isinstance(app.supernet, str):
            if not is_executable(app.supernet):
                raise MixError(
                    f"app {app.name!r}: supernet {app.supernet!r} has published figures only, and no network to run; "
                    "simulate it with --backend sim."
                )
            try:
                supernets.check_name(app.supernet)
            except supernets.SupernetError as error:
                raise MixError(f"app {app.name!r}: {error}") from None
    used = {base_name(supernet) for supernet in supernets_ if isinstance(supernet, str)}
    for name in weights:
        if name not in used:
            raise MixError(f"weights are given for {name!r}, which no app uses. {suggestion(name, used)}")
    # A ladder's name or a file can be wrong too, and an export takes long: load all before the first export.
    families: dict[Family, Ladder] = {}
    with supernets.engines.Trials() as trials:
        for supernet in supernets_:
            if isinstance(supernet, Family):
                families[supernet] = family_ladder(supernet, trials)
            else:
                supernets.load(supernet, weights.get(base_name(supernet))).ladder()
    return {
        supernet: families[supernet]
        if isinstance(supernet, Family)
        else ladder_of(supernet, weights.get(base_name(supernet)), on_progress, programs)
        for supernet in supernets_
    }


def ladder_of(name: str, weights: Path | None, on_progress: Progress, programs: bool = False) -> Ladder:
    """Export the ladder of a built-in supernet.

    Args:
        name: a supernet with its ladder, if it is not the default one: `ofa-plates` or `ofa-mbv3-w1.2:gpu7`.
        weights: file of own weights; None takes the packaged ones.
        on_progress: called as exports go on.
        programs: True also exports what the torch engine and so all GPUs load.

    Raises:
        supernets.SupernetError: for an unknown name or unusable weights.
        MissingExtraError: if torch is needed and not installed.
    """
    net = supernets.load(name, weights)
    rungs = net.ladder()
    ladder = []
    for done, subnet in enumerate(rungs):
        on_progress(f"export {name}", done, len(rungs))
        artifact = supernets.export(net, subnet, cache_dir() / "exported", programs)
        ladder.append((artifact, subnet.accuracy, subnet.accuracy_source))
    on_progress(f"export {name}", len(rungs), len(rungs))
    return ladder


def base_name(supernet: str) -> str:
    """Return a supernet's name without its ladder: `ofa-mbv3-w1.2` for `ofa-mbv3-w1.2:gpu7`."""
    return supernet.partition(":")[0]


def metrics_of(mix: Mix) -> dict[str, str]:
    """Return the words for the accuracy of each app of a mix, such as `top-1`; of those that a supernet's task says.

    The accuracies of a user's own models, and of networks with published figures only, are what their authors call so.
    """
    metrics = {presence.app.name: metric_of(presence.app.supernet) for presence in mix.all_apps()}
    return {app: metric for app, metric in metrics.items() if metric is not None}


def metric_of(supernet: str | Family) -> str | None:
    """Return the words for the accuracy of one app's networks; None where no task says them."""
    if isinstance(supernet, str) and base_name(supernet) in supernets.names():
        return supernets.inputs_of(supernet).task.metric
    return None


def inputs_of(supernet: str | Family) -> TaskInputs:
    """Return the inputs that applications of a supernet or of a user's own models have or take.

    Raises:
        supernets.SupernetError: if the supernet is not known.
    """
    return supernets.own_inputs(supernet.inputs) if isinstance(supernet, Family) else supernets.inputs_of(supernet)


def supernet_label(supernet: str | Family) -> str:
    """Return the name that progress lines and stored profiles use: a supernet's own, or `family`."""
    return base_name(supernet) if isinstance(supernet, str) else "family"
