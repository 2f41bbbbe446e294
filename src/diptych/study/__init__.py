"""Studies: many runs at one budget, set side by side."""
