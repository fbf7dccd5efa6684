"""Measured tables of networks and clocks, requests drawn from them, and the policies that choose among their points."""
