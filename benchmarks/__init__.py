"""Measurements against peers, each side by side in one run: ``make bench``."""
