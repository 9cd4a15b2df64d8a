"""Blockchains: reading state over JSON-RPC, writing transactions, a development chain of one's own."""
