"""Sources: whoever offers bytes. None is trusted, so any may be used."""
