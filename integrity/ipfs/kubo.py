"""A Kubo daemon, through ipfshttpclient, which nothing else imports.

What a daemon says is checked by whoever asked: blocks against their digests, imports by reading back.
Nothing here depends on how the daemon is configured to add files, as it is given finished blocks.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from integrity.core.anycid import AnyCid
from integrity.errors import IpfsRefused, IpfsUnavailable, UsageError
from integrity.net.hosts import tcp_multiaddr

# Its other backend does not work with today's httpx, nor its patch of requests with today's urllib3.
os.environ.setdefault("PY_IPFS_HTTP_CLIENT_PREFER_HTTPX", "no")
os.environ.setdefault("PY_IPFS_HTTP_CLIENT_PATCH_REQUESTS", "no")

import ipfshttpclient
import ipfshttpclient.exceptions as failures
import ipfshttpclient.multipart

DEFAULT_API = "http://127.0.0.1:5001"
OLDEST = (0, 24)
"""The first Kubo whose ``dag/import`` tells how many blocks it took, and does not look for their
links elsewhere."""

ANSWER_SECONDS = 30.0
"""For an answer to begin, and between its parts."""

BLOCK_SECONDS = 60.0
"""For a whole block, which the daemon may have to find first."""

PIN_SECONDS = 600.0
"""To go through a DAG of which it has every block: a million files take a minute or two."""

PROVIDE_SECONDS = 120.0
"""To tell the network about one block."""

_CHUNK = 1 << 20
_FOREVER = "8760h"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_SHOWN = 300
_NOT_THE_GATEWAY = "Name the daemon's API with --ipfs-api; it is not the gateway's address."


@dataclass(frozen=True, slots=True)
class DaemonState:
    """``stored`` and ``limit`` are bytes of the repository; ``peers`` None means it is offline."""

    version: str
    stored: int
    limit: int
    peers: int | None


def find_api(named: str | None = None) -> str:
    """The URL of the daemon's API: the one named, else INTEGRITY_IPFS_API, else what a daemon of this
    user wrote into its repository, else Kubo's default. Raises UsageError.
    """
    given = named if named is not None else os.environ.get("INTEGRITY_IPFS_API") or None
    if given is not None:
        return _url(given)
    repository = os.environ.get("IPFS_PATH") or os.path.expanduser("~/.ipfs")
    with contextlib.suppress(OSError, UnicodeDecodeError, UsageError):
        return _url((Path(repository) / "api").read_text().strip())
    return DEFAULT_API


def _url(text: str) -> str:
    """http://host:port of a URL or of a multiaddr such as /ip4/127.0.0.1/tcp/5001."""
    parts = text.split("/")
    if text.startswith("/") and len(parts) >= 5 and parts[3] == "tcp":
        host = f"[{parts[2]}]" if parts[1] == "ip6" else parts[2]
        text = f"{'https' if parts[5:6] == ['https'] else 'http'}://{host}:{parts[4]}"
    try:
        split = urlsplit(text)
        usable = split.scheme in {"http", "https"} and split.hostname and split.port != 0
    except ValueError:
        usable = None
    if not usable or split.path.strip("/") or split.query or split.username is not None:
        raise UsageError(
            f"{text[:_SHOWN]!r} is not the address of a daemon's API",
            next=f"Name it as {DEFAULT_API} or as /ip4/127.0.0.1/tcp/5001.",
        )
    return text.rstrip("/")


def _multiaddr(url: str) -> str:
    split = urlsplit(url)
    port = split.port or (443 if split.scheme == "https" else 80)
    return f"{tcp_multiaddr(split.hostname or '', port)}/{split.scheme}"


