"""Panel 6: how well a model draws a given image again."""
