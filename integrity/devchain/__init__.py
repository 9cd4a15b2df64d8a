"""A development chain of one's own: anvil, with its state kept in a file between runs."""
