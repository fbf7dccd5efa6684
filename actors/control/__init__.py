"""The manager's driver: the control loop, what carries its effects to Ray actors, and the reports that come back."""
