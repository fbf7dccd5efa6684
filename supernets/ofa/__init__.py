"""Once-for-all supernets: their space, the networks in it, official weights and training."""
