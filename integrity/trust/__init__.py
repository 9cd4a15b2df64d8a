"""Whom this home believes, and how much they and the chain have to show for it."""

from integrity.trust.reading import Trust, TrustedPublisher
from integrity.trust.store import TrustStore

__all__ = ["Trust", "TrustStore", "TrustedPublisher"]
