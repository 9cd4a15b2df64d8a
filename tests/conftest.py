"""What holds for every test: a test that is skipped has not passed."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.getreports("skipped")
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} skipped: nothing may be skipped", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.getreports("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
