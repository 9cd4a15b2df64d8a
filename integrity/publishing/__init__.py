"""A folder becomes a release: hashed, kept, and recorded on the chain."""
