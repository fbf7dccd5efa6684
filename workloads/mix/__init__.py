"""The language of a mix: what a user writes, how it is read, and what the manager is told of it."""
