"""``python -m benchmarks.bound BYTES THREADS``: the seconds SHA-256 alone takes for that many bytes.

Each thread hashes 1 MiB buffers that are in memory already; no program that reads a file can be
faster on as many cores.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time

PIECE = 1 << 20


def seconds(size: int, threads: int) -> float:
    """Wall time of hashing ``size`` bytes, shared among the threads."""
    buffer = os.urandom(PIECE)

    def work() -> None:
        for _ in range(size // PIECE // threads):
            hashlib.sha256(buffer).digest()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(seconds(int(sys.argv[1]), int(sys.argv[2])))
