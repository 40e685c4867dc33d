"""Faults of a real server: what is asked again, what is told, what is kept."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from openai_server import KEY, openai_server

from minirl.endpoint import Journal, Patience
from minirl.endpoint.client import quoted, retry_after
from minirl.envs import make_env
from minirl.errors import EndpointError
from minirl.rollout import play

ENV = make_env("arithmetic:1")
TASKS = [ENV.task("train", i) for i in range(4)]
HUGE = '{"choices": [{"message": {"content": "' + "x" * 1_000_000 + '"}}]}'


def run(policy, tasks=TASKS):
    return play(policy, ENV, tasks, 2, max_tokens=40, seed=3)


FAULTS = {
    "500": {"kind": "status", "status": 500},
    "503 with text": {"kind": "status", "status": 503, "body": "loading model"},
    "429": {"kind": "status", "status": 429, "headers": {"Retry-After": "0"}},
    "408": {"kind": "status", "status": 408},
    "malformed JSON": {"kind": "raw", "text": '{"choices": [{"mess'},
    "truncated body": {"kind": "truncated"},
    "wrong content type": {"kind": "raw", "text": "<html>hello</html>", "type": "text/html"},
    "empty choices": {"kind": "raw", "text": '{"choices": []}'},
    "an error with 200": {"kind": "raw", "text": '{"error": {"message": "overloaded"}}'},
    "a closed connection": {"kind": "hang", "seconds": 0},
    "no message": {"kind": "raw", "text": '{"choices": [{"index": 0}]}'},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_passes_is_asked_again(server, ask, fault):
    whole = run(ask())
    server.plan(faults={"0": fault, "1": fault, "3": fault})
    assert run(ask()) == whole
    assert len(server.bodies) == 4 + 3


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_does_not_pass_is_told(server, ask, fault):
    server.plan(always=fault)
    with pytest.raises(EndpointError, match="after 3 retries") as error:
        run(ask(), TASKS[:1])
    assert len(server.bodies) == 4
    for said in (fault.get("text", "")[:20], str(fault.get("status", "")), fault.get("body", "")):
        assert said in str(error.value)
    assert KEY not in str(error.value)


def test_a_server_that_hangs_is_asked_again(server, ask):
    whole = run(ask())
    server.plan(faults={"0": {"kind": "hang", "seconds": 20}, "1": {"kind": "drip"}})
    began = time.monotonic()
    patience = Patience(total=2.0, retries=2, first=0.01)
    assert run(ask(patience=patience)) == whole
    assert time.monotonic() - began < 15
    server.plan(always={"kind": "hang", "seconds": 20})
    with pytest.raises(EndpointError, match=r"no answer within 0\.3 s"):
        run(ask(patience=Patience(total=0.3, retries=1, first=0.01)), TASKS[:1])


def test_retry_after_is_honoured(server, ask):
    fault = {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}
    server.plan(faults={"0": fault})
    run(ask(), TASKS[:1])
    first, second = (r["at"] for r in server.log()["requests"])
    assert 1.0 <= second - first < 10
    fault["headers"]["Retry-After"] = "100000"
    server.plan(always=fault)
    with pytest.raises(EndpointError, match="asks to wait 100000 s"):
        run(ask(), TASKS[:1])


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, "refuses the request"),
        (401, "key in MINIRL_API_KEY is refused"),
        (403, "key in MINIRL_API_KEY is refused"),
        (404, "--model m is served there"),
        (422, "--set"),
    ],
)
def test_a_refusal_is_told_at_once(server, ask, status, told):
    body = {"error": {"message": f"no \u202e\x1b[2J, {KEY}!" + "y" * 1000}}
    server.plan(always={"kind": "status", "status": status, "body": body})
    with pytest.raises(EndpointError) as error:
        run(ask(), TASKS[:1])
    text = str(error.value)
    assert len(server.bodies) == 1
    assert told in text
    assert "[key]!" in text
    assert KEY not in text
    assert "y" * 300 not in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_redirect_is_not_followed(server, ask):
    with openai_server() as elsewhere:
        location = elsewhere.url + "/v1/chat/completions"
        for status in (301, 302, 307, 308):
            server.plan(
                always={"kind": "status", "status": status, "headers": {"Location": location}}
            )
            with pytest.raises(EndpointError, match="redirects to") as error:
                run(ask(), TASKS[:1])
            assert location in str(error.value)
        assert elsewhere.log()["requests"] == []


def test_a_huge_completion_is_taken(server, ask):
    server.plan(always={"kind": "raw", "text": HUGE})
    groups = run(ask(), TASKS[:1])
    assert [len(r.text) for r in groups[0].rollouts] == [1_000_000] * 2
    assert not any(r.score.solved for r in groups[0].rollouts)


def test_a_null_content_is_an_empty_turn(server, ask):
    server.plan(turns=[{"role": "assistant", "content": None}])
    groups = run(ask(), TASKS[:1])
    assert [(r.text, r.score.value) for r in groups[0].rollouts] == [("", 0.0)] * 2


def test_an_endless_answer_is_cut(server, ask, monkeypatch):
    monkeypatch.setattr("minirl.endpoint.client.MOST_BYTES", 100_000)
    server.plan(always={"kind": "raw", "text": HUGE})
    with pytest.raises(EndpointError, match="more than 100000 bytes"):
        run(ask(patience=Patience(total=5, retries=0)), TASKS[:1])


def test_after_a_failure_what_is_on_its_way_is_kept(server, ask, tmp_path):
    """The first request fails at once; the others, sent with it, take half a second."""
    server.plan(delay=0.5, faults={"0": {"kind": "raw", "text": "no"}})
    path = tmp_path / "answers.jsonl"
    whole_patience = Patience(total=5, retries=0)
    with pytest.raises(EndpointError, match="no chat completion"):
        run(ask(journal=Journal(path), patience=whole_patience))
    assert len(Journal(path)) == 3 * 2
    server.plan()
    assert run(ask(journal=Journal(path))) == run(ask())


def test_nobody_there(ask):
    with pytest.raises(EndpointError, match="fails, after 0 retries") as error:
        run(ask("http://127.0.0.1:9", patience=Patience(retries=0)))
    assert "ConnectError" in str(error.value)


def test_a_proxy_is_not_asked_for_this_machine(ask, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert len(run(ask())) == 4


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 0.5 ", 0.5),
        ("Thu, 01 Jan 2026 12:00:07 GMT", 7.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("Thu, 01 Jan 2026 12:00:07", None),
    ],
)
def test_retry_after_in_both_forms(header, seconds):
    assert retry_after(header, NOW) == seconds


def test_pauses_double_up_to_their_bound():
    patience = Patience(first=1.0, longest=5.0)
    for retry, most in ((0, 1.0), (1, 2.0), (2, 4.0), (3, 5.0), (50, 5.0)):
        drawn = [patience.pause(retry) for _ in range(50)]
        assert most / 2 <= min(drawn) < max(drawn) <= most


def test_quotes_are_short_and_visible():
    assert quoted("a\n\n b\x00\u202e") == r"a b\x00\u202e"
    assert quoted("") == "(nothing)"
    assert quoted("z" * 500) == "z" * 200 + "…"
