"""Sources, tokenising and batching."""
