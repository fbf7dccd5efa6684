"""Slimmable supernets: their spaces, the networks in them and their weights."""
