"""From a mix to a run: what is looked up and checked before it starts, and what drives it, on Ray or simulated."""
