"""Whom this home believes, and how much they and the chain have to show for it."""

from integrity.trust.store import TrustedPublisher, TrustStore

__all__ = ["TrustStore", "TrustedPublisher"]
