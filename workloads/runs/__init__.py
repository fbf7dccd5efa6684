"""The way from a mix to a run: the checks before it starts, and the code that drives it, on Ray or simulated."""
