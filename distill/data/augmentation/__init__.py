"""Data augmentation: words of training examples replaced by words that may stand there too."""
