"""Pictures: the built-in tasks, the sources of inputs, and the measurement of accuracy on labelled pictures."""
