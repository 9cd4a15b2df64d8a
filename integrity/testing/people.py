"""Who takes part in a test: a publisher whose key has ether on a development chain."""

from __future__ import annotations

from collections.abc import Callable

from integrity.config import set_config
from integrity.devchain.chain import give
from integrity.home import Home
from integrity.keys.keystore import DEVELOPMENT_CHAIN, Keystore

FUNDS = 10**21
"""In wei: a thousand ether."""


def equip(home: Home, rpc: str, fund: Callable[[str, str, int], None] = give) -> str:
    """Give a home one funded key, and the chain behind ``rpc`` as its default -> the key's address.
    ``fund`` lets an address have so much wei on that chain, where its node is no anvil.
    """
    address = Keystore(home.keys).create_development("dev").address
    fund(rpc, address, FUNDS)
    chains = {DEVELOPMENT_CHAIN: {"rpc": [rpc]}}
    settings = {"default_chain": DEVELOPMENT_CHAIN, "default_key": address, "chains": chains}
    set_config(home, settings)
    return address
