"""The board agent: it pins threads, sets clocks and reads meters for the manager."""
