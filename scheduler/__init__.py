"""The scheduler decides which sub-network, cores and clock each application gets. No I/O, no Ray, no torch."""
