"""The search for a ladder: where accuracies and latencies come from, and evolution over a space."""
