"""Keeps the tests of this machine away from those that run inside a guest, on a board of their own."""

collect_ignore = ["guest"]
