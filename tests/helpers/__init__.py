"""Helpers that several tests share: boards, networks, runs, rigs and peers."""
