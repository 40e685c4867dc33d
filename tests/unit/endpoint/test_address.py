from __future__ import annotations

import pytest

from minirl.endpoint import Server
from minirl.endpoint.address import base_url
from minirl.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "base"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        (" http://localhost:8000/v1 ", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("https://api.example.org/v1/chat/completions", "https://api.example.org/v1"),
        ("https://example.org/chat/completions", "https://example.org/v1"),
        ("https://example.org/v1beta/openai/", "https://example.org/v1beta/openai"),
        ("http://[::1]:80", "http://[::1]:80/v1"),
    ],
)
def test_urls_are_taken_as_they_are_typed(typed, base):
    assert base_url(typed) == base
    assert base_url(base) == base


@pytest.mark.parametrize(
    "typed",
    [
        "localhost:8000",
        "ftp://localhost",
        "file:///etc/passwd",
        "http://",
        "http://host:port",
        "http://host:99999999",
        "http://me:secret@host",
        "http://me@host",
        "http://host/v1?key=secret",
        "http://host/#v1",
        "http://host/v 1",
        "http://host\\@other",
        "",
    ],
)
def test_other_urls_are_refused(typed):
    with pytest.raises(ConfigError) as error:
        base_url(typed)
    assert "secret" not in str(error.value)


def test_the_key_is_found_and_is_not_shown():
    both = {"MINIRL_API_KEY": " mine\n", "OPENAI_API_KEY": "theirs"}
    assert Server.at("http://h", "m", both).key == "mine"
    assert Server.at("http://h", "m", {"OPENAI_API_KEY": "theirs"}).key == "theirs"
    assert Server.at("http://h", "m", {"MINIRL_API_KEY": " "}).key is None
    assert "mine" not in repr(Server.at("http://h", "m", both))
    with pytest.raises(ConfigError, match="MINIRL_API_KEY") as error:
        Server.at("http://h", "m", {"MINIRL_API_KEY": "se\ncret"})
    assert "cret" not in str(error.value)


@pytest.mark.parametrize("model", ["", " ", "a\nb"])
def test_a_model_has_a_name(model):
    with pytest.raises(ConfigError, match="--model"):
        Server.at("http://h", model, {})


@pytest.mark.parametrize(
    ("url", "local", "exposes"),
    [
        ("http://127.0.0.1:1", True, False),
        ("http://localhost", True, False),
        ("http://[::1]", True, False),
        ("http://example.org", False, True),
        ("https://example.org", False, False),
        ("http://10.0.0.1", False, True),
        ("http://localhost.example.org", False, True),
    ],
)
def test_where_a_key_would_be_seen(url, local, exposes):
    server = Server.at(url, "m", {"MINIRL_API_KEY": "k"})
    assert (server.is_local, server.exposes_key) == (local, exposes)
    assert not Server.at(url, "m", {}).exposes_key
