"""Explains plans of runs that have been: `gearshift explain`."""
