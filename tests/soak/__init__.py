"""The soak: a real mix on Ray for an hour, in which no process may grow, and no log without bound.

`make soak` runs for an hour, and `make soak SOAK_SECONDS=600` for ten minutes. What it has measured is printed as a
table and is in `build/soak`, with every sample and a plot.
"""
