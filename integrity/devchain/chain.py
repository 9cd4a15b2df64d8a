"""A development chain of one's own, whose blocks and finality move by themselves.

A transaction is mined at once and final two blocks later, so what is published is final within about
three seconds. Two random keys are funded; anvil's own well-known accounts are not used, since two
homes that share a key would trust each other.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass

from integrity.chain.artifact import load_artifact
from integrity.chain.journal import Journal
from integrity.chain.reader import RpcReader
from integrity.chain.rpc import JsonRpc
from integrity.config import Config, set_config
from integrity.core.names import keccak256
from integrity.devchain.anvil import READY_SECONDS, AnvilProcess
from integrity.disk.files import locked
from integrity.errors import DiskError, RpcUnavailable
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN, KeyInfo, Keystore

BLOCK_SECONDS = 1.0
_KEYS = 2
_FUNDS = 10_000 * 10**18


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How the chain stands. ``publisher`` is the first funded key's address, ``accounts`` all."""

    running: bool
    rpc: str
    chain_id: int
    registry: str
    publisher: str
    accounts: tuple[str, ...]
    block: int | None
    finalized: int | None
    pid: int | None


def give(rpc: str, address: str, wei: int) -> None:
    """Let an account of the anvil behind ``rpc`` have that much. Raises RpcUnavailable.

    A balance that is set stands in no transaction, so that the newest block's state no longer has the root
    of its header. Nobody is to read at that block: the finalized one is two behind the newest.
    """
    node = JsonRpc(rpc)
    node.call("anvil_setBalance", address, hex(wei))
    node.call("anvil_mine", "0x3")


class DevelopmentChain:
    """The chain of one home.

    ``block_seconds`` is for tests that would rather not wait. With ``owner``, the id of a process,
    the chain ends when that process does, however it ends.
    """

    def __init__(
        self, home: Home, *, block_seconds: float = BLOCK_SECONDS, owner: int | None = None
    ) -> None:
        self._home = home
        self._folder = home.chain
        self._anvil = AnvilProcess(home.chain, DEVELOPMENT_CHAIN, block_seconds, owner)

    # --- what users do -------------------------------------------------------------------------

    def start(self) -> ChainStatus:
        """Bring it up and return once everything answers, finalized reads included.

        Does nothing but report when it runs already and has all it needs. Raises ChainToolMissing,
        RpcUnavailable, DiskError or Locked.
        """
        with self._alone():
            running = self.running
            try:
                self._anvil.start()
                self._prepare()
                self._configure()
            except BaseException:
                if not running:
                    self._anvil.end()
                raise
        return self.status()

    def stop(self) -> ChainStatus:
        """End it; its state is kept for the next start. Raises DiskError or Locked."""
        if self._folder.is_dir():
            with self._alone():
                self._anvil.end()
        return self.status()

    @property
    def ticks(self) -> bool:
        """Whether its blocks go on."""
        return self._anvil.ticks

    @property
    def running(self) -> bool:
        return self._anvil.pid is not None

    def fund(self, address: str, wei: int) -> None:
        """Let an account have that much. Raises RpcUnavailable when the chain does not run."""
        if not self.running:
            raise RpcUnavailable(
                "the development chain is not running", next="`integrity chain start` starts it."
            )
        give(self.rpc, address, wei)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return locked(self._folder / "lock", READY_SECONDS, "is starting or stopping this chain")

    def status(self) -> ChainStatus:
        """How it stands, running or not."""
        pid = self._anvil.pid
        block = finalized = None
        if pid is not None:
            reader = RpcReader(self.rpc)
            block, finalized = reader.block("latest").number, reader.block("finalized").number
        accounts = tuple(info.address for info in self._existing_keys())
        return ChainStatus(
            pid is not None, self.rpc, DEVELOPMENT_CHAIN, load_artifact().address,
            accounts[0] if accounts else "", accounts, block, finalized, pid,
        )  # fmt: skip

    @property
    def rpc(self) -> str:
        """Its RPC's URL, the same after each start unless the port was taken meanwhile."""
        return self._anvil.rpc

    # --- what stands on it ---------------------------------------------------------------------

    def _existing_keys(self) -> list[KeyInfo]:
        keys = (info for info in Keystore(self._home.keys).list() if info.development)
        return sorted(keys, key=lambda info: info.name)

    def _prepare(self) -> None:
        """Funds, the registry, and a finalized block that shows it."""
        keystore = Keystore(self._home.keys)
        taken = {info.name for info in keystore.list()}
        names = itertools.chain(["dev"], (f"dev-{number}" for number in itertools.count(2)))
        for _ in range(_KEYS - len(self._existing_keys())):
            keystore.create_development(next(name for name in names if name not in taken))
        rpc = JsonRpc(self.rpc)
        for info in self._existing_keys():
            if int(rpc.call("eth_getBalance", info.address, "latest"), 16) < _FUNDS // 2:
                give(self.rpc, info.address, _FUNDS)
        artifact = load_artifact()
        reader = RpcReader(self.rpc)
        if not reader.code(artifact.address, reader.block("latest")):
            self._deploy(keystore)
        self._anvil.wait_until(
            lambda: (
                keccak256(reader.code(artifact.address, reader.block("finalized")))
                == artifact.code_hash
            )
        )

    def _deploy(self, keystore: Keystore) -> None:
        from integrity.chain.calls import deploy_call  # imports eth_abi
        from integrity.chain.writer import ChainWriter  # imports web3

        # Transactions of an earlier chain mean nothing on one that begins anew.
        journal = Journal(self._home.journal)
        for entry in journal.all():
            if entry.chain_id == DEVELOPMENT_CHAIN:
                journal.remove(entry)
        writer = ChainWriter(self.rpc, DEVELOPMENT_CHAIN, journal)
        signer = keystore.open(self._existing_keys()[0], lambda _: "")
        call = deploy_call(DEVELOPMENT_CHAIN)
        writer.wait_final(writer.send(signer, lambda: call), signer)

    def _configure(self) -> None:
        """Make it this home's default chain, and its first key the default one if there is none."""
        config = Config.load(self._home)
        changes: dict[str, object] = {"chains": {DEVELOPMENT_CHAIN: {"rpc": [self.rpc]}}}
        if config.default_chain is None:
            changes["default_chain"] = DEVELOPMENT_CHAIN
        if config.default_key is None:
            changes["default_key"] = self._existing_keys()[0].address
        try:
            set_config(self._home, changes)
        except DiskError as error:
            raise DiskError(f"the chain runs, but {error.message}") from error
