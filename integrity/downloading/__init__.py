"""A release becomes a folder, or a part of one: fetched, checked, kept, shared."""
