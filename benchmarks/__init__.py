"""Benchmarks: each measures with its peer in the same run, in turns, and records how much the machine stalled."""
