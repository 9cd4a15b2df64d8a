"""HTTP as a client: connections that are given up when an answer takes too long as a whole."""
