"""Panel 2: modes that are missing, support that is small, latents that are not used."""
