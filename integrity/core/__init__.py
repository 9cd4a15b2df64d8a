"""The format itself: pure functions over bytes and text. Nothing here opens, connects or asks the time."""
