# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a redirect service is shown who asks: against the examples of the specifications."""

from __future__ import annotations

import re
import secrets

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._redirect.authentication import (
    Challenged,
    Hawk,
    Request,
    read_challenges,
)

ADDRESS = "https://example.com:8000/resource/1?b=1&a=2"
KEY = "werxhqb98rpaxn39848xrunpaw3489ruxnpa98w4rxn"


def hawk() -> Hawk:
    return Hawk("dh37fgj492je", KEY, now=lambda: 1353832234.5)


def test_hawk_signs_as_its_specification_does() -> None:
    """The example of API.md with a payload, except that its host is reached by HTTPS here, which signs the same."""
    request = Request("POST", ADDRESS, b"Thank you for flying Hawk", "text/plain; charset=utf-8")
    assert hawk().header(request, nonce="j4h3g2", ext="some-app-ext-data") == (
        'Hawk id="dh37fgj492je", ts="1353832234", nonce="j4h3g2", hash="Yi9LfIIFRtBEPt74PVmbTF/xVAwPn7ub15ePICfgnuY=", '
        'ext="some-app-ext-data", mac="aSe1DERmZuRl3pI36/9BdZmnErTw3sNzOOAUlfeKjVw="'
    )


def test_hawk_signs_each_part_of_a_request() -> None:
    def mac(request: Request, **values: str) -> str:
        header = hawk().header(request, **{"nonce": "n", **values}) or ""
        return header.rpartition('mac="')[2]

    usual = mac(Request("GET", ADDRESS))
    others = [
        mac(Request("PUT", ADDRESS)),
        mac(Request("GET", ADDRESS.replace("a=2", "a=3"))),
        mac(Request("GET", ADDRESS.replace("example.com", "example.net"))),
        mac(Request("GET", ADDRESS.replace("8000", "8001"))),
        mac(Request("GET", ADDRESS, b"x")),
        mac(Request("GET", ADDRESS), nonce="m"),
        mac(Request("GET", ADDRESS), ext="x"),
    ]
    assert len({usual, *others}) == 1 + len(others)
    assert mac(Request("get", ADDRESS.replace("example.com", "EXAMPLE.com"))) == usual


def test_hawk_uses_a_nonce_once() -> None:
    nonces = {re.findall('nonce="([^"]+)"', hawk().header(Request("GET", ADDRESS)) or "")[0] for _ in range(100)}
    assert len(nonces) == 100


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_answers_as_rfc_7616_does(algorithm: str, response: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its section 3.9.1, with its cnonce."""
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr(secrets, "token_hex", lambda _size: cnonce)
    scheme = Challenged("Mufasa", "Circle of Life")
    request = Request("GET", "https://www.example.org/dir/index.html")
    assert scheme.header(request) is None
    nonce, opaque = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    challenge = f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    assert scheme.learn(read_challenges([f'{challenge}nonce="{nonce}", opaque="{opaque}"']))
    header = scheme.header(request) or ""
    assert f'response="{response}"' in header
    assert f'opaque="{opaque}"' in header
    assert "nc=00000001" in header
    assert "nc=00000002" in (scheme.header(request) or "")


def test_refused_for_a_new_nonce_means_wrong_credentials() -> None:
    scheme = Challenged("a", "b")
    challenge = read_challenges(['Digest realm="r", qop="auth", nonce="1"'])
    assert scheme.learn(challenge)
    scheme.header(Request("GET", ADDRESS))
    assert not scheme.learn(challenge)


@pytest.mark.parametrize(
    "offered",
    ['Digest realm="r", nonce="1", qop="auth-int"', 'Digest realm="r", nonce="1", algorithm=MD5-sess', "NTLM", ""],
)
def test_what_it_does_not_know_it_does_not_answer(offered: str) -> None:
    assert not Challenged("a", "b").learn(read_challenges([offered]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            ['Hawk ts="1", tsm="a=b, c", error="Stale timestamp"'],
            {"hawk": {"ts": "1", "tsm": "a=b, c", "error": "Stale timestamp"}},
        ),
        (
            ['Digest realm="x, Basic y", nonce=abc, Basic realm="z"'],
            {"digest": {"realm": "x, Basic y", "nonce": "abc"}, "basic": {"realm": "z"}},
        ),
        (['Basic realm="a \\" b"', "Hawk"], {"basic": {"realm": 'a " b'}, "hawk": {}}),
        (["", "\x00="], {}),
    ],
)
def test_challenges_are_read(values: list[str], expected: dict[str, dict[str, str]]) -> None:
    assert read_challenges(values) == expected
