"""Fault injection: the n-th operation of a small scenario fails, for n = 1, 2, 3, ..., and what must hold is checked.

`make faults` injects 10,000 faults in process and on virtual time, and prints how many of each kind were injected and
held. One that did not hold is printed with the words that make it again, with `tests` on the path:
`python -m faults --subject results --kind EIO --nth 7 --seed 3`. `python -m faults --on-ray` does it to whole runs on
Ray, many faults to a run.
"""
