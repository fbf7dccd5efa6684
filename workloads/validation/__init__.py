"""A real run beside its simulation, figure by figure."""
