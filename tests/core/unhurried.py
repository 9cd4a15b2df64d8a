"""Hypothesis without its clocks: a slow machine is no failure."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings

__all__ = ["example", "given", "settings"]

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
