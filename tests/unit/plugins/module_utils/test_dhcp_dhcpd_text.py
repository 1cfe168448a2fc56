# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcpd.conf as text: read with positions, edited and put back byte for byte."""

from __future__ import annotations

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd import text as dhcpd_text
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dhcpd.text import Reader, TextFault, parse

OWN = "/etc/dhcp/dhcpd.autoprov.conf"


def test_statements_and_blocks() -> None:
    text = 'Option x "a#b;{"; # } not a brace\nsubnet 10.0.0.0\nnetmask 255.0.0.0{range 10.0.0.1;pool{}}option y 1,2;'
    first, subnet, last = parse("f", text)
    assert [token.value for token in first.tokens] == ["option", "x", "a#b;{"]
    assert text[first.start : first.end] == 'Option x "a#b;{";'
    assert (subnet.keyword, subnet.word(1), subnet.word(3)) == ("subnet", "10.0.0.0", "255.0.0.0")
    assert text[subnet.closing] == "}"
    assert [child.keyword for child in subnet.children] == ["range", "pool"]
    assert last.raw(2) == "1, 2"


def test_a_record_has_braces_of_its_own() -> None:
    definition, after = parse("f", "option rec code 201 = array of { boolean, text };\nhost h { }")
    assert not definition.is_block
    assert after.keyword == "host"


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [(r"a\"b", 'a"b'), (r"\x41\101\n", "AA\n"), (r"\\n", r"\n"), (r"\q", "q"), ("two\nlines", "two\nlines")],
)
def test_strings(escaped: str, plain: str) -> None:
    (item,) = parse("f", f'option x "{escaped}";')
    assert item.tokens[2].value == plain


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\nsubnet 1 {\n", "f line 2: this brace is never closed"),
        ("a;\n}", "f line 2: this brace closes nothing"),
        ("x { option y }", "f line 1: a semicolon is missing before this brace"),
        ("a;\noption x", "f line 2: this statement has no semicolon"),
        ('a;\n\noption x "', "f line 3: a string has no end"),
    ],
)
def test_faults_name_file_and_line(text: str, fault: str) -> None:
    with pytest.raises(TextFault, match=fault):
        parse("f", text)


def test_includes_are_followed_and_ours_are_not() -> None:
    texts = {"main": f'include "sub"; include "{OWN}";', "sub": "option x 1;", OWN: "option y 1;"}
    tree = Reader(texts.__getitem__, lambda path: path == OWN).read("main")
    assert [[child.keyword for child in item.children] for item in tree] == [["option"], []]
    assert list(dhcpd_text.own_includes(tree)) == [(OWN, None)]
    texts["sub"] = 'include "main";'
    with pytest.raises(TextFault, match="nested more than 20 deep"):
        Reader(texts.__getitem__, lambda path: path == OWN).read("main")


@pytest.mark.parametrize("text", ["", "a;\n", "a; # end", "a;", "a;\r\n", "\n\n", "# only"])
def test_a_line_at_the_end_comes_and_goes(text: str) -> None:
    edited = dhcpd_text.append_include(text, OWN)
    tree = Reader(lambda _path: edited, lambda path: path == OWN).read("main")
    assert [path for path, _container in dhcpd_text.own_includes(tree)] == [OWN]
    assert dhcpd_text.remove_include(edited, OWN) == text


@pytest.mark.parametrize(
    "text",
    [
        "subnet {\n    a;\n  }\n",
        "subnet {\n}",
        "subnet { a; }",
        "subnet {} # x",
        "subnet { a; # why\n\t}",
        "x; subnet {\r\n a;\r\n}\r\n",
        "subnet\n{}",
    ],
)
def test_a_line_in_a_block_comes_and_goes(text: str) -> None:
    block = next(item for item in parse("f", text) if item.is_block)
    edited = dhcpd_text.insert_include(text, block, OWN)
    after = next(item for item in parse("f", edited) if item.is_block)
    assert [child.included for child in after.children][-1] == OWN
    assert dhcpd_text.remove_include(edited, OWN) == text


@pytest.mark.parametrize(
    ("appended", "left"),
    [("b;\n", "a; # end\nb;\n"), ("\nb;\n", "a; # end\nb;\n"), ("", "a; # end")],
)
def test_what_is_appended_behind_our_line_does_not_become_a_comment(appended: str, left: str) -> None:
    edited = dhcpd_text.append_include("a; # end", OWN) + appended
    assert dhcpd_text.remove_include(edited, OWN) == left


def test_a_comment_before_our_line_does_not_swallow_the_brace() -> None:
    text = "subnet { a; }"
    edited = dhcpd_text.insert_include(text, parse("f", text)[0], OWN).replace("a; ", "a; # new")
    assert parse("f", dhcpd_text.remove_include(edited, OWN))[0].is_block


def test_a_line_of_ours_that_was_edited_is_taken_out_too() -> None:
    text = f'a; include "{OWN}"  ; # include "{OWN}"; is ours\noption x "include {OWN};";\n'
    left = dhcpd_text.remove_include(text, OWN)
    assert left == f'a;  # include "{OWN}"; is ours\noption x "include {OWN};";\n'


@pytest.mark.parametrize("statement", ['option x "a";', 'option x # why\n\t"a\\"b"\n;', 'option x "\xe4\xf6";'])
def test_a_statement_becomes_a_comment_and_comes_back(statement: str) -> None:
    text = f"a; {statement} b; # c"
    item = parse("f", text)[1]
    edited = dhcpd_text.disable_statement(text, item.start, item.end)
    assert [other.keyword for other in parse("f", edited)] == ["a", "b"]
    assert dhcpd_text.restore_statements(edited) == text


def test_paths_of_includes_are_renamed_and_nothing_else() -> None:
    text = 'x "/a"; include "/a"; subnet { include\n "/b"; } # include "/a";'
    renamed = dhcpd_text.rewrite_includes(text, parse("f", text), lambda path: path + ".copy")
    assert renamed == 'x "/a"; include "/a.copy"; subnet { include\n "/b.copy"; } # include "/a";'
