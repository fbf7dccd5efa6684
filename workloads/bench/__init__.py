"""The harness: policies × mixes × boards × seeds, with statistics that say how far a result goes."""
