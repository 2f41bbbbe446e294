"""Panel 8: whether single latents stand for single factors of variation."""
