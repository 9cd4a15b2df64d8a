"""Fetching: pieces from whoever has them, each checked before it is kept."""
