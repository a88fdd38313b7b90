"""A run directory: building, training, checkpoints, resuming, loading."""
