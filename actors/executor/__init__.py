"""The GPU's executor: a process that holds the one device context, and the client that hands it requests."""
