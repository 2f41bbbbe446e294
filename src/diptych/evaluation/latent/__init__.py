"""Panel 5: how smooth the latent space is."""
