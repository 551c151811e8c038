"""The part of a text that answers a question about it."""
