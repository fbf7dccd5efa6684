"""What the guests' firmware says of their CPUs: an ACPI table for amd64, an overlay of the device tree for arm64."""

from __future__ import annotations

from kernel.boards import Board

# Two page registers of the PC's first DMA controller. They keep the byte that was written to them and do nothing else
# here, so one per cluster serves as its clock's control and status register.
CLOCK_PORTS = (0x81, 0x82)


def ssdt(board: Board) -> str:
    """Write the ACPI table by which `acpi-cpufreq` finds clocks, in ASL.

    _PSS has the clocks, falling, each with the byte that is written to choose it; _PCT the register it is written to;
    _PSD says which CPUs change their clock together (0xFC: any of them may ask). ACPI specification 6.5, section 8.4.5.
    """
    scopes = "".join(
        _cpu_scope(cpu, cluster.khz, domain=domain, port=CLOCK_PORTS[domain], width=len(cluster.cpus))
        for domain, cluster in enumerate(board.clusters)
        for cpu in cluster.cpus
    )
    names = "".join(f"    External ({_cpu_path(cpu)}, DeviceObj)\n" for c in board.clusters for cpu in c.cpus)
    return f'DefinitionBlock ("", "SSDT", 2, "GEARSH", "CLOCKS", 1)\n{{\n{names}{scopes}}}\n'


def _cpu_path(cpu: int) -> str:
    """Return the name that QEMU's own ACPI tables give a CPU."""
    return rf"\_SB.CPUS.C{cpu:03X}"


def _cpu_scope(cpu: int, khz: tuple[int, ...], *, domain: int, port: int, width: int) -> str:
    register = f"ResourceTemplate () {{ Register (SystemIO, 8, 0, 0x{port:02X}, 1) }}"
    # MHz, mW, µs of transition, µs of bus mastering, byte to write, byte to read. The kernel uses no power from here.
    states = "".join(
        f"            Package (6) {{ {clock // 1000}, {clock // 500}, 10, 10, {state}, {state} }},\n"
        for state, clock in enumerate(reversed(khz))
    )
    return f"""    Scope ({_cpu_path(cpu)})
    {{
        Name (_PCT, Package (2) {{ {register}, {register} }})
        Name (_PSS, Package ({len(khz)})
        {{
{states}        }})
        Method (_PPC, 0) {{ Return (0) }}
        Name (_PSD, Package (1) {{ Package (5) {{ 5, 0, {domain}, 0xFC, {width} }} }})
    }}
"""


def device_tree_overlay(board: Board) -> str:
    """Write what is added to the tree of QEMU's machine `virt`: tables of clocks, capacities and powers of its CPUs.

    `cpufreq-dt` sets a fixed clock, which refuses nothing and changes nothing: the kernel's belief, `scaling_cur_freq`,
    follows what it asked for, and `cpuinfo_cur_freq` shows the fixed clock, as where firmware does not obey.
    """
    tables = "".join(_opp_table(number, c.khz, c.mv) for number, c in enumerate(board.clusters))
    cpus = "".join(
        f"""&{{/cpus/cpu@{cpu}}} {{
    clocks = <&clock{number}>;
    operating-points-v2 = <&table{number}>;
    capacity-dmips-mhz = <{cluster.dmips_per_mhz}>;
    dynamic-power-coefficient = <{cluster.power_coefficient}>;
    #cooling-cells = <2>;
}};
"""
        for number, cluster in enumerate(board.clusters)
        for cpu in cluster.cpus
    )
    return f"/dts-v1/;\n/plugin/;\n\n&{{/}} {{\n{tables}    thermal-zones {{ }};\n}};\n{cpus}"


def _opp_table(number: int, khz: tuple[int, ...], mv: tuple[int, ...]) -> str:
    points = "".join(
        f"        opp-{clock} {{ opp-hz = /bits/ 64 <{clock * 1000}>; opp-microvolt = <{volt * 1000}>; "
        f"clock-latency-ns = <300000>; }};\n"
        for clock, volt in zip(khz, mv, strict=True)
    )
    return f"""    clock{number}: clock{number} {{
        compatible = "fixed-clock";
        #clock-cells = <0>;
        clock-frequency = <{khz[-1] * 1000}>;
    }};
    table{number}: opp-table-{number} {{
        compatible = "operating-points-v2";
        opp-shared;
{points}    }};
"""
