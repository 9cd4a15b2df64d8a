"""Serving: the store offered to others as a trustless gateway."""
