"""What this home knows of a registry's history: an index of its events, for finding. All of it is hints."""
