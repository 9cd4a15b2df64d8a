"""Finding releases: a package's history, search, and who has a file; each hint is then proven."""
