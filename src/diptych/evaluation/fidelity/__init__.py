"""Panel 1: how far the generated set is from the real one, in fidelity and in coverage."""
