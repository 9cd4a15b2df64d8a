"""[pinning.NAME] in config.toml: what it may say, where the token comes from, and that it stays there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from integrity.client.session import Session
from integrity.config import Config, PinningSettings, set_config
from integrity.errors import IntegrityError, UsageError
from integrity.home import Home
from integrity.ipfs.pinning import PinningService

TOKEN = "Open.Sesame-0_~+/=="
URL = 'url = "https://a.example/psa"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home in a folder that is the user's own, too."""
    for name in [name for name in os.environ if name.startswith("INTEGRITY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return Home.at(tmp_path / "home")


def write(home: Home, text: str) -> None:
    home.config_folder.mkdir(parents=True, exist_ok=True)
    home.config_file.write_text(text)


def refused(home: Home, text: str, name: str = "nick") -> UsageError:
    """What is told about these settings; never the token."""
    write(home, text)
    with pytest.raises(UsageError) as told:
        Session(home).pinning_service(name)
    error = told.value
    assert (error.family, error.exit_code) == ("refused", 2)
    assert error.next
    assert_silent(error)
    return error


def assert_silent(error: IntegrityError) -> None:
    told = [repr(error), error.next, *error.causes, *error.__notes__, repr(error.evidence)]
    told += [repr(error.__cause__), repr(error.__context__)]
    assert TOKEN not in "\n".join(told)


# --- reading -----------------------------------------------------------------------------------


def test_services_are_read_by_their_names(home: Home) -> None:
    write(
        home,
        f'[pinning.one]\n{URL}token = "{TOKEN}"\n'
        '[pinning."a service"]\nurl = "http://[::1]:5000"\ntoken_file = "~/token"\n',
    )
    assert Config.load(home).pinning == {
        "one": PinningSettings("https://a.example/psa", token=TOKEN),
        "a service": PinningSettings("http://[::1]:5000", token_file="~/token"),
    }
    assert Session(home).pinning_service("one").name == "one"


def test_without_any_there_are_none(home: Home) -> None:
    assert Config.load(home).pinning == {}
    write(home, "[pinning]\n")
    assert Config.load(home).pinning == {}


def test_other_settings_are_set_without_harm_to_services(home: Home) -> None:
    text = f'# mine\n[pinning.one]\n{URL}token = "{TOKEN}" # from the site\n'
    write(home, text)
    set_config(home, {"default_key": "release"})
    kept = home.config_file.read_text()
    assert all(line in kept for line in text.splitlines())
    assert Config.load(home).pinning["one"].token == TOKEN


BROKEN = {
    "pinning = 1": "a pinning that is no table",
    "pinning = ['nick']": "a pinning that is no table",
    "[[pinning]]\nurl = 'x'": "a pinning that is no table",
    "[pinning]\nnick = 'https://a.example'": "[pinning.nick]",
    "[[pinning.nick]]\nurl = 'x'": "[pinning.nick]",
    "[pinning.nick]": "[pinning.nick]",
    f"[pinning.nick]\n{URL}": "[pinning.nick]",
    f"[pinning.nick]\ntoken = '{TOKEN}'": "[pinning.nick]",
    f"[pinning.nick]\n{URL}tokens = '{TOKEN}'": "[pinning.nick]",
    f"[pinning.nick]\n{URL}token = '{TOKEN}'\nkey = '{TOKEN}'": "[pinning.nick]",
    f"[pinning.nick]\n{URL}token = '{TOKEN}'\ntoken_file = 'x'": "[pinning.nick]",
    f"[pinning.nick]\n{URL}token = ['{TOKEN}']": "[pinning.nick]",
    f"[pinning.nick]\n{URL}token = 7": "[pinning.nick]",
    f"[pinning.nick]\n{URL}token_file = ['x']": "[pinning.nick]",
    f"[pinning.nick]\nurl = ['https://a.example']\ntoken = '{TOKEN}'": "[pinning.nick]",
    f"[pinning.nick]\n{URL}token = '{TOKEN}": "is not TOML",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_setting_is_named(home: Home, text: str) -> None:
    error = refused(home, text)
    assert BROKEN[text] in error.message
    assert str(home.config_file) in error.message


def test_a_service_that_is_not_there_is_answered_with_what_to_write(home: Home) -> None:
    error = refused(home, f'[pinning.other]\n{URL}token = "{TOKEN}"\n')
    assert "'nick'" in error.message
    assert "[pinning.nick]" in error.next
    assert str(home.config_file) in error.next


# --- the token ---------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n\n"])
def test_a_token_is_read_from_a_file(home: Home, tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_bytes(content.encode())
    for name in (str(tmp_path / "token"), "~/token"):
        assert PinningSettings("https://a.example", token_file=name).read_token() == TOKEN


def test_a_token_file_that_is_no_good_is_named(home: Home, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "folder").mkdir()
    for name in ("empty", "binary", "folder", "absent", "empty/inside"):
        path = str(tmp_path / name)
        assert path in refused(home, f"[pinning.nick]\n{URL}token_file = '{path}'").message


@pytest.mark.parametrize("name", ["~nobody-of-this-name/token", r"to\u0000ken", "x" * 5000, ""])
def test_a_token_file_that_can_have_no_such_name_is_refused(home: Home, name: str) -> None:
    refused(home, f'[pinning.nick]\n{URL}token_file = "{name}"')


BAD_TOKENS = [
    "",
    " ",
    f"{TOKEN} ",
    f"{TOKEN}\n",
    f"a\r\nX-Evil: {TOKEN}",
    f"{TOKEN}ü",
    "\x7f",
    "x" * 4097,
]


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_a_token_that_is_none_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(UsageError, match="'nick' has no usable token") as told:
        PinningService("nick", "https://a.example", token)
    assert_silent(told.value)


def test_a_token_in_a_file_is_one_line(home: Home, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n{TOKEN}\n")
    error = refused(home, f'[pinning.nick]\n{URL}token_file = "~/token"')
    assert "'nick' has no usable token" in error.message


# --- the URL -----------------------------------------------------------------------------------

BAD_URLS = [
    "",
    "a.example",
    "//a.example",
    "ftp://a.example",
    "file:///etc/passwd",
    "https://",
    "https:///psa",
    "https://a.example:0",
    "https://a.example:99999",
    "https://a.example:x",
    "https://[::1",
    "https://alice@a.example",
    "https://alice:secret@a.example",
    "https://@a.example",
    "https://a.example/?key=1",
    "https://a.example/#top",
    "https://a.example/?",
    "https://a.example/#",
    "https://a.example/p s",
    "https://a b.example",
    "https://a.example/\r\nX-Evil: 1",
    " https://a.example",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="'nick' has no usable URL") as told:
        PinningService("nick", url, TOKEN)
    assert "https://" in told.value.next
    assert "secret" not in str(told.value)
    assert_silent(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "https://a.example/",
        "https://a.example:8443/api/v1/psa//",
        "http://127.0.0.1:5000",
        "http://[::1]:5000/x",
        "HTTPS://A.EXAMPLE",
    ],
)
def test_a_url_may_have_a_port_and_a_path(url: str) -> None:
    assert PinningService("nick", url, TOKEN).name == "nick"
