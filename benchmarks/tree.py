"""``python -m benchmarks.tree ENTRIES WIDTH SUFFIX``: the seconds, and the memory, of building a UnixFS tree
of so many files of one piece, WIDTH in each folder.

The digests and names are made beforehand, a portion at a time, and not timed.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time

from integrity.core.tree import TreeBuilder
from integrity.core.unixfs import file_node
from integrity.disk.temporary import TemporaryFolder, TemporaryScratch

PORTION = 10_000
SIZE = 1000


def build(entries: int, width: int, suffix: str) -> float:
    """Seconds in the builder alone."""
    spent = 0.0
    with TemporaryFolder(None) as folder:
        builder = TreeBuilder(TemporaryScratch(folder))
        for start in range(0, entries, PORTION):
            portion = [
                (f"{i // width:04}/{i:08}.{suffix}", hashlib.sha256(b"%d" % i).digest())
                for i in range(start, min(start + PORTION, entries))
            ]
            begun = time.perf_counter()
            for path, digest in portion:
                builder.add(path, file_node(SIZE, digest))
            spent += time.perf_counter() - begun
        begun = time.perf_counter()
        builder.finish()
        return spent + time.perf_counter() - begun


if __name__ == "__main__":
    seconds = build(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "memory": memory}))
