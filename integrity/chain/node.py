"""web3's view of one node: how calls reach it, and what its answers are taken for."""

from __future__ import annotations

import time
from typing import Any

from web3.exceptions import Web3Exception
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from integrity.chain.refusals import Refusals, of_transaction
from integrity.chain.rpc import JsonRpc, RpcError
from integrity.errors import RpcAnswerInvalid, RpcUnavailable

_RETRY_PAUSES = (0.25, 0.5, 1.0, 2.0)


def whole(value: object) -> int:
    """A number as a node should have sent it; web3 hands on what it does not understand."""
    if type(value) is not int or value < 0:
        raise ValueError("no whole number")
    return value


class Provider(JSONBaseProvider):
    """web3 over this package's own JSON-RPC: its limits, no redirects, and no secrets in messages.

    A call that got no answer is made again a few times; sending the same bytes again does no harm.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.rpc = JsonRpc(url)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        for pause in _RETRY_PAUSES:
            try:
                return self._asked(method, params)
            except RpcError as error:
                if of_transaction(error):
                    raise
                time.sleep(pause)
            except RpcUnavailable:
                time.sleep(pause)
        return self._asked(method, params)

    def _asked(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        return {"jsonrpc": "2.0", "id": 0, "result": self.rpc.call(method, *params)}


class Translation:
    """Turns a node's refusals, and what web3 makes of a node's nonsense, into our own errors."""

    def __init__(self, node: str, refusals: Refusals, sender: str) -> None:
        self._node, self._refusals, self._sender = node, refusals, sender

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if isinstance(error, RpcError):
            raise self._refusals.translated(error, self._sender) from None
        if isinstance(error, (Web3Exception, ValueError, TypeError, KeyError, AttributeError)):
            raise RpcAnswerInvalid(
                f"{self._node} answered something that is not Ethereum's",
                causes=[f"{self._node}: {type(error).__name__}"],
            ) from None
