"""Unlabelled text: masked words and pairs of sentences, from which an encoder learns."""
