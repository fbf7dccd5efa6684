"""What becomes of a request: the rules of queue, service time, floor and record that worker and simulator share."""
