"""The simulator: the real manager and policies on a board that exists in virtual time only."""

from workloads.simulator.plan import Costs, SimulationError, SimulationPlan
from workloads.simulator.residency import Residency
from workloads.simulator.simulation import Simulated, simulate

__all__ = ["Costs", "Residency", "Simulated", "SimulationError", "SimulationPlan", "simulate"]
