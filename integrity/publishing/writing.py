"""The way from a session to whatever is sent to its chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrity.chain.journal import Journal
from integrity.client.session import Session

if TYPE_CHECKING:
    from integrity.chain.transactions import Estimate
    from integrity.chain.writer import ChainWriter

FINAL_SECONDS = 3600.0
"""How long a publisher waits for finality: Ethereum takes 15 minutes when all is well."""


def open_writer(session: Session, chain_id: int, url: str | None = None) -> ChainWriter:
    """A writer under the session's journal and limit, to this node, else to the first that answers. Raises
    RpcUnavailable or a kind of it.
    """
    node = session.reader(chain_id).url if url is None else url
    return import_writer()(
        node, chain_id, Journal(session.home.journal), session.fee_limit(chain_id)
    )


def import_writer() -> type[ChainWriter]:
    """The class, with the libraries it takes."""
    from integrity.chain.writer import ChainWriter  # imports web3, a second

    return ChainWriter


def check_funds(cost: Estimate, sender: str, warnings: list[str], *, dry_run: bool) -> None:
    """Raises TransactionRefused when the sender has less than it costs; a warning in a dry run."""
    if cost.balance < cost.fee:
        from integrity.chain.refusals import no_funds  # imports eth_abi

        error = no_funds(sender)
        if not dry_run:
            raise error
        warnings.append(error.message)