class Kubo:
    """One daemon. For one thread at a time. Errors are IpfsUnavailable when it does not answer, and
    IpfsRefused when it answers with an error.
    """

    def __init__(self, api: str | None = None) -> None:
        self.api = find_api(api)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._client: Any = ipfshttpclient.Client(
                _multiaddr(self.api), chunk_size=_CHUNK, session=True, timeout=ANSWER_SECONDS
            )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Kubo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what it is ----------------------------------------------------------------------------

    def version(self) -> str:
        """Its version, as 0.43.0. IpfsRefused when it is too old to be used."""
        with self._translated("tell its version"):
            text = str(_fields(self._client.version()).get("Version"))
        match = _VERSION.match(text)
        if match is None:
            raise IpfsUnavailable(
                f"what answers at {self.api} is no Kubo daemon",
                next=_NOT_THE_GATEWAY,
            )
        if (int(match[1]), int(match[2])) < OLDEST:
            raise IpfsRefused(
                f"the daemon at {self.api} is Kubo {text}; {OLDEST[0]}.{OLDEST[1]} is the oldest "
                "that can be used",
                next="Update Kubo, then try again.",
            )
        return text

    def state(self) -> DaemonState:
        """How it is doing."""
        version = self.version()
        with self._translated("tell how it is doing"):
            repository = _fields(self._client.repo.stat(opts={"size-only": "true"}))
            stored, limit = int(repository["RepoSize"]), int(repository["StorageMax"])
        try:
            with self._translated("list its peers"):
                peers = len(_fields(self._client.swarm.peers()).get("Peers") or ())
        except IpfsRefused:
            peers = None
        return DaemonState(version, stored, limit, peers)

    def addresses(self) -> list[str]:
        """The multiaddrs at which others reach it, each with its peer ID."""
        with self._translated("tell its addresses"):
            return [str(a) for a in _fields(self._client.id()).get("Addresses") or ()]

    def connect(self, addresses: Sequence[str]) -> None:
        """Connect to others, as far as they can be reached."""
        for address in addresses:
            with contextlib.suppress(IpfsRefused, IpfsUnavailable), self._translated("connect"):
                # Its own swarm.connect sends each letter of the address as one of its own.
                self._client._client.request("/swarm/connect", (address,), decoder="json")  # noqa: SLF001

    # --- giving --------------------------------------------------------------------------------

    def import_cars(self, cars: Iterable[Iterable[bytes]], seconds: float = PIN_SECONDS) -> int:
        """Stream CARs, each in portions, into its block store, then pin the roots of all, without a
        gap in which its garbage collection could take them -> how many blocks it says it took.

        Whatever the iterables raise ends the import; ``seconds`` are for the pinning at the end. The
        daemon refuses blocks that are not their CIDs'.
        """
        files = [_File(portions) for portions in cars]
        body, headers = ipfshttpclient.multipart.stream_files(files, chunk_size=_CHUNK)
        with self._translated("take the blocks"):
            # Its own dag.imprt takes an answer of one item alone.
            answer = self._client._client.request(  # noqa: SLF001
                "/dag/import", decoder="json", data=body, headers=headers, timeout=seconds,
                opts={"pin-roots": "true", "stats": "true", "timeout": _FOREVER},
            )  # fmt: skip
            taken = -1
            for item in answer:
                root = item.get("Root")
                if root and root.get("PinErrorMsg"):
                    raise IpfsRefused(
                        f"the daemon at {self.api} could not pin {root['Cid']['/']}: "
                        f"{str(root['PinErrorMsg'])[:_SHOWN]}"
                    )
                if "Stats" in item:
                    taken = int(item["Stats"]["BlockCount"])
            return taken

    def pin_names(self, cids: Iterable[AnyCid]) -> dict[AnyCid, str]:
        """Which of them it keeps already with all below, and under which names."""
        found = {}
        for cid in cids:
            with contextlib.suppress(IpfsRefused), self._translated(f"tell whether it pins {cid}"):
                answer = self._client.pin.ls(str(cid), type="recursive", opts={"names": "true"})
                for entry in _fields(answer).get("Keys", {}).values():
                    found[cid] = str(entry.get("Name") or "")
        return found

    def name_pin(self, cid: AnyCid, name: str) -> None:
        """Give a pin its name."""
        with self._translated(f"pin {cid}"):
            self._client.pin.add(str(cid), opts={"name": name}, timeout=PIN_SECONDS)

    def provide(self, cid: AnyCid) -> None:
        """Tell the network that it has the block."""
        with self._translated(f"announce {cid}"):
            self._client._client.request(  # noqa: SLF001 - it knows the older name of this alone
                "/routing/provide", (str(cid),), decoder="json", timeout=PROVIDE_SECONDS
            )

    # --- taking --------------------------------------------------------------------------------

    def block(self, cid: AnyCid, buffer: memoryview, seconds: float = BLOCK_SECONDS) -> int:
        """Put a block into the buffer -> its length; no more than the buffer holds is read."""
        deadline = time.monotonic() + seconds
        got = 0
        with self._translated(f"give the block {cid}"):
            portions = self._client.block.get(
                str(cid), stream=True, opts={"timeout": f"{seconds:.0f}s"}, timeout=seconds
            )
            with contextlib.closing(portions):
                for portion in portions:
                    part = portion[: len(buffer) - got]
                    buffer[got : got + len(part)] = part
                    got += len(part)
                    if got == len(buffer) or time.monotonic() > deadline:
                        break
        return got

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """The errors of ipfshttpclient, as ours."""
        try:
            yield
        except failures.ErrorResponse as error:
            if "context deadline exceeded" in str(error):
                raise IpfsUnavailable(
                    f"the daemon at {self.api} did not {what} in time: it found nobody who has it"
                ) from error
            raise IpfsRefused(
                f"the daemon at {self.api} would not {what}: {str(error)[:_SHOWN]}"
            ) from error
        except failures.StatusError as error:
            raise IpfsUnavailable(
                f"what answers at {self.api} is no Kubo daemon, or will not {what}: "
                f"{str(error)[:_SHOWN]}",
                next=_NOT_THE_GATEWAY,
            ) from error
        except failures.TimeoutError as error:
            raise IpfsUnavailable(f"the daemon at {self.api} did not {what} in time") from error
        except (
            failures.EncoderError,
            AssertionError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            # What ipfshttpclient, or a look into its answer, raises on nonsense.
            raise IpfsUnavailable(
                f"what answers at {self.api} is no Kubo daemon: asked to {what}, it sends "
                f"{str(error)[:_SHOWN]!r}",
                next=_NOT_THE_GATEWAY,
            ) from error
        except (failures.Error, OSError) as error:
            raise IpfsUnavailable(
                f"the daemon at {self.api} could not be asked to {what}: {_reason(error)}"
            ) from error


def _reason(error: BaseException) -> str:
    """What the system said, below all the layers that say that something failed."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
        below = below.__cause__ or below.__context__
    return str(error)[:_SHOWN]


def _fields(answer: Any) -> dict[str, Any]:
    """The JSON object behind an answer of ipfshttpclient; raises AttributeError or TypeError."""
    value = answer.as_json()
    if not isinstance(value, dict):
        raise TypeError(str(value))
    return value


class _File:
    """Portions as a file that is read once, which is what ipfshttpclient takes."""

    def __init__(self, portions: Iterable[bytes]) -> None:
        self._portions = iter(portions)

    def read(self, _: int = -1) -> bytes:
        return next(self._portions, b"")
