"""spec/vectors/receipts.json: receipts and what they prove (spec v1, section 6.6).

The vectors are made with py-trie and pyrlp, which share no code with the verifier.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from integrity.client.receipts import check_receipt
from integrity.client.session import Session
from integrity.core.links import Link, parse_link
from integrity.errors import FormatError, IntegrityError, UnavailableError, VerificationError
from integrity.home import Home
from integrity.verifier.receipt import decode, encode
from integrity.verifier.record import Record

from . import recipes
from .recipes import Case

VECTORS = recipes.load("receipts")
PUBLISHER = VECTORS["publisher"]
GOOD = {case["name"]: case for case in VECTORS["good"]}

# As spec/vectors/README.md has them.
FAMILIES = {"does not verify": VerificationError, "could not check": UnavailableError}


def families() -> dict[str, type[IntegrityError]]:
    """Of every reason in the README's tables; those of the first are all malformed."""
    text = (recipes.VECTORS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z].*?) \| [^|]* \|(?: ([^|]*) \|)?$", text, re.MULTILINE)
    return {
        name: FAMILIES[family] if family else FormatError
        for names, family in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def checked(case: Case, home: Path, link: str | None = None) -> Record:
    """Check a case's receipt as its reader would, without any node."""
    session = Session(
        Home.at(home), publisher=case.get("named", PUBLISHER),
        checkpoint=bytes.fromhex(case["checkpoint"]),
    )  # fmt: skip
    lines = []
    if "compromised_since" in case:
        since = datetime.fromtimestamp(case["compromised_since"], UTC).isoformat()
        lines = ["[publishers.acme]", "chain = 31337", f'publisher = "{PUBLISHER}"']
        lines += [f"compromised_since = {since}"]
    lines += ["[policy]"] + [
        f"{name} = {json.dumps(v)}" for name, v in case.get("policy", {}).items()
    ]
    session.home.trust_file.parent.mkdir(parents=True, exist_ok=True)
    session.home.trust_file.write_text("\n".join(lines))
    asked = None if link is None else parse_link(link)
    assert asked is None or isinstance(asked, Link)
    return check_receipt(session, recipes.document(case, GOOD, "receipt"), asked)


@pytest.mark.parametrize("case", recipes.parameters("receipts", "good"))
def test_a_good_receipt_proves_its_record(case: Case, tmp_path: Path) -> None:
    state = case["state"]
    for link in (None, *case.get("links", ())):
        record = checked(case, tmp_path, link)
        assert (record.chain_id, record.publisher) == (state["chain"], PUBLISHER)
        assert (record.package, record.version) == (state["package"], state["version"])
        assert record.manifest.hex() == state["manifest"]
        release: dict[str, Any] = state["release"]
        assert (record.sequence, record.published_at) == (
            release["sequence"],
            release["published_at"],
        )
        assert record.by.lower() == release["by"].lower()
        assert record.is_latest == (state["head"]["latest"] == release["sequence"])
        block = record.block
        assert (block.number, block.hash.hex(), block.timestamp) == (
            case["block"]["number"],
            case["block"]["hash"],
            case["block"]["time"],
        )
        assert record.basis == "checkpoint, proven"
        assert list(record.endorsed_by) == case.get("endorsed_by", [])


@pytest.mark.parametrize("case", recipes.parameters("receipts", "good"))
def test_a_good_receipt_is_written_as_it_was_read(case: Case) -> None:
    data = recipes.document(case, GOOD, "receipt")
    assert encode(decode(data)) == data


@pytest.mark.parametrize("case", recipes.parameters("receipts", "bad"))
def test_a_bad_receipt_is_refused_for_its_one_reason(case: Case, tmp_path: Path) -> None:
    with pytest.raises(families()[case["reason"]]) as caught:
        checked(case, tmp_path, case.get("link"))
    assert caught.value.name == case["reason"]
