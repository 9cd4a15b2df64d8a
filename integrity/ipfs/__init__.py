"""IPFS nodes of others' making: a Kubo daemon, and pinning services."""
