"""A manifest the slow and plain way: everything in memory, protobuf by hand, JSON by json.dumps.

It shares no code with the library, so that both being wrong alike would take two mistakes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

MIB = 1 << 20


def reference_manifest(
    files: Mapping[str, bytes],
    publisher: str,
    package: str,
    version: str,
    *,
    executable: frozenset[str] = frozenset(),
    meta: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes a release of these files must have as its manifest (no sharded folders)."""
    header = {
        "content": cid_text(folder_block(tree_of(files))[0]),
        "files": len(files),
        "format": "integrity/1",
        "package": package,
        "publisher": publisher,
        "size": sum(map(len, files.values())),
        "version": version,
    }
    if meta:
        header["meta"] = dict(meta)
    lines = [header]
    for path in sorted(files, key=str.encode):
        data = files[path]
        line: dict[str, object] = {"path": path, "size": len(data)}
        if path in executable:
            line["executable"] = True
        if len(data) > MIB:
            digests = b"".join(hashlib.sha256(piece).digest() for piece in cut(data))
            line["pieces"] = base64.urlsafe_b64encode(digests).decode().rstrip("=")
            line["also"] = {"sha256": hashlib.sha256(data).hexdigest()}
        else:
            line["sha256"] = hashlib.sha256(data).hexdigest()
        lines.append(line)
    return b"".join(
        json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        for line in lines
    )


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + MIB] for at in range(0, len(data), MIB)] or [b""]


# --- UnixFS ------------------------------------------------------------------------------------

Tree = dict[str, "Tree | bytes"]


def tree_of(files: Mapping[str, bytes]) -> Tree:
    root: Tree = {}
    for path, data in files.items():
        *folders, name = path.split("/")
        place = root
        for folder in folders:
            below = place.setdefault(folder, {})
            assert isinstance(below, dict)
            place = below
        place[name] = data
    return root


def number(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + number(value // 128)


def field(key: int, value: bytes) -> bytes:
    return number(key << 3 | 2) + number(len(value)) + value


def link(cid: bytes, name: str, size: int) -> bytes:
    return field(2, field(1, cid) + field(2, name.encode()) + b"\x18" + number(size))


def cid_of(codec: int, block: bytes) -> bytes:
    return bytes([1, codec, 0x12, 32]) + hashlib.sha256(block).digest()


def cid_text(cid: bytes) -> str:
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def file_block(data: bytes) -> tuple[bytes, int]:
    """CID and cumulative size of a file of at most 1,024 pieces."""
    pieces = cut(data)
    if len(pieces) == 1:
        return cid_of(0x55, data), len(data)
    links = b"".join(link(cid_of(0x55, piece), "", len(piece)) for piece in pieces)
    sizes = b"".join(b"\x20" + number(len(piece)) for piece in pieces)
    block = links + field(1, b"\x08\x02\x18" + number(len(data)) + sizes)
    return cid_of(0x70, block), len(block) + len(data)


def folder_block(tree: Tree) -> tuple[bytes, int]:
    """CID and cumulative size of a folder."""
    links, below = b"", 0
    for name in sorted(tree, key=str.encode):
        item = tree[name]
        cid, size = folder_block(item) if isinstance(item, dict) else file_block(item)
        links += link(cid, name, size)
        below += size
    block = links + field(1, b"\x08\x01")
    return cid_of(0x70, block), len(block) + below
