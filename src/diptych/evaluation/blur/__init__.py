"""Panel 3: sharpness and spectrum against the real set."""
