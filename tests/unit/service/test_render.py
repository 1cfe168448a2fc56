# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaps: filled and kept, or dropped as a whole; nothing a person types can forge one."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from autoprovd.model import SecretClass, SecretKey
from autoprovd.render import Document, Syntax, Templates

SIP = SecretKey(1, SecretClass.SIP)
WEB = SecretKey(0, SecretClass.WEB)
TEMPLATE = """name = {{ name }}
{% call(secret) gap('sip', 1) %}
password = {{ secret }}
again = {{ secret }}
{% endcall %}
{% call(secret) gap('web', 0) %}
web = {{ name }}:{{ secret }}
{% endcall %}
end
"""


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Templates of a package made for the test."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "some_vendor" / "templates").mkdir(parents=True)
    (folder / "some_vendor" / "__init__.py").touch()
    (folder / "some_vendor" / "templates" / "settings.j2").write_text(TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        return Templates("some_vendor")


def rendered(templates: Templates, name: str, syntax: Syntax = Syntax.LINES) -> Document:
    return templates.render("settings.j2", "settings", "text/plain", syntax, {"name": name})


def test_gaps_are_filled_or_dropped_as_a_whole(templates: Templates) -> None:
    document = rendered(templates, "Anna")
    assert document.gaps == {SIP, WEB}
    assert document.locked == b"name = Anna\nend\n"
    assert document.filled({SIP: "s1"}) == b"name = Anna\npassword = s1\nagain = s1\nend\n"
    both = b"name = Anna\npassword = s1\nagain = s1\nweb = Anna:w0\nend\n"
    assert document.filled({SIP: "s1", WEB: "w0"}) == both
    assert document.filled({SecretKey(2, SecretClass.SIP): "other"}) == document.locked


def test_the_kept_text_holds_no_secret_and_the_mask_shows_only_what_waits(templates: Templates) -> None:
    document = rendered(templates, "Anna")
    document.filled({SIP: "s1"})
    assert "s1" not in document.text
    assert document.masked([WEB]) == "name = Anna\nweb = Anna:********\nend\n"
    assert document.masked([]).encode() == document.locked


def test_secrets_are_escaped_where_the_syntax_asks_for_it(templates: Templates) -> None:
    hostile = "<a b=\"'&]]>"
    assert f"password = {hostile}\n".encode() in rendered(templates, "Anna").filled({SIP: hostile})
    escaped = b"password = &lt;a b=&quot;&apos;&amp;]]&gt;\n"
    assert escaped in rendered(templates, "Anna", Syntax.XML).filled({SIP: hostile})
    assert b"name = &lt;b&gt;\n" in rendered(templates, "<b>", Syntax.XML).locked


@pytest.mark.parametrize("secret", [r"\1\g<0>", "{{ 7 * 7 }}", "%s %(x)s", "\x1a"])
def test_a_secret_is_text_to_everyone(templates: Templates, secret: str) -> None:
    assert f"password = {secret}\nagain = {secret}\n".encode() in rendered(templates, "Anna").filled({SIP: secret})


@pytest.mark.parametrize("syntax", Syntax)
@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x00", "\x02", "\x03", "\x04", "\x0b", "\x1a", "\x7f"])
def test_a_control_character_never_gets_through(templates: Templates, syntax: Syntax, character: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        rendered(templates, f"a{character}b", syntax)


def test_a_forgotten_value_is_an_error_and_not_an_empty_setting(templates: Templates) -> None:
    with pytest.raises(UndefinedError):
        templates.render("settings.j2", "settings", "text/plain", Syntax.LINES, {})


def test_equal_input_gives_equal_bytes_and_tags(templates: Templates) -> None:
    one, two, other = (rendered(templates, name) for name in ("Anna", "Anna", "Bob"))
    assert (one.text, one.etag) == (two.text, two.etag)
    assert one.etag != other.etag
    assert one.filled({SIP: "s"}) != one.locked
