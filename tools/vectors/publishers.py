"""What sites say of their publishers, by eth_utils."""

from __future__ import annotations

import json
from typing import Any

from eth_utils.address import to_checksum_address

from tests.conformance import recipes


def fill_publishers(value: dict[str, Any]) -> None:
    """What each good document says of each publisher."""
    for case in value["good"]:
        said = json.loads(b"".join(recipes.expand(case["document"])))
        case["publishers"] = [
            {
                "chain": entry["chain"],
                "publisher": to_checksum_address(entry["publisher"]),
                "name": entry.get("name"),
            }
            for entry in said["publishers"]
        ]
