"""What a task is: labels, loss and metrics."""
