"""The metrics of a server for Prometheus; docs/serving.md has a table of them.

Requests are counted from the records that the workers write, as the run's summary counts them, so that both agree. What
never came to an application, since it was turned away before, is counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from actors.agent.totals import BoardTotals
from workloads.mix.arrivals import External, Saturate
from workloads.results.counts import RecordTail, RequestCounts
from workloads.runs.launch import Deployment
from workloads.serve.board_view import BoardView
from workloads.serve.gateway import Gateway

CONTENT_TYPE = CONTENT_TYPE_LATEST

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the histogram of latencies, in seconds: three for each power of ten."""

_TOTALS_WALL_S = 1.0
"""Longest wait for the board agent's totals; without them a page has no energies."""


class Metrics(Collector):
    """The metrics of one server. `page` may be called from any thread, one call at a time.

    Args:
        gateway: the way to its deployment.
        view: the latest of its run.

    Attributes:
        responses: by route and status, how many responses were sent.
        open_connections: returns how many connections are open.
    """

    def __init__(self, gateway: Gateway, view: BoardView) -> None:
        self.responses: Counter[tuple[str, int]] = Counter()
        self.open_connections: Callable[[], int] = lambda: 0
        self._gateway = gateway
        self._view = view
        self._counts: dict[str, tuple[RecordTail, RequestCounts]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def page(self) -> bytes:
        """Return all metrics in Prometheus's text format; it waits for the board agent."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        deployment = self._gateway.deployment
        yield InfoMetricFamily("gearshift", "The version of the server.", {"version": version("gearshift")})
        yield from self._requests(deployment)
        yield from self._targets(deployment)
        yield from self._of_epoch()
        yield from _energies(deployment.live.totals(_TOTALS_WALL_S))
        yield from self._server()

    def _requests(self, deployment: Deployment) -> Iterator[Metric]:
        submitted = _counter("gearshift_requests_submitted", "Requests that came to an application.", ["app"])
        ended = _counter("gearshift_requests", "Requests that ended, by outcome.", ["app", "outcome"])
        on_time = _counter("gearshift_requests_on_time", "Requests completed within their target.", ["app"])
        by_subnet = _counter("gearshift_requests_by_subnet", "Requests completed by a sub-network.", ["app", "subnet"])
        waiting = _gauge("gearshift_requests_in_flight", "Requests that came and have not ended.", ["app"])
        latency = HistogramMetricFamily(
            "gearshift_request_latency_seconds", "Time from arrival to result of completed requests.", labels=["app"]
        )
        for app, planned in deployment.live.plan.apps.items():
            counts = self._counted(app)
            comes = isinstance(planned.app.arrivals, External | Saturate)
            arrived = counts.arrived if comes else max(counts.ended, deployment.live.scheduled(app))
            submitted.add_metric([app], arrived)
            waiting.add_metric([app], arrived - counts.ended)
            on_time.add_metric([app], counts.on_time)
            for outcome in ("completed", "dropped", "failed"):
                ended.add_metric([app, outcome], getattr(counts, outcome))
            for place, number in sorted(counts.subnets.items()):
                by_subnet.add_metric([app, planned.profile.rungs[place].subnet], number)
            latency.add_metric([app], list(_buckets(counts.by_latency)), sum_value=counts.latency_s)
        yield from (submitted, ended, on_time, by_subnet, waiting, latency)

    def _counted(self, app: str) -> RequestCounts:
        if app not in self._counts:
            self._counts[app] = RecordTail(self._gateway.deployment.live.records(app)), RequestCounts(BOUNDS_S)
        tail, counts = self._counts[app]
        tail.read_into(counts)
        return counts

    def _targets(self, deployment: Deployment) -> Iterator[Metric]:
        latency = _gauge("gearshift_app_target_seconds", "Latency target in force.", ["app"])
        floor = _gauge("gearshift_app_min_accuracy", "Accuracy floor in force, 0 to 1.", ["app"])
        weight = _gauge("gearshift_app_weight", "Weight in force.", ["app"])
        slo = _gauge("gearshift_app_slo", "Share of requests that is to be within the target.", ["app"])
        for app in deployment.apps:
            target = deployment.live.target(app)
            latency.add_metric([app], target.latency_ms / 1000)
            floor.add_metric([app], target.min_accuracy)
            weight.add_metric([app], target.weight)
            slo.add_metric([app], target.slo)
        yield from (latency, floor, weight, slo)

    def _of_epoch(self) -> Iterator[Metric]:
        view, epoch = self._view, self._view.epoch or {"units": {}}
        gears = _gauge("gearshift_app_gear", "1 for the gear in force.", ["app", "subnet", "unit", "cores"])
        for app, (subnet, unit, cores) in view.gears.items():
            gears.add_metric([app, subnet, unit, str(cores)], 1)
        yield gears
        switches = _counter("gearshift_gear_changes", "Changes of gear.", ["app"])
        losses = _counter("gearshift_workers_lost", "Workers that were lost.", ["app"])
        for app in self._gateway.deployment.live.plan.apps:
            switches.add_metric([app], view.switches[app])
            losses.add_metric([app], view.losses[app])
        yield from (switches, losses)
        clock = _gauge("gearshift_unit_clock_hertz", "Clock of a unit.", ["unit"])
        busy = _gauge("gearshift_unit_busy_ratio", "Share of a unit's core time taken, 0 to 1.", ["unit"])
        power = _gauge("gearshift_unit_power_watts", "Power of a unit, where it is known.", ["unit"])
        temperature = _gauge("gearshift_unit_temperature_celsius", "Temperature of a unit, where known.", ["unit"])
        for unit, seen in epoch["units"].items():
            clock.add_metric([unit], seen["mhz"] * 1e6)
            busy.add_metric([unit], seen["busy"])
            if seen["power_w"] is not None:
                power.add_metric([unit], seen["power_w"])
            if seen["temp_c"] is not None:
                temperature.add_metric([unit], seen["temp_c"])
        yield from (clock, busy, power, temperature)
        yield CounterMetricFamily("gearshift_epochs", "Epochs of the manager.", value=view.epochs)
        yield CounterMetricFamily("gearshift_decisions", "Epochs in which it decided anew.", value=view.decisions)

    def _server(self) -> Iterator[Metric]:
        refused = _counter("gearshift_refused", "Inferences answered with an error, by reason.", ["app", "reason"])
        for (app, reason), number in sorted(self._gateway.refused.items()):
            refused.add_metric([app, reason], number)
        responses = _counter("gearshift_http_responses", "Responses, by route and status.", ["route", "code"])
        for (route, code), number in sorted(self.responses.items()):
            responses.add_metric([route, str(code)], number)
        yield from (refused, responses)
        yield GaugeMetricFamily("gearshift_http_connections", "Open connections.", value=self.open_connections())


def _energies(totals: BoardTotals | None) -> Iterator[Metric]:
    joules = _counter("gearshift_energy_joules", "Energy since the start, where it is known.", ["of", "source"])
    if totals is not None and totals.units_j is not None:
        joules.add_metric(["units", totals.units_source], totals.units_j)
    if totals is not None and totals.board_j is not None:
        joules.add_metric(["board", totals.board_source], totals.board_j)
    yield joules


def _buckets(by_latency: Iterable[int]) -> Iterator[tuple[str, float]]:
    """Yield each bound with how many were at most that, as Prometheus counts."""
    total = 0
    for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), by_latency, strict=True):
        total += number
        yield bound, total


def _counter(name: str, text: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels)


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)
