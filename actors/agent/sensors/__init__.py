"""Sensors: the rails of a board whose power or energy can be read, and the thread that adds up what they show."""

from __future__ import annotations

from actors.agent.sensors.common import Feeds, FoundRail, SensorError
from actors.agent.sensors.finding import DRIVERS, check_sensors, found, sensors_of
from actors.agent.sensors.rail import RailTotals
from actors.agent.sensors.rail_names import covers
from actors.agent.sensors.sampler import Sampler

__all__ = [
    "DRIVERS",
    "Feeds",
    "FoundRail",
    "RailTotals",
    "Sampler",
    "SensorError",
    "check_sensors",
    "covers",
    "found",
    "sensors_of",
]
