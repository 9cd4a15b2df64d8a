"""The index of a registry, in a process of its own whose imports are done; prints JSON.

python -m benchmarks.indexing sync HOME RPC         reads all events of a node into a new index
python -m benchmarks.indexing fill FILE RELEASES    puts made-up releases into one
python -m benchmarks.indexing search FILE           searches it
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import sys
import time
from pathlib import Path

from integrity.client.session import Session
from integrity.core.events import Place, Released
from integrity.finding.indexing import bring_up, chain_view, open_index
from integrity.home import Home
from integrity.index.database import Index, Mark, Scope
from integrity.index.searching import Query, Searching
from integrity.index.words import asked
from integrity.ports import EventStep

SCOPE = Scope(1, "0x20d198462caA1034C5265525cFB1aD9d8Bd5AaC2")
STEP, BLOCK, TIMES = 8_000, 200, 31
PUBLISHERS, WORDS, SOME = 20_000, 50_000, 500


def sync(place: str, rpc: str) -> dict[str, float]:
    """Seconds of reading everything, and how much that was."""
    session = Session(Home.at(Path(place)), rpc=(rpc,))
    chain_id = session.reader(31337).chain_id()
    view = chain_view(session, chain_id)
    with open_index(session) as index:
        begun, cpu = time.perf_counter(), time.process_time()
        bring_up(session, index, view)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        (events,) = index.file.connection.execute("SELECT count(*) FROM release").fetchone()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": cpu, "events": events, "memory": memory}


def vocabulary(chosen: random.Random) -> list[str]:
    """Words as rare as most are; some are in two thousand times as many names as the others."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(chosen.choices(letters, k=chosen.randint(4, 10))) for _ in range(WORDS)]


def fill(file: str, releases: str) -> dict[str, float]:
    """Every release is one of a package of its own: more cannot be to be searched."""
    chosen = random.Random(1)  # the same every time
    words = vocabulary(chosen)
    publishers = [chosen.randbytes(20) for _ in range(PUBLISHERS)]
    mark = None
    begun = time.perf_counter()
    with Index(Path(file)) as index:
        for first in range(0, int(releases), STEP):
            events = []
            for number in range(first, min(int(releases), first + STEP)):
                block = number // BLOCK
                place = Place(
                    block, block.to_bytes(32, "big"), number % BLOCK, chosen.randbytes(32)
                )
                some = words[chosen.randrange(SOME)]
                name = f"common-{chosen.choice(words)}-{some}-{number}"
                who = chosen.choice(publishers)
                events.append(
                    Released(place, who, name, "1.2.3", 1, chosen.randbytes(32), who, True)
                )
            step = EventStep(events[-1].place.block, chosen.randbytes(32), events)
            assert index.add(SCOPE, mark, step, final=True)
            mark = Mark(step.last, step.hash, True)
    return {"seconds": time.perf_counter() - begun, "size": Path(file).stat().st_size}


def search(file: str) -> dict[str, dict[str, float]]:
    """Of each kind of search, in milliseconds: the first one, the median, the slowest; and what it found."""
    words = vocabulary(random.Random(1))
    rare, other, some = words[40_000], words[40_001], words[7]
    kinds = {
        "a rare word": [rare],
        "a word of some thousand": [some],
        "a word that all have": ["common"],
        "two rare words": [rare, other],
        "a rare word and one that all have": [rare, "common"],
        "a word of some thousand and one that all have": [some, "common"],
        "one letter": ["c"],
        "one letter that few begin with, and one that all have": [words[8][:2], "common"],
        "the beginning of a rare word": [rare[:3]],
        "a word that all have and one that nothing has": ["common", "zzzzzz0"],
        "a name but for its end": [f"common-{rare}-{some[:2]}"],
        "a beginning of many characters that all have": ["common-" + some[:1]],
        "a publisher": ["0x" + random.Random(2).randbytes(2).hex(), "common"],
        "a word that all have, in a version": ["common@1.2"],
    }
    found = {}
    with Index(Path(file)) as index:
        for kind, given in kinds.items():
            taken = []
            for _ in range(TIMES):
                begun = time.perf_counter()
                query = asked(given)
                hits = Searching(index, SCOPE).run(Query(query, [()] * len(query)))
                taken.append((time.perf_counter() - begun) * 1000)
            found[kind] = {
                "first": taken[0], "median": statistics.median(taken), "slowest": max(taken),
                "hits": len(hits.hits),
            }  # fmt: skip
    return found


if __name__ == "__main__":
    print(json.dumps({"sync": sync, "fill": fill, "search": search}[sys.argv[1]](*sys.argv[2:])))  # type: ignore[operator]
