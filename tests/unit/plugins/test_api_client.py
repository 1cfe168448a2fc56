# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the admin API: what it sends, and what it says when something is wrong."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils import _api
from ansible_collections.autoprov.appliance.plugins.module_utils._api import Api, ApiError
from autoprovd.tls import generate_certificate
from tests.unit.plugins.fake_api import FakeApi, on_https

TOKEN = "planted-token-0123456789-abcdefghijk"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-made certificate for 127.0.0.1, and its key."""
    generate_certificate(["127.0.0.1"], tmp_path)
    return tmp_path / "server.crt", tmp_path / "server.key"


def said(url: str, **options: Any) -> str:
    """What the client says when it asks at this address, which must fail; never the token."""
    with pytest.raises(ApiError) as caught:
        Api(url, TOKEN, **{"timeout": 2.0, **options}).get("/settings")
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_asks_through_a_socket_with_token_and_query(api: FakeApi) -> None:
    api.expect("GET", "/api/v1/phones?mac=00%3A04%3A13%3A92%3A2D%3A24&mac=b", {"phones": []})
    assert Api(api.url, TOKEN).get("/phones", [("mac", "00:04:13:92:2D:24"), ("mac", "b")]) == {"phones": []}
    assert api.calls[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_sends_json(api: FakeApi) -> None:
    api.expect("PUT", "/api/v1/phones", {"changed": True})
    api.expect("POST", "/api/v1/claims", {"secrets": {}})
    Api(api.url).put("/phones", {"phones": [{"name": "Grün"}]})
    Api(api.url).post("/claims", {})
    assert api.calls[0].body == {"phones": [{"name": "Grün"}]}
    assert api.calls[0].headers["Content-Type"] == "application/json"
    assert "Authorization" not in api.calls[0].headers


def test_keeps_the_path_of_the_address(http_api: FakeApi) -> None:
    http_api.expect("GET", "/behind/a/proxy/api/v1/settings", {"settings": {}})
    Api(f"{http_api.url}/behind/a/proxy/").get("/settings")


def test_tells_all_faults_at_once(api: FakeApi) -> None:
    faults = [
        {"where": "phones[0].mac", "what": "is no MAC address", "fix": "write 12 digits"},
        {"where": "", "what": "something else", "fix": ""},
    ]
    api.refuse("GET", "/api/v1/settings", 422, "the phone list has 2 faults", faults)
    with pytest.raises(ApiError) as caught:
        Api(api.url).get("/settings")
    assert str(caught.value) == (
        "the phone list has 2 faults\n- phones[0].mac: is no MAC address; write 12 digits\n- something else"
    )
    assert (caught.value.status, caught.value.faults) == (422, faults)


def test_spells_out_the_first_faults_of_very_many(api: FakeApi) -> None:
    faults = [{"where": f"phones[{number}]", "what": "wrong", "fix": ""} for number in range(_api.SHOWN_FAULTS + 7)]
    api.refuse("GET", "/api/v1/settings", 422, "many", faults)
    with pytest.raises(ApiError) as caught:
        Api(api.url).get("/settings")
    assert str(caught.value).splitlines()[-1] == "- and 7 more"
    assert len(caught.value.faults) == len(faults)


@pytest.mark.parametrize("status", [401, 403, 404, 409, 503])
def test_passes_the_words_of_the_service_on(api: FakeApi, status: int) -> None:
    api.refuse("GET", "/api/v1/settings", status, "the words of the service", [])
    with pytest.raises(ApiError, match=r"^the words of the service$") as caught:
        Api(api.url).get("/settings")
    assert caught.value.status == status


@pytest.mark.parametrize("answer", ["<html>Welcome</html>", {"detail": "Not Found"}, {}])
def test_notices_that_something_else_answers(api: FakeApi, answer: dict[str, Any] | str) -> None:
    api.expect("GET", "/api/v1/settings", answer, 404)
    assert "not the admin API of autoprovd; check api_url" in said(api.url)


def test_no_service_at_the_socket(tmp_path: Path) -> None:
    message = said(f"unix://{tmp_path}/absent.sock")
    assert f"unix://{tmp_path}/absent.sock does not answer (No such file or directory)" in message
    assert "is autoprovd running" in message


def test_no_service_at_the_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        message = said(f"https://127.0.0.1:{unused.getsockname()[1]}")
    assert "does not answer (Connection refused)" in message


def test_a_service_that_is_silent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen(1)
        started = time.monotonic()
        assert "did not answer within 0.2 s" in said(f"unix://{tmp_path}/s", timeout=0.2)
        assert time.monotonic() - started < 2


def test_a_service_that_hangs_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        message = said(f"unix://{tmp_path}/s")
        thread.join()
    assert "broke off its answer" in message or "does not answer" in message


def test_reads_the_refusal_of_a_body_that_was_not_read(tmp_path: Path) -> None:
    """A service may refuse before it has read ten thousand phones; its words must not be lost to a broken pipe."""
    answer = b'{"error": {"code": "forbidden", "message": "lacks the scope", "faults": []}}'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)

        def refuse() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
            connection.sendall(head.encode() + answer)
            connection.shutdown(socket.SHUT_RD)
            time.sleep(0.2)
            connection.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(ApiError, match="lacks the scope"):
            Api(f"unix://{tmp_path}/s").put("/phones", {"phones": ["x" * 5_000_000]})
        thread.join()


def test_tls_trusts_the_given_authority(certificate: tuple[Path, Path]) -> None:
    with on_https(*certificate) as fake:
        fake.expect("GET", "/api/v1/settings", {"settings": {}})
        assert Api(fake.url, TOKEN, ca_path=str(certificate[0])).get("/settings") == {"settings": {}}
        fake.assert_done()


def test_tls_without_trust_sends_nothing(certificate: tuple[Path, Path]) -> None:
    with on_https(*certificate) as fake:
        message = said(fake.url)
        assert "certificate that is not trusted" in message
        assert "set ca_path" in message
        assert fake.calls == []


def test_tls_notices_another_name(tmp_path: Path) -> None:
    generate_certificate(["other.example"], tmp_path)
    with on_https(tmp_path / "server.crt", tmp_path / "server.key") as fake:
        assert "certificate that is not trusted" in said(fake.url, ca_path=str(tmp_path / "server.crt"))
        assert fake.calls == []


def test_tls_unverified_when_asked_for(certificate: tuple[Path, Path]) -> None:
    with on_https(*certificate) as fake:
        fake.expect("GET", "/api/v1/settings", {"settings": {}})
        Api(fake.url, validate_certs=False).get("/settings")
        fake.assert_done()


def test_tls_to_a_port_without_it(http_api: FakeApi) -> None:
    assert "does not speak TLS" in said(http_api.url.replace("http://", "https://"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://appliance.example:50082", "would carry the token readable"),
        ("https://user:secret@appliance.example", "holds a user name or password"),
        ("ftp://appliance.example", "is not an address"),
        ("appliance.example:50082", "is not an address"),
        ("unix://run/autoprov/admin.sock", "is not an address"),
        ("https://appliance.example:port", "is not an address"),
        ("", "is not an address"),
    ],
)
def test_refuses_addresses_it_must_not_use(url: str, reason: str) -> None:
    message = said(url)
    assert reason in message
    assert "secret" not in message


def test_refuses_a_token_with_a_line_break(api: FakeApi) -> None:
    with pytest.raises(ApiError, match="copy it again") as caught:
        Api(api.url, f"{TOKEN}\nX-Other: 1")
    assert TOKEN not in str(caught.value)


def test_ca_path_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        assert f"ca_path {path} is not readable" in said("https://127.0.0.1:1", ca_path=str(path))
