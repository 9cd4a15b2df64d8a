"""Every error this library raises on purpose, in the families that are never blurred.

* :class:`FormatError` - *malformed*: the bytes or the text are not what the specification allows.
* :class:`VerificationError` - *does not verify*: evidence of wrong data; ``evidence`` holds it.
* :class:`UnavailableError` - *could not check*: nothing was proven either way; ``causes`` holds why.
* :class:`RefusedError` - the request itself is refused (a file, a name, a key the user gave).

A message says what happened and to what; ``next`` says what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self


class IntegrityError(Exception):
    """Base of all errors raised on purpose.

    ``evidence`` is a flat map of what was seen, ``causes`` are the messages of the errors behind
    this one, one for each source or node that was asked. ``step`` is the verifier's step (spec v1,
    section 6.2) that said no, if it was one, and ``passed`` are those before it, as
    :class:`integrity.verifier.verdict.Step`.
    """

    family: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    default_next: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        next: str | None = None,  # noqa: A002 - the word users read in the JSON
        evidence: Mapping[str, Any] | None = None,
        causes: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next = self.default_next if next is None else next
        self.evidence: dict[str, Any] = dict(evidence or {})
        self.causes: list[str] = list(causes)
        self.step: int | None = None
        self.passed: tuple[Any, ...] | None = None
        for line in (*self.causes, self.next):  # for who sees no more than a traceback
            if line:
                self.add_note(line)

    def about(self, what: str) -> Self:
        """The same, its message beginning with what it is about."""
        self.message = f"{what}: {self.message}"
        self.args = (self.message,)
        return self

    def advising(self, next: str) -> Self:  # noqa: A002 - as above
        """The same, with something else to do next."""
        self.next = next
        self.__notes__ = [line for line in (*self.causes, next) if line]
        return self

    @property
    def reasons(self) -> list[str]:
        """Why, for another error's causes: its own causes, or else its message."""
        return self.causes or [self.message]

    @property
    def name(self) -> str:
        """The class's name, which stands in ``--json`` answers."""
        return type(self).__name__


# --- malformed ---------------------------------------------------------------------------------


class FormatError(IntegrityError):
    """The input is not what the specification allows (spec v1); nothing is said about whose fault."""

    family = "malformed"
    exit_code = 2
    default_next = "Ask whoever made it for a well-formed one; nothing was changed here."


class NonCanonical(FormatError):
    """The value is readable, but not written in the one form the specification allows."""


class LimitExceeded(FormatError):
    """A stated limit of the specification is exceeded."""


class HashUnsupported(FormatError):
    """A digest is of another kind or length than SHA-256 of 32 bytes."""


class UnsafePath(FormatError):
    """A path could reach outside the release, or does not mean the same everywhere."""


class NameCollision(UnsafePath):
    """Two paths would be one and the same file on some file system."""


class TotalsMismatch(FormatError):
    """Sizes, counts or the content root do not agree with the manifest's own lines."""


class LinkMalformed(FormatError):
    """The text is not an ``integrity:`` link."""

    default_next = (
        "A link reads integrity:<chain id>:<publisher>/<package>@<version>; "
        "copy it whole from where it was published."
    )


class AddressMalformed(FormatError):
    """The text is not an Ethereum address, or its EIP-55 checksum fails."""

    default_next = "Copy the whole address again: one wrong character changes who is meant."


# --- does not verify ---------------------------------------------------------------------------


class VerificationError(IntegrityError):
    """There is evidence that the data is not what was recorded."""

    family = "does not verify"
    exit_code = 4
    default_next = "Do not use this data; get it from another source."


class ManifestMismatch(VerificationError):
    """A manifest's bytes do not have the recorded digest."""


class ManifestInvalid(VerificationError):
    """A manifest has the recorded digest, but breaks the specification."""

    default_next = "The publisher recorded a broken manifest; tell them. No source can mend it."


class WrongRelease(VerificationError):
    """A manifest has the recorded digest, but names another publisher, package or version."""


class PieceMismatch(VerificationError):
    """A piece's bytes do not have the digest that the manifest gives."""


class BlockMismatch(VerificationError):
    """A block of a CAR file, or of an IPFS node's answer, does not have its CID's hash."""

    default_next = "Get the file anew from whoever made it; nothing of it was taken."


class SignatureInvalid(VerificationError):
    """A request's signature is not its signer's."""

    default_next = "Ask whoever made it for another one; nothing was sent."


class SourcesLied(VerificationError):
    """Pieces are missing, and the sources that were left sent wrong bytes for them."""

    default_next = "Name another source with --from; the pieces that verified are kept."


class PublisherMismatch(VerificationError):
    """The link names another publisher than the one the person named."""

    default_next = "Compare both addresses with the publisher's own site before you go on."


class RegistryMismatch(VerificationError):
    """What stands at the registry's address is not the registry."""

    default_next = (
        "Check that --rpc and the chain id are of the chain the release was published on, and that a "
        "--checkpoint is not older than the registry. On a new chain, `integrity chain deploy` puts the "
        "registry at its one address."
    )


class ReleaseNotFound(VerificationError):
    """The chain's state proves that there is no such record."""

    default_next = "Check the spelling of the link; a release just sent is seen once it is final."


class ProofInvalid(VerificationError):
    """What a node gave as the proof of the chain's state does not prove it."""

    default_next = "Ask another node with --rpc; nothing of what this one said was believed."


