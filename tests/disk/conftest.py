"""Folders for the tests of the disk."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this machine can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="integrity-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)
        subprocess.run(["chmod", "-R", "u+rwX", name], check=False)


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    """1,500 folders within one another, each called ``d``, and a file in the innermost."""
    root = tmp_path / "deep"
    root.mkdir()
    fd = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(file, b"deep")
    os.close(file)
    os.close(fd)
    yield root
    # Python's own rmtree is recursive, and would not reach the bottom.
    subprocess.run(["rm", "-rf", os.fspath(root)], check=True)
