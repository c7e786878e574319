"""Training: loss, schedules, optimizers, and the loop that keeps what it has learned."""
