"""Pictures: the built-in tasks, where inputs come from, and how accuracy is measured on labelled ones."""
