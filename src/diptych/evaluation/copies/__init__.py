"""Panel 7: whether samples are copies of training images."""
