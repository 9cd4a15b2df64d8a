"""The verifier: bytes and times in, a verdict out. It never opens, connects or asks the time."""
