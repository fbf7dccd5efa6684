"""The rows of measured power that the figures of three Jetson boards were made from, and those kept apart from them."""

from __future__ import annotations

from collections.abc import Iterator

from actors import agx_power, tx2_power
from actors.measured_tables import measured_rows
from actors.xavier_fit import fit, gpu_runs, left_out, stated
from workloads.validation.power.table import Line

# ---------------------------------------------------------------- Xavier NX


def xavier_lines() -> Iterator[Line]:
    """Yield MLPerf's runs on the GPU alone, which decided its power, and the fully loaded board in two modes.

    A run is there with activity 1, and with the activity that the network had on an AGX Xavier.
    """
    for known in (False, True):
        for one in left_out(stated(fit())):
            cells = {
                # Two CPUs were on, as in this mode, at its lowest clock.
                "board": "jetson-xavier-nx:MODE_15W_2CORE",
                "rail": "board",
                "mhz": "min",
                "busy": "0.5",
                "mhz:gpu": f"{one.run.gpu_mhz:g}",
                "busy:gpu": "1",
                "power_w": f"{one.run.active_w:g}",
                "role": "fitted",
                "source": "MLPerf, activity as on AGX Xavier" if known else "MLPerf, activity unknown",
                "note": f"{one.run.network} {one.run.scenario}; that the host kept half a core busy is assumed",
            }
            activity = {"activity:gpu": f"{one.activity:.4f}"} if known else {}
            yield Line(where="xavier_mlperf_power.csv", cells=cells | activity)
    for row in measured_rows("xavier_nx_rails.csv"):
        if row["load"] == "stress":
            yield Line(
                where="xavier_nx_rails.csv",
                cells={
                    "board": f"jetson-xavier-nx:{row['mode']}",
                    "rail": "board",
                    "mhz": row["cpu_mhz"],
                    "busy": row["busy_cores"],
                    "mhz:gpu": row["gpu_mhz"],
                    "busy:gpu": row["gpu_busy"],
                    "power_w": row["board_w"],
                    "role": "fitted" if row["mode"] == "MODE_15W_6CORE" else "held-out",
                    "source": "fully loaded, activity unknown",
                    "note": "stress on all cores beside a matrix product on the GPU",
                },
            )


# ---------------------------------------------------------------- AGX Xavier


def agx_lines() -> Iterator[Line]:
    """Yield MLPerf's runs on the GPU, all rails together by mode, and networks in TFLite on all cores.

    Only networks with integers are held out. Those in Arm NN are left out: how many cores they kept busy is unknown.
    """
    for run in gpu_runs(agx_power.NAME):
        yield _agx_line(
            "xavier_mlperf_power.csv",
            **{"mhz:cluster0": "1190.4", "busy:cluster0": "0.5", "mhz:gpu": f"{run.gpu_mhz:g}", "busy:gpu": "1"},
            power_w=f"{run.active_w:g}",
            role="fitted",
            source="MLPerf, activity unknown",
            note=f"{run.network} {run.scenario}; that the host kept half a core busy is assumed",
        )
    yield from _agx_rails()
    yield from _agx_cpu()


def _agx_rails() -> Iterator[Line]:
    for row in measured_rows("agx_xavier_rails.csv"):
        # The board file has no mode with half of the GPU off.
        if row["load"] == "yolov3" and row["mode"] != "MODE_10W":
            yield _agx_line(
                "agx_xavier_rails.csv",
                board=f"{agx_power.NAME}:{row['mode']}",
                **{"mhz": "max", "busy": row["busy_cores"], "mhz:gpu": "max", "busy:gpu": "1"},
                power_w=f"{agx_power.wall_w(row):.3f}",
                role="fitted",
                source="all rails, over the supply's share",
                note="YOLOv3, activity unknown",
            )


def _agx_cpu() -> Iterator[Line]:
    for row in measured_rows("mlperf_ladders_power.csv"):
        if row["system"] == "jetson-agx-xavier-tflite":
            yield _agx_line(
                "mlperf_ladders_power.csv",
                **{"mhz": "max", "busy": "8"},
                power_w=row["wall_w"],
                role="fitted" if row["network"].endswith("float32") else "held-out",
                source="TFLite, eight cores, activity unknown",
                note=f"{row['network']}; the idle board took {row['idle_w']} W just before",
            )


def _agx_line(file: str, **cells: str) -> Line:
    return Line(where=file, cells={"board": agx_power.NAME, "rail": "board", **cells})


# ---------------------------------------------------------------- TX2


def tx2_lines() -> Iterator[Line]:
    """Yield the sweep that the figures were made from, and wall powers in three modes, as what the module took."""
    yield from _tx2_sweep()
    yield from _tx2_idle()
    yield from _tx2_loaded()


def _tx2_sweep() -> Iterator[Line]:
    for row in measured_rows("jetson_tx2_gpu_clocks.csv"):
        yield Line(
            where="jetson_tx2_gpu_clocks.csv",
            cells={
                "board": "jetson-tx2",
                "rail": "board",
                "mhz": "max",
                "busy": row["busy_cores"],
                "mhz:gpu": row["gpu_mhz"],
                "busy:gpu": "1",
                "activity:gpu": f"{tx2_power.vgg19_activity():.4f}",
                "power_w": row["vdd_in_w"],
                "role": "fitted",
                "source": "VGG19 at 13 clocks",
            },
        )


def _tx2_idle() -> Iterator[Line]:
    for row in measured_rows("jetson_tx2_wall.csv"):
        if row["network"] == "idle":
            yield _tx2_line(row, source=f"wall power, idle in {row['mode']}")


def _tx2_loaded() -> Iterator[Line]:
    """Yield the loads in two modes; what each causes is known from the same load in the third."""
    for row in measured_rows("jetson_tx2_wall.csv"):
        workload = (row["network"], row["datatype"], row["kept_percent"], row["batch"])
        if row["mode"] == tx2_power.TOLD_BY or workload not in tx2_power.over_vgg19():
            continue
        activity = max(0.0, tx2_power.over_vgg19()[workload] * tx2_power.vgg19_activity())
        yield _tx2_line(
            row,
            source=f"wall power in {row['mode']}, activity from {tx2_power.TOLD_BY}",
            **{
                "mhz:a57": "max",
                "busy:a57": "1",
                "mhz:gpu": "max",
                "busy:gpu": "1",
                "activity:gpu": f"{activity:.4f}",
                "note": f"{row['network']} {row['datatype']}, {row['kept_percent']} % kept, batch {row['batch']}",
            },
        )


def _tx2_line(row: dict[str, str], source: str, **cells: str) -> Line:
    mode = {"MAXP": "MAXP_CORE_ALL"}.get(row["mode"], row["mode"])
    return Line(
        where="jetson_tx2_wall.csv",
        cells={
            "board": f"jetson-tx2:{mode}",
            "rail": "board",
            "power_w": f"{tx2_power.module_w(float(row['wall_w'])):.3f}",
            "role": "held-out",
            "source": source,
            **cells,
        },
    )
