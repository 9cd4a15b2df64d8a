"""The disk: walking folders, hashing them on all cores, staging downloads."""
