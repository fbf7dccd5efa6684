"""The lock files: how they are made, and whether there are wheels of all that they name."""
