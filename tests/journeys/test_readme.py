"""The README's example for a test of one's own is a test, and passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from integrity.testing.liar import LyingSource
from integrity.testing.plugin import ServedRelease

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_example_passes(
    integrity_release: ServedRelease,
    integrity_reader: Callable[..., Any],
    integrity_liar: Callable[..., LyingSource],
    tmp_path: Path,
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "def test_" in block]
    names: dict[str, Any] = {}
    exec(compile(example, str(README), "exec"), names)
    names["test_my_client_survives_a_source_that_lies"](
        integrity_release, integrity_reader, integrity_liar, tmp_path
    )
