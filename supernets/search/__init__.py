"""The search for a ladder: sources of accuracies and latencies, and evolution over a space."""
