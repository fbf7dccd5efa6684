"""Fuzzing: every parser and every message gets damaged input, and may answer with a clean error and nothing else.

`make fuzz` runs for an hour, and `make fuzz FUZZ_SECONDS=60` for a minute. A failure is printed with its target and its
seed, which alone make the input again: `python -m fuzz --target boards --seed 7 --inputs 1`, with `tests` on the path.
"""
