"""Serving the page: on this machine, under its own name, three paths, nothing cached."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
from collections.abc import Iterator

import finished_run as made
import pytest

from minirl.report.page.serve import Page, _Server
from minirl.rundir import RunDir


@pytest.fixture
def run(tmp_path) -> RunDir:
    run = made.make_run(tmp_path / "run")
    made.add_probe(run)
    return run


@pytest.fixture
def served(run: RunDir) -> Iterator[tuple[Page, int]]:
    page = Page(run, run.report, watched=True)
    page.renew()
    server = _Server(("127.0.0.1", 0), page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield page, server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    port: int, path: str, *, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_the_page_its_version_and_its_data(served, run):
    page, port = served
    status, headers, body = ask(port, "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert b"connect-src 'self'" in body
    version = json.loads(ask(port, "/version")[2])["version"]
    assert f'<meta name="watch" content="{version}">'.encode() in body
    data = json.loads(ask(port, "/data")[2])
    assert data["probe"]["verdict"] == "go"
    # The file on disk asks nobody for news.
    assert "connect-src" not in run.report.read_text(encoding="utf-8")
    assert page.size == run.report.stat().st_size


@pytest.mark.parametrize("path", ["/config.json", "/../config.json", "/report.html", "/data/"])
def test_there_is_nothing_else(served, path):
    status, headers, body = ask(served[1], path)
    assert (status, body) == (404, b"there is only /\n")
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "", "[::1]:{port}"]
)
def test_another_name_for_this_machine_is_turned_away(served, host):
    status, _, body = ask(served[1], "/data", host=host.format(port=served[1]))
    assert status == 403
    assert b"probe" not in body


def test_localhost_is_this_machine(served):
    assert ask(served[1], "/version", host=f"localhost:{served[1]}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "<script>"])
def test_nothing_can_be_done_but_read(served, method):
    status, headers, body = ask(served[1], "/", method=method)
    assert status == 501
    assert headers["content-type"].startswith("text/plain")
    assert body in (b"no\n", b"")


def test_a_reader_who_leaves_early_is_no_news(served, capfd):
    _, port = served
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as reader:
            # Closed with a reset, while the page is being sent.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.sendall(f"GET / HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert ask(port, "/version")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_change_is_seen_and_told_by_another_version(served, run):
    page, port = served
    assert page.stale() is False
    before = json.loads(ask(port, "/version")[2])
    made.add_training(run, made.Writer(made.tokenizer(run.checkpoint(1))), steps=2)
    assert page.stale() is True
    page.renew()
    assert page.stale() is False
    assert json.loads(ask(port, "/version")[2]) != before
    assert json.loads(ask(port, "/data")[2])["training"]["done"] == 2
    run.config.rename(run.path / "aside")
    assert page.stale() is False
    (run.path / "aside").rename(run.config)
    assert "Samples" in run.report.read_text(encoding="utf-8")
