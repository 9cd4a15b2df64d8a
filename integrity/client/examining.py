"""A look at everything that a job needs, before one fails for want of it."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from integrity.chain.reader import RpcReader
from integrity.chain.rpc import shown_url
from integrity.client.session import Session
from integrity.client.vouching import open_view
from integrity.devchain.anvil import find_anvil
from integrity.devchain.chain import DevelopmentChain
from integrity.errors import (
    ChainToolMissing,
    IntegrityError,
    IpfsRefused,
    IpfsUnavailable,
    UnavailableError,
)
from integrity.index.database import Index
from integrity.ipfs.kubo import DEFAULT_API, Kubo, find_api
from integrity.ports import ChainReader
from integrity.serve.denying import Denylist, default_denylist
from integrity.store.database import Store
from integrity.verifier.checks import check_chain

_LOW_DISK = 1 << 30
_HASHED = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``next`` says how to mend it when it is not ``ok``."""

    name: str
    ok: bool
    detail: str
    next: str = ""


def examine(session: Session) -> list[Finding]:
    """Every finding, in the order in which a job would need the things. Changes nothing."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", _python),
        ("home", lambda: _home(session)),
        ("settings", lambda: _settings(session)),
        ("keys", lambda: _keys(session)),
        ("trust store", lambda: _trust(session)),
        ("store", lambda: _store(session)),
        ("index", lambda: _index(session)),
        ("denylist", lambda: _denylist(session)),
        ("hashing", _hashing),
        ("ipfs", _ipfs),
        ("pinning", lambda: _pinning(session)),
        ("anvil", lambda: _anvil(session)),
        ("development chain", lambda: _development(session)),
        *((f"chain {c}", lambda c=c: _chain(session, c)) for c in _chains(session)),
        *((f"rpc {shown_url(url)}", lambda u=url: _rpc(session, u)) for url in session.rpc),
    ]
    findings: list[Finding] = []
    for name, check in checks:
        finding = _look(name, check)
        # One broken thing is named once, by the check that is about it.
        if finding.ok or finding.detail not in (other.detail for other in findings):
            findings.append(finding)
    return findings


def _look(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except IntegrityError as error:
        detail = "; ".join([error.message, *error.causes])
        return Finding(name, False, detail, error.next)


def _python() -> str:
    return (
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    )


def _home(session: Session) -> str:
    folder = session.home.data_folder
    place = folder
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise IntegrityError(f"{place} cannot be written to", next="Set INTEGRITY_HOME elsewhere.")
    free = shutil.disk_usage(place).free
    if free < _LOW_DISK:
        raise IntegrityError(f"only {free >> 20} MiB are free at {place}", next="Make room there.")
    return f"{folder}, {free >> 30} GiB free"


def _settings(session: Session) -> str:
    config = session.config
    chain = "none" if config.default_chain is None else str(config.default_chain)
    return f"{config.path}, default chain {chain}, {_number(len(config.rpc), 'chain')} with an RPC"


def _keys(session: Session) -> str:
    keys = session.keystore.list()
    return (
        f"{len(keys)}, readable by their owner only"
        if keys
        else "none yet (only publishers need one)"
    )


def _trust(session: Session) -> str:
    return f"{_number(len(session.trust.all()), 'publisher')}, and this home's own keys"


def _store(session: Session) -> str:
    if not session.home.store.exists():
        return "nothing published from here yet"
    with Store(session.home.store) as store:
        return f"{_number(len(store.releases()), 'release')}, {session.home.store.stat().st_size >> 10} KiB"


def _index(session: Session) -> str:
    if not session.home.index.exists():
        return "nothing searched from here yet"
    with Index(session.home.index) as index:
        marks = [
            f"chain {scope.chain_id} up to block {mark.number}"
            for scope in index.scopes()
            if (mark := index.mark(scope)) is not None
        ]
    size = session.home.index.stat().st_size >> 10
    return f"{session.home.index}, {size} KiB: {', '.join(marks) or 'no chain yet'}"


def _denylist(session: Session) -> str:
    denylist = Denylist(default_denylist(session.home.store))
    denylist.refresh()
    return f"{_number(denylist.entries, 'entry', 'entries')} that `integrity serve` does not serve"


def _pinning(session: Session) -> str:
    names = sorted(session.config.pinning)
    for name in names:
        session.pinning_service(name)
    return ", ".join(names) or "no service in config.toml, and only --pin needs one"


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _hashing() -> str:
    data = bytes(_HASHED)
    started = time.perf_counter()
    hashlib.sha256(data).digest()
    speed = _HASHED / (time.perf_counter() - started) / 1e9
    return f"SHA-256 at {speed:.2f} GB/s a core, {os.cpu_count()} cores"


def _ipfs() -> str:
    api = find_api()
    with Kubo(api) as kubo:
        try:
            state = kubo.state()
        except IpfsUnavailable:
            if os.environ.get("INTEGRITY_IPFS_API") or api != DEFAULT_API:
                raise
            return f"no daemon at {api}, and only --ipfs and --from ipfs need one"
    if state.limit and state.stored >= state.limit:
        raise IpfsRefused(
            f"the repository of the daemon at {api} is full: {state.stored:,} of {state.limit:,} bytes",
            next="Run `ipfs repo gc`, or raise its Datastore.StorageMax.",
        )
    peers = "offline" if state.peers is None else f"{state.peers} peers"
    room = f"{state.stored >> 20} of {state.limit >> 20} MiB used"
    return f"Kubo {state.version} at {api}, {room}, {peers}"


def _development(session: Session) -> str:
    chain = DevelopmentChain(session.home)
    status = chain.status()
    if not status.running:
        return "not running (`integrity chain start` starts it)"
    if not chain.ticks:
        raise UnavailableError(
            "its blocks stand still, so that nothing becomes final",
            next="`integrity chain start` makes them go on.",
        )
    return f"at {status.rpc}, block {status.block}, finalized {status.finalized}"


def _anvil(session: Session) -> str:
    try:
        return find_anvil()
    except ChainToolMissing:
        if session.home.chain.is_dir():
            raise
        return "not found, and only `integrity chain start` needs it"


def _rpc(session: Session, url: str) -> str:
    return _standing(session, RpcReader(url))


def _chains(session: Session) -> list[int]:
    try:
        return sorted(session.config.rpc)
    except IntegrityError:
        return []


def _chain(session: Session, chain_id: int) -> str:
    reader = replace(session, rpc=()).reader(chain_id)
    check_chain(chain_id, reader.chain_id())
    return _standing(session, reader)


def _standing(session: Session, reader: ChainReader) -> str:
    """What a node serves, and whether the registry stands there."""
    chain_id = reader.chain_id()
    policy = replace(session.policy(chain_id), quorum=1, checkpoint=None)
    view = open_view([reader], session.registry(chain_id), chain_id, policy, time.time())
    view.words([bytes(32)])
    proves = "it proves its state" if view.is_proven else "it does not prove its state"
    return (
        f"{reader.name} serves chain {chain_id}, finalized block {view.block.number}; the registry "
        f"stands, and {proves}"
    )
