"""The loop, its budget, its checkpoints, and the run as a directory."""
