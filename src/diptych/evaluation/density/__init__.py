"""Panel 4: how dense held-out data are under a model."""
