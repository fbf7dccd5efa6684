"""Actors: workers, the manager's driver and the board agent, the devices beneath them, and `cluster.yaml`."""
