"""Networks and transforms that describe an image by a vector."""
