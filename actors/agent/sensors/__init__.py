"""Sensors: the rails of a board whose power or energy can be read."""

from __future__ import annotations

from actors.agent.sensors.common import Feeds, FoundRail, SensorError
from actors.agent.sensors.finding import DRIVERS, check_sensors, found
from actors.agent.sensors.rail_names import covers

__all__ = ["DRIVERS", "Feeds", "FoundRail", "SensorError", "check_sensors", "covers", "found"]
