"""The ``integrity`` command: arguments in, the public API called, results printed. No logic."""
