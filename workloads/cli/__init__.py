"""The command `gearshift`."""

from workloads.cli.command import main

__all__ = ["main"]
