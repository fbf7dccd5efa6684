"""The rules that every request follows, which worker and simulator share: queue, turn, service time, floor, record."""