class Rollback(VerificationError):
    """A package has fewer releases, or an older state, than this home has seen already."""

    default_next = "Do not use this node; ask others with --rpc, several of them with a quorum."


class DelegateRefused(VerificationError):
    """The release was published by an account whose releases this home's policy does not take."""

    default_next = (
        "If the publisher says that this account is theirs, add it to trust.toml's delegates."
    )


class NotEndorsed(VerificationError):
    """Fewer of the endorsers that the policy names have endorsed the manifest than it asks for."""

    default_next = "Wait for their endorsements, or ask them; the policy stands in trust.toml."


class PublisherCompromised(VerificationError):
    """The release is of a time at which its publisher's key was in other hands."""

    default_next = "Get an earlier release, or ask the publisher."


class Revoked(VerificationError):
    """The release was revoked by its publisher."""

    default_next = "Do not use it; look for a newer version with `integrity log`."


# --- could not check ---------------------------------------------------------------------------


class UnavailableError(IntegrityError):
    """Nothing was proven either way."""

    family = "could not check"
    exit_code = 3
    default_next = "Try again, or name another source or RPC."


class RpcUnavailable(UnavailableError):
    """The chain's RPC did not answer, or answered with an error."""

    default_next = "Check that the node runs and that --rpc names it."


class RpcAnswerInvalid(RpcUnavailable):
    """The chain's RPC answered something that is not JSON-RPC, or is over the limits."""

    default_next = (
        "Something answers, and not as a node of this chain should: check --rpc, or ask another."
    )


class ProofUnavailable(RpcUnavailable):
    """A node cannot prove the chain's state at a block."""

    default_next = (
        "Name a node with --rpc that proves state (eth_getProof) of finalized blocks; nodes that keep "
        "only the newest blocks' state do not."
    )


class HeaderUntrusted(UnavailableError):
    """Nobody vouches for the block that a proof rests on."""


class NoQuorum(UnavailableError):
    """The nodes that were asked do not agree on the chain's blocks."""


class StaleBlock(UnavailableError):
    """The newest block there is to read at is older than the policy allows."""


class ChainMismatch(UnavailableError):
    """The RPC serves another chain than the one that is asked about."""

    default_next = (
        "Name an RPC of the right chain with --rpc, or mend [chains.<id>] in config.toml."
    )


class NoRpc(UnavailableError):
    """No RPC is known for the chain."""


class RecordUnproven(UnavailableError):
    """A node says that there is no such record, or no such endorsement, and cannot prove it."""

    default_next = "Check the spelling of the link, or ask a node that proves its state with --rpc."


class Unfinalized(UnavailableError):
    """The record is on the chain, but not yet in a block that the policy reads at."""

    default_next = "Wait until the chain has finalized it, and try again."


class UnknownPublisher(UnavailableError):
    """The publisher is neither trusted by this home nor named by the person."""

    default_next = "Name them with --publisher, or add them with `integrity trust add`."


class SourcesUnavailable(UnavailableError):
    """No source gave the bytes; ``causes`` keeps what each one said."""

    default_next = "Name a source that has what is missing with --from; what was verified is kept."


class SourceError(UnavailableError):
    """One source broke the protocol, refused, timed out or has not got what was asked."""


class Locked(UnavailableError):
    """Another process works on the same target."""

    default_next = "Wait until it has ended, or choose another folder with -o."


class DiskError(UnavailableError):
    """The disk refused a read or a write."""

    default_next = "Make room or mend the permissions, then run the same command again."


class StoreError(UnavailableError):
    """The embedded store cannot be used."""


class IpfsUnavailable(UnavailableError):
    """An IPFS daemon or pinning service does not answer, or is none."""

    default_next = "Start it with `ipfs daemon`, or name its API with --ipfs-api."


class IpfsRefused(UnavailableError):
    """An IPFS daemon or pinning service answered with an error."""

    default_next = "Mend what it names, then run the same command again."


class StoreFull(UnavailableError):
    """The quota of the store does not allow for more."""

    default_next = (
        "Make room with `integrity store remove` and `integrity store gc`, or raise store_quota in "
        "config.toml; nothing was changed."
    )


class ChainToolMissing(UnavailableError):
    """A program the development chain needs is not there."""


class Declined(UnavailableError):
    """The person answered no."""

    default_next = "Nothing was changed."


class Interrupted(UnavailableError):
    """Ctrl-C."""

    exit_code = 130
    default_next = "Run the same command again."


# --- refused -----------------------------------------------------------------------------------


class RefusedError(IntegrityError):
    """The request cannot be carried out as it was given."""

    family = "refused"
    exit_code = 2
    default_next = "Nothing was changed; mend what the message names, then try again."


class UsageError(RefusedError):
    """An argument or a setting has a value that cannot be used."""

    default_next = "Mend what the message names; --help says what the command takes."


class PathRefused(RefusedError):
    """A file or folder that the user named cannot be published or written to."""


class SourceChanged(RefusedError):
    """A file changed while it was read; nothing was recorded."""

    default_next = "Let whatever writes to it finish, then publish again; nothing was recorded."


class ReleaseExists(RefusedError):
    """The version is recorded already, with another content."""

    default_next = "A version never changes its meaning: publish under a new version."


class KeyRefused(RefusedError):
    """A key cannot be used: wrong password, broken file, wrong chain."""


class TransactionRefused(RefusedError):
    """The registry or the chain refuses the transaction; nothing was sent."""
