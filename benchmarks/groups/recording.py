"""What recording costs on a chain, through the client, from receipts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measuring import Row
from benchmarks.setting import Bench
from integrity import Draft, Session, publish, publish_many
from integrity.publishing.requesting import request
from integrity.publishing.submitting import submit
from tests.chain.anvils import running_anvil, with_registry

HUNDRED = 100


def recording(bench: Bench) -> Iterator[Row]:
    """Gas of each release: alone, in a batch, and by a signed request."""
    with contextlib.ExitStack() as stack:
        anvil = with_registry(stack.enter_context(running_anvil(bench.work)))
        session, other = (anvil.publisher(bench.work / name) for name in ("one", "other"))
        # Names as long as those of docs/contract.md.
        place = bench.work / "releases"
        first = _drafts(place, [(f"fourteen-ch{n:03}", "1.0.0") for n in range(HUNDRED)])
        further = _drafts(place, [("fourteen-char1", f"2.{n // 10}.{n % 10}") for n in range(101)])
        alone = [
            _gas(session, draft)
            for draft in further[:1] + _drafts(place, [("fourteen-char1", "3.0.0")])
        ]
        yield Row("first release of a package, gas", f"{alone[0]:,}", "", None, "")
        yield Row("further release, gas", f"{alone[1]:,}", "", None, "≤ 85,000")
        yield _batch(session, first, "first", alone[0], "≤ 80,000 each")
        yield _batch(session, further[1:], "further", alone[1], "≤ 63,000 each")
        yield _sponsored(session, other, place, alone[1])


def _batch(session: Session, drafts: Sequence[Draft], kind: str, alone: int, target: str) -> Row:
    begun = time.perf_counter()
    done = publish_many(session, drafts, wait=False, sidecar=False)
    seconds = time.perf_counter() - begun
    assert done.gas_used is not None
    assert all(one.sequence for one in done.releases)
    each = done.gas_used / len(drafts)
    return Row(
        f"{len(drafts)} {kind} releases in one transaction, gas each ({seconds:.1f} s in all)",
        f"{each:,.0f}", f"alone {alone:,}", alone / each, target,
    )  # fmt: skip


def _sponsored(session: Session, other: Session, place: Path, alone: int) -> Row:
    (draft,) = _drafts(place, [("fourteen-char1", "4.0.0")])
    made = request(session, draft, sidecar=False).request
    assert made is not None
    gas = submit(other, made, wait=False).gas_used
    assert gas is not None
    return Row(
        "further release by a signed request, gas",
        f"{gas:,}",
        f"by its publisher {alone:,}",
        alone / gas,
        "",
    )


def _gas(session: Session, draft: Draft) -> int:
    gas = publish(session, draft.path, draft.package, draft.version, wait=False).gas_used
    assert gas is not None
    return gas


def _drafts(place: Path, names: Sequence[tuple[str, str]]) -> list[Draft]:
    made = []
    for package, version in names:
        folder = place / f"{package}-{version}"
        folder.mkdir(parents=True)
        (folder / "README").write_text(f"{package} {version}\n")
        made.append(Draft(folder, package, version))
    return made
