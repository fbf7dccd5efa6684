"""The bench: policies × mixes × boards × seeds, compared with statistics that say how far a result goes."""
