"""The embedded store: what this home published, kept where it is and found by its digest."""
