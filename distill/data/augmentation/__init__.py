"""Data augmentation: words of training rows replaced by words that may stand there too."""
