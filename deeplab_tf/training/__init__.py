"""Training: losses, schedules, optimizers, and the loop with its checkpoints."""
