"""The geometry of pieces: every file is cut into stretches of 1 MiB, the last one shorter.

A piece is at once an IPFS raw leaf, a Metalink piece and an HTTP range.
"""

from __future__ import annotations

PIECE_SIZE = 1 << 20
"""1 MiB: the leaf size of the IPFS profile ``unixfs-v1-2025``, in bytes."""

DIGEST_SIZE = 32


def piece_count(size: int) -> int:
    """How many pieces a file of ``size`` bytes has; the empty file has one, of no bytes."""
    return max(1, -(-size // PIECE_SIZE))


def piece_length(size: int, index: int) -> int:
    """Bytes of piece ``index`` (0-based) of a file of ``size`` bytes."""
    return min(PIECE_SIZE, size - index * PIECE_SIZE)


def piece_digest(digests: bytes, index: int) -> bytes:
    """The 32 bytes of piece ``index`` out of a file's digests, one after another."""
    return digests[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE]


def split_digests(digests: bytes) -> list[bytes]:
    """A file's digests, 32 bytes each."""
    return [digests[at : at + DIGEST_SIZE] for at in range(0, len(digests), DIGEST_SIZE)]
