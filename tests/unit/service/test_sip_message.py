# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIP messages as a client writes and reads them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprovd.sip import message
from autoprovd.sip.message import Malformed

OK = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nL: 0\r\nX:\r\n a\r\n\tb\r\n\r\n"


def test_a_response_is_read_with_short_names_and_folded_lines() -> None:
    answer = message.parse_response(OK)
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.header("via") == "SIP/2.0/UDP h;branch=z9hG4bK1"
    assert answer.header("x") == "a b"
    assert answer.header("absent") == ""
    assert message.body_length(b"SIP/2.0 200 OK\r\nl: 17\r\n\r\n") == 17


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n\r\n", b"SIP/2.0 200 OK\r\n", b"SIP/2.0 099 OK\r\n\r\n", b"SIP/2.0 200OK\r\n\r\n",
     b"SIP/2.0 700 X\r\n\r\n", b"NOTIFY sip:a SIP/2.0\r\n\r\n", b"SIP/2.0 200 OK\r\nnothing\r\n\r\n",
     b"SIP/2.0 200 OK\r\n\r\n" + b" " * 65_535],
)  # fmt: skip
def test_what_is_no_response_is_malformed(data: bytes) -> None:
    if data == b"SIP/2.0 200OK\r\n\r\n":
        assert message.parse_response(data).reason == "OK", "the blank may be missing; phones were seen to leave it out"
        return
    with pytest.raises(Malformed):
        message.parse_response(data)


@pytest.mark.parametrize("length", ["-1", "1e3", "100000", "٣", "1 2"])
def test_a_length_that_is_none(length: str) -> None:
    with pytest.raises(Malformed):
        message.body_length(f"SIP/2.0 200 OK\r\nl: {length}\r\n\r\n".encode())


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_malformed(data: bytes) -> None:
    for text in (data, b"SIP/2.0 200 OK\r\n" + data + b"\r\n\r\n"):
        try:
            message.parse_response(text)
            message.body_length(text)
        except Malformed:
            pass


@pytest.mark.parametrize("text", ["a\r\nRoute: b", "a\nb", "a\0b"])
def test_a_value_never_begins_a_line(text: str) -> None:
    with pytest.raises(ValueError, match="several lines"):
        message.request("NOTIFY", "sip:a", [("Subject", text)])
    with pytest.raises(ValueError, match="several lines"):
        message.request("NOTIFY", f"sip:{text}", [])


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    # RFC 7616, section 3.9.1.
    [("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
     ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")],
)  # fmt: skip
def test_digest_as_in_the_rfc(algorithm: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _size: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    challenge = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f"algorithm={algorithm}, "
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    answer = message.answer_to(challenge, "Mufasa", "Circle of Life", "GET", "/dir/index.html")
    assert answer is not None
    assert re.search(r'response="(\w+)"', answer)[1] == expected  # type: ignore[index]
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in answer


@pytest.mark.parametrize(
    "challenge",
    ["", "Basic realm=x", 'Digest realm="x"', 'Digest nonce="x"', 'Digest realm="x", nonce="y", algorithm=SHA-1',
     'Digest realm="x", nonce="y", qop="auth-int"'],
)  # fmt: skip
def test_what_cannot_be_answered(challenge: str) -> None:
    assert message.answer_to(challenge, "user", "password", "NOTIFY", "sip:a") is None
