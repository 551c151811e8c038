"""Losses over matched signals: one file each."""
