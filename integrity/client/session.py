"""What every job starts from: a home, its settings, and what the call itself says."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from integrity.chain.profiles import is_chain_id, parse_chain
from integrity.client.seen import Seen
from integrity.config import Config
from integrity.core.links import AliasLink, Link, parse_link
from integrity.core.names import parse_address
from integrity.disk.remembered import Remembered
from integrity.errors import (
    AddressMalformed,
    KeyRefused,
    LinkMalformed,
    RpcUnavailable,
    UsageError,
)
from integrity.home import Home
from integrity.keys.environment import environment_signer
from integrity.keys.keystore import DEVELOPMENT_CHAIN, KeyInfo, Keystore
from integrity.net.hosts import place_of
from integrity.trust import Trust, TrustStore
from integrity.verifier.checks import Registry

if TYPE_CHECKING:
    from integrity.chain.reader import RpcReader
    from integrity.client.viewing import View
    from integrity.core.registry import Block
    from integrity.ipfs.pinning import PinningService
    from integrity.ports import Identity, Signer
    from integrity.verifier.policy import Policy
    from integrity.verifier.state import Vouched


_START = "`integrity chain start` starts the development chain, if that is the one."


def no_password(name: str | None) -> str:
    """For callers without a person to ask."""
    what = f"the key {name!r}" if name else "the new key"
    raise KeyRefused(
        f"{what} needs its password",
        next="Put it into a file, and name that in INTEGRITY_PASSWORD_FILE.",
    )


def _started(error: RpcUnavailable, chain_id: int) -> RpcUnavailable:
    """The same; of the development chain it says how that is started, where nothing listens."""
    silent = all("cannot connect" in reason for reason in error.reasons)
    if chain_id == DEVELOPMENT_CHAIN and silent and error.next == RpcUnavailable.default_next:
        error.next = _START
    return error


@dataclass(frozen=True, slots=True)
class Session:
    """``rpc`` are the nodes named for this call (one URL will do), ``publisher`` is the address that
    the person named for it, ``checkpoint`` the hash of a block that they vouch for, ``max_fee`` the
    most that may be bid, in wei for each unit of gas.
    """

    home: Home = field(default_factory=Home.of_environment)
    rpc: tuple[str, ...] = ()
    chain_id: int | None = None
    publisher: str | None = None
    password: Callable[[str], str] = no_password
    checkpoint: bytes | None = None
    max_fee: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rpc, str):
            object.__setattr__(self, "rpc", (self.rpc,))

    @property
    def config(self) -> Config:
        return Config.load(self.home)

    @property
    def keystore(self) -> Keystore:
        return Keystore(self.home.keys)

    @property
    def trust_store(self) -> TrustStore:
        return TrustStore(self.home)

    @property
    def trust(self) -> Trust:
        """What trust.toml says now. Raises UsageError."""
        return self.trust_store.read()

    @property
    def remembered(self) -> Remembered:
        return Remembered(self.home.data_folder / "targets")

    @property
    def seen(self) -> Seen:
        return Seen(self.home.data_folder / "seen")

    def registry(self, chain_id: int, publisher: str | None = None) -> Registry:
        """Where releases are recorded: the registry at its one address, unless the trust store pins
        another for that publisher.
        """
        from integrity.chain.artifact import load_artifact

        usual = load_artifact().registry
        return usual if publisher is None else self.trust.registry(chain_id, publisher, usual)

    # --- who and where -------------------------------------------------------------------------

    def link(self, text: str) -> Link:
        """Read a link; an alias is looked up in the trust store. Raises LinkMalformed, UsageError."""
        link = parse_link(text)
        if isinstance(link, AliasLink):
            entry = self.trust.find(link.alias)
            return Link(entry.chain_id, entry.publisher, link.package, link.version)
        return link

    def followed(self) -> list[Link]:
        """The packages under ``follow`` in config.toml. Raises LinkMalformed or UsageError."""
        config, _ = self.config, self.trust  # what is broken in itself is no fault of a link
        links = []
        for text in config.follow:
            try:
                links.append(replace(self.link(text), version=None))
            except (LinkMalformed, AddressMalformed, UsageError) as error:
                raise error.about(f"{config.path}: follow") from None
        return links

    @property
    def named_publisher(self) -> str | None:
        return None if self.publisher is None else parse_address(self.publisher)

    def trusts(self, link: Link) -> bool:
        """Whether this home trusts the link's publisher: one of its own keys, or an entry."""
        return bool(self.trust.entries_of(link.chain_id, link.publisher)) or (
            link.publisher in self.own_addresses()
        )

    def own_addresses(self) -> set[str]:
        """Those that this home can sign for. Raises UsageError when its settings are broken."""
        return self.keystore.addresses() | {one.address for one in self.signers()}

    def signers(self) -> list[Identity]:
        """What signs and is no key of this home: the environment's key, and the programs of config.toml.
        Raises UsageError when the settings are broken.
        """
        found: list[Identity] = list(self.config.signers.values())
        with suppress(KeyRefused):  # whoever only reads needs none
            own = environment_signer()
            found = found if own is None else [own.info, *found]
        return found

    def reader(self, chain_id: int) -> RpcReader:
        """The first node of the chain that answers at all; RpcUnavailable keeps why each did not."""
        causes: list[str] = []
        for reader in self.nodes(chain_id):
            try:
                reader.chain_id()
            except RpcUnavailable as error:
                causes += error.reasons
                continue
            return reader
        raise _started(
            RpcUnavailable(f"no RPC of chain {chain_id} answers", causes=causes), chain_id
        )

    def policy(self, chain_id: int, link: Link | None = None) -> Policy:
        """What this home asks of a chain before it believes a link's record."""
        if link is None:
            policy = self.trust.policy(chain_id)
        else:
            policy = self.trust.policy(chain_id, link.publisher, link.package)
        return policy if self.checkpoint is None else replace(policy, checkpoint=self.checkpoint)

    def nodes(self, chain_id: int) -> list[RpcReader]:
        """Those that may be asked, each server once: one that is named twice has one vote. Raises NoRpc."""
        from integrity.chain.reader import RpcReader  # with it comes an HTTP client

        config = self.config
        nodes = config.nodes(chain_id, self.rpc)
        places: dict[tuple[str, int | None], str] = {}
        for url in nodes:
            places.setdefault(place_of(url), url)
        try:
            return [RpcReader(url) for url in places.values()]
        except UsageError as error:
            if nodes == config.rpc.get(chain_id):
                raise error.about(f"{config.path}: [chains.{chain_id}]") from None
            raise error if self.rpc else error.about("INTEGRITY_RPC") from None

    def view(self, link: Link, finality: str | None = None) -> View:
        """The registry at the block that this home's policy says; ``finality`` is another one than the
        policy's. Raises NoRpc and what :func:`integrity.client.vouching.open_view` raises.
        """
        from integrity.client.vouching import open_view

        policy = self.policy(link.chain_id, link)
        if finality is not None:
            policy = replace(policy, finality=finality, confirmations=None, checkpoint=None)
        nodes = self.nodes(link.chain_id)
        try:
            registry = self.registry(link.chain_id, link.publisher)
            return open_view(nodes, registry, link.chain_id, policy, time.time())
        except RpcUnavailable as error:
            raise _started(error, link.chain_id) from None

    def newest(self, chain_id: int, publisher: str) -> View:
        """The registry of a publisher's releases at the newest block, for hints. Raises NoRpc and what
        :func:`integrity.client.vouching.newest_view` raises.
        """
        from integrity.client.vouching import newest_view

        try:
            registry = self.registry(chain_id, publisher)
            return newest_view(self.nodes(chain_id), registry, chain_id)
        except RpcUnavailable as error:
            raise _started(error, chain_id) from None

    def vouch(self, link: Link, block: Block) -> Vouched:
        """Who of the nodes vouches for a block now. Raises NoRpc or HeaderUntrusted."""
        from integrity.client.vouching import vouch

        return vouch(
            self.nodes(link.chain_id), link.chain_id, block, self.policy(link.chain_id, link)
        )

    def pinning_service(self, name: str) -> PinningService:
        """The pinning service of this name in config.toml. Raises UsageError."""
        from integrity.ipfs.pinning import PinningService

        settings = self.config.pinning.get(name)
        if settings is None:
            raise UsageError(
                f"no pinning service is called {name!r}",
                next=f'Add to {self.config.path}: [pinning.{name}] and, below it, url = "https://…" '
                'and token_file = "…".',
            )
        return PinningService(name, settings.url, settings.read_token())

    # --- publishing ----------------------------------------------------------------------------

    def chosen_chain(self) -> int:
        """The chain where no link says one: the one named, else the default, else the named RPC's."""
        if self.chain_id is not None:
            if not is_chain_id(self.chain_id):
                raise UsageError(f"{self.chain_id} is no chain id")
            return self.chain_id
        environment = os.environ.get("INTEGRITY_CHAIN", "")
        if environment:
            try:
                return parse_chain(environment)
            except UsageError as error:
                raise error.about("INTEGRITY_CHAIN") from None
        default = self.config.default_chain
        if default is not None:
            return default
        if self.rpc:
            from integrity.chain.reader import RpcReader

            return RpcReader(self.rpc[0]).chain_id()
        raise UsageError(
            "no chain is named",
            next="Name it with --chain, or set default_chain in "
            f"{self.home.config_file}; `integrity chain start` makes one to try things on.",
        )

    def fee_limit(self, chain_id: int) -> int | None:
        """The most that may be bid, in wei for each unit of gas: this call's, else config.toml's."""
        return self.config.max_fee.get(chain_id) if self.max_fee is None else self.max_fee

    def signer(self, identity: Identity) -> Signer:
        """What signs with a key. Raises KeyRefused or LimitExceeded."""
        if isinstance(identity, KeyInfo):
            own = environment_signer()
            if own is not None and own.info == identity:
                return own
            return self.keystore.open(identity, self.password)
        from integrity.chain.external import ExternalSigner  # with it comes an HTTP client

        config = self.config
        settings = config.signers[identity.name]
        try:
            return ExternalSigner(identity.name, settings.url, settings.address)
        except UsageError as error:
            raise error.about(f"{config.path}: [signers.{identity.name}]") from None

    def key(self, name: str | None) -> Identity:
        """The key to sign with: the one named, else the environment's, else the default, else the only
        one. A name is that of an external signer in config.toml, or else of a key of this home.
        """
        config, keystore = self.config, self.keystore
        if not name and (own := environment_signer()) is not None:
            return own.info
        chosen = name or config.default_key
        if chosen and chosen in config.signers:
            return config.signers[chosen]
        if name:
            return keystore.find(name)
        keys = keystore.list()
        if chosen:
            try:
                return keystore.find(chosen)
            except KeyRefused as error:
                raise error.about(f"{config.path}: default_key") from None
        if len(keys) == 1:
            return keys[0]
        if not keys:
            raise KeyRefused(
                "this home has no key to publish with",
                next="Make one with `integrity key new`, or start a development chain with "
                "`integrity chain start`.",
            )
        raise KeyRefused(
            f"this home has {len(keys)} keys and no default one",
            next=f"Name one with --key, or set default_key in {self.home.config_file}.",
        )
