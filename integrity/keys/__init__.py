"""Keys: v3 keystores through eth-account, and the unencrypted keys of development chains."""
