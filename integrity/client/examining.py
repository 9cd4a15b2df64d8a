"""A look at everything that a job needs, before one fails for want of it."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from integrity.chain.reader import RpcReader
from integrity.chain.rpc import shown_url
from integrity.client.session import Session
from integrity.client.vouching import open_view
from integrity.config import named_nodes
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
from integrity.keys.environment import environment_signer
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
        ("follow", lambda: _follow(session)),
        ("seen", lambda: _seen(session)),
        ("store", lambda: _store(session)),
        ("index", lambda: _index(session)),
        ("denylist", lambda: _denylist(session)),
        ("hashing", _hashing),
        ("ipfs", _ipfs),
        ("pinning", lambda: _pinning(session)),
        ("anvil", lambda: _anvil(session)),
        ("development chain", lambda: _development(session)),
        *((f"chain {c}", lambda c=c: _chain(session, c)) for c in _chains(session)),
        *(
            (f"rpc {shown_url(url)}", lambda u=url: _rpc(session, u))
            for url in named_nodes(session.rpc)
        ),
        *((f"quorum of chain {c}", lambda c=c: _quorum(session, c)) for c in _quorums(session)),
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
    if not place.is_dir():
        raise IntegrityError(f"{place} is no folder", next="Set INTEGRITY_HOME elsewhere.")
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
    own, config = environment_signer(), session.config
    if config.default_key is not None and own is None:
        session.key(None)
    keys = session.keystore.list()
    here = (
        f"{len(keys)}, readable by their owner only"
        if keys
        else "none yet (only publishers need one)"
    )
    elsewhere = [] if own is None else [f"{own.info.name} ({own.info.address})"]
    for one in config.signers.values():
        session.signer(one)
        elsewhere.append(f"{one.name} ({one.address}) at {shown_url(one.url)}")
    return "; elsewhere ".join([here, *([", ".join(elsewhere)] if elsewhere else [])])


def _trust(session: Session) -> str:
    trust, config = session.trust, session.config
    for chain_id in {entry.chain_id for entry in trust.all()} | set(config.rpc):
        trust.quorum(chain_id)
    count = _number(len(trust.all()), "publisher")
    return f"{session.home.trust_file}, {count}, and this home's own keys"


def _follow(session: Session) -> str:
    return _number(len(session.followed()), "package")


def _seen(session: Session) -> str:
    broken = [str(path) for path in session.seen.broken()]
    if broken:
        raise IntegrityError(
            f"{_number(len(broken), 'mark')} of what was seen before cannot be read: {', '.join(broken[:3])}",
            next="Bring it back from a backup. Without one, delete it: then a rollback of that package to "
            "what it was before is not noticed.",
        )
    count = len(session.seen.files())
    where = session.home.data_folder / "seen"
    return (
        f"{where}, {_number(count, 'file')}"
        if count
        else "nothing that a checkpoint or a quorum vouched for"
    )


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
    reader = RpcReader(url)
    return _standing(session, [reader], reader.chain_id())


def _quorums(session: Session) -> list[int]:
    """The chains of the named nodes on which the policies ask for more than one."""
    found = set()
    for url in named_nodes(session.rpc):
        with suppress(IntegrityError):
            chain_id = RpcReader(url).chain_id()
            if session.trust.quorum(chain_id) > 1:
                found.add(chain_id)
    return sorted(found)


def _quorum(session: Session, chain_id: int) -> str:
    return _standing(session, session.nodes(chain_id), chain_id, session.trust.quorum(chain_id))


def _chains(session: Session) -> list[int]:
    try:
        configured = session.config.rpc
    except IntegrityError:
        return []
    return sorted(
        chain for chain, nodes in configured.items() if nodes or not named_nodes(session.rpc)
    )


def _chain(session: Session, chain_id: int) -> str:
    """The nodes of the settings; a quorum of them, unless others are asked in their place."""
    own = replace(session, rpc=session.config.rpc[chain_id])
    quorum = 1 if named_nodes(session.rpc) else session.trust.quorum(chain_id)
    if quorum > 1:
        return _standing(session, own.nodes(chain_id), chain_id, quorum)
    reader = own.reader(chain_id)
    check_chain(chain_id, reader.chain_id())
    return _standing(session, [reader], chain_id)


def _standing(
    session: Session, readers: Sequence[ChainReader], chain_id: int, quorum: int = 1
) -> str:
    """What nodes serve, and whether the registry stands there."""
    policy = replace(session.policy(chain_id), quorum=quorum, checkpoint=None)
    view = open_view(readers, session.registry(chain_id), chain_id, policy, time.time())
    view.words([bytes(32)])
    proves = "it proves its state" if view.is_proven else "it does not prove its state"
    agree = f"{len(view.vouched.nodes)} of {len(readers)} nodes agree on chain {chain_id}"
    who = agree if quorum > 1 else f"{view.vouched.nodes[0]} serves chain {chain_id}"
    return f"{who}, finalized block {view.block.number}; the registry stands, and {proves}"
