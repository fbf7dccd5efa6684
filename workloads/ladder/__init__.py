"""Networks made ready for a run: their ladders, profiles and accuracies, and the search for a new ladder."""
