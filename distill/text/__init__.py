"""Text to words, windows, tags, spans and sentences: training and serving both stand on it."""
