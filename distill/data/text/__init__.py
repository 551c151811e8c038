"""Unlabelled text: read as a stream, tokenised once onto the disk, packed into sequences."""
