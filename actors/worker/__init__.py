"""A worker: one application's process, which serves its requests in the gear that the manager gives it."""
