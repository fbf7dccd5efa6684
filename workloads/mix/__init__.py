"""The language of a mix: the classes that a user writes, how they are read, and what the manager is told of them."""
