"""The ledger: who has which core, which clock is in force, and how busy each unit was, in shared memory."""
