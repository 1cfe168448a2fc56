# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kea's configuration as text: read with comments and includes, edited and put back byte for byte."""

from __future__ import annotations

import json
import random

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import edit
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import text as kea_text

MAIN = "/etc/kea/kea-dhcp4.conf"
OWN = "/etc/kea/autoprov-kea-dhcp4-options.json"


def read(text: str, **others: str) -> tuple[kea_text.Node, dict[str, str]]:
    """The Dhcp4 object, and every text read."""
    texts = {MAIN: text, **{f"/etc/kea/{name}.json": content for name, content in others.items()}}
    reader = kea_text.Reader(texts.__getitem__, lambda path: path == OWN)
    dhcp4 = reader.read(MAIN).get("Dhcp4")
    assert dhcp4 is not None
    return dhcp4, reader.texts


def insert(text: str) -> str:
    """What the engine does for the global options."""
    dhcp4, _texts = read(text)
    array = dhcp4.get("option-data")
    if array is None:
        return edit.insert(text, [edit.insertion_of_array(text, dhcp4, "option-data", OWN)])
    return edit.insert(text, [edit.insertion_into_array(text, array, OWN)])


ODD = {
    "one line": '{"Dhcp4":{"option-data":[{"code":42,"data":"198.18.0.1"}],"subnet4":[]}}',
    "empty array": '{ "Dhcp4": { "option-data": [] } }',
    "no array": '{ "Dhcp4": {\n    "subnet4": []\n} }\n',
    "empty object": '{ "Dhcp4": {} }',
    "comment after the brace": '{ "Dhcp4": { // the server\n  "subnet4": [] } }',
    "block comment after the brace": '{ "Dhcp4": { /* a */\n  "subnet4": [] } }',
    "two block comments in a line": '{ "Dhcp4": { /* a */ "subnet4": [ 1 ], /* b */\n "x": 2 } }',
    "comment last in the array": '{ "Dhcp4": { "option-data": [ { "code": 42 } // "]" is not the end\n ] } }',
    "hash comment": '# top\n{ "Dhcp4": { # here\n "option-data": [ # there\n { "code": 42 }\n# end\n] } }',
    "block comment last": '{ "Dhcp4": { "option-data": [\n\t{ "code": 42 } /* ] */\n\t] } }',
    "comment only": '{ "Dhcp4": { "option-data": [ // nothing yet\n ] } }',
    "Windows line ends": '{ "Dhcp4": {\r\n  "option-data": [\r\n    { "code": 42 }\r\n  ]\r\n} }\r\n',
    "trailing comma": '{ "Dhcp4": { "option-data": [ { "code": 42 }, ], } }',
    "brackets in strings": '{ "Dhcp4": { "option-data": [ { "code": 15, "data": "a]}//#/*\\"" } ] } }',
    "not UTF-8": b'{ "Dhcp4": { // caf\xe9\n "option-data": [ ] } }'.decode("utf-8", "surrogateescape"),
    "a comment names our file": f'{{ "Dhcp4": {{ // <?include "{OWN}"?>\n "option-data": [ {{ "code": 42 }} ] }} }}',
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_what_is_put_in_is_taken_out_byte_for_byte(text: str) -> None:
    changed = insert(text)
    assert changed != text
    assert changed.count(OWN) == text.count(OWN) + 1
    assert edit.remove_include(changed, OWN) == text


def test_the_line_is_indented_like_its_neighbours() -> None:
    inside = '{ "Dhcp4": {\n   "option-data": [\n      { "code": 42 }\n   ]\n} }'
    assert f'\n      <?include "{OWN}"?>\n   ]' in insert(inside)
    empty = '{ "Dhcp4": {\n   "option-data": [\n   ]\n} }'
    assert f'\n       <?include "{OWN}"?>\n   ]' in insert(empty)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_the_line_stands_in_the_array_and_knows_its_neighbours(text: str) -> None:
    before, _texts = read(text)
    after, _texts = read(insert(text))
    array = after.get("option-data")
    assert array is not None
    assert [item.path for item in array.includes] == [OWN]
    had_value = bool(before.items("option-data")) and text != ODD["trailing comma"]
    assert array.includes[0].after_value == had_value
    assert not array.includes[0].before_value
    value = after.value()
    assert value == {**before.value(), "option-data": value["option-data"]}
    assert value["option-data"] == before.value().get("option-data", [])


@pytest.mark.parametrize(
    ("body", "after_value", "before_value"),
    [
        ("{0}", False, False),
        ("{1}, {0}", False, False),
        ("{1} {0}", True, False),
        ("{0} {1}", False, True),
        ("{0}, {1}", False, False),
        ("{1} {0} {2}", True, True),
        ("{1} /* , */ {0} // ,\n, {2}", True, False),
    ],
)
def test_neighbours_decide_about_commas(body: str, after_value: bool, before_value: bool) -> None:
    for number in (1, 2):
        body = body.replace(f"{{{number}}}", f"<{number}>")
    body = body.replace("{0}", f'<?include "{OWN}"?>').replace("<1>", '{"code": 1}').replace("<2>", '{"code": 2}')
    array = read(f'{{ "Dhcp4": {{ "option-data": [ {body} ] }} }}')[0].get("option-data")
    assert array is not None
    assert (array.includes[0].after_value, array.includes[0].before_value) == (after_value, before_value)


def test_includes_of_others_are_followed_and_values_know_their_file() -> None:
    main = '{ "Dhcp4": { "option-data": [ {"code": 1}, <?include "/etc/kea/more.json"?> ] } }'
    dhcp4, texts = read(main, more='// half an array\n{"code": 2},\n{"code": 3}')
    entries = dhcp4.items("option-data")
    assert [entry.value() for entry in entries] == [{"code": 1}, {"code": 2}, {"code": 3}]
    assert [entry.source for entry in entries] == [MAIN, "/etc/kea/more.json", "/etc/kea/more.json"]
    assert kea_text.line_of(texts[entries[2].source], entries[2].start) == 3


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{ "Dhcp4": {\n "a": ', "line 2: a value is missing"),
        ('{ "Dhcp4": {\n "a" 1 } }', "line 2: : is missing"),
        ('{ "Dhcp4": { } }\n }', "line 2: something stands behind"),
        ('{ "Dhcp4": { "a": @ } }', "line 1: not JSON"),
        ('{ "Dhcp4": { "a": [ 1 } }', "line 1: "),
        (f'{{ "Dhcp4": <?include "{MAIN}"?> }}', "nested more than"),
    ],
)
def test_what_kea_could_not_read_is_named_with_its_line(text: str, where: str) -> None:
    with pytest.raises(kea_text.TextFault, match=where):
        read(text)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("gap", [" ", "\n  ", " // c\n  "])
def test_a_disabled_entry_is_gone_and_comes_back(index: int, gap: str) -> None:
    entries = [f'{{ "code": {number},{gap}"data": "x" }}' for number in (1, 2, 3)]
    text = '{ "Dhcp4": { "option-data": [ ' + f"{gap},{gap}".join(entries) + gap + "] } }"
    array = read(text)[0].get("option-data")
    assert array is not None
    changed = edit.disable_element(text, array, index)
    codes = [entry["code"] for entry in read(changed)[0].value()["option-data"]]
    assert codes == [number for number in (1, 2, 3) if number != index + 1]
    # What is left must be JSON again without any repair, for Kea 2.2 allows no comma too many.
    json.loads(kea_text.TOKEN.sub(lambda match: "" if match.group("comment") else match.group(), changed))
    assert edit.restore_elements(changed) == text


def test_an_entry_with_a_block_comment_is_not_disabled() -> None:
    text = '{ "Dhcp4": { "option-data": [ { "code": 66 /* old */ } ] } }'
    array = read(text)[0].get("option-data")
    assert array is not None
    with pytest.raises(kea_text.TextFault, match="line 1: the entry holds a comment"):
        edit.disable_element(text, array, 0)


def test_random_layouts_survive() -> None:
    """An administrator's file with comments and odd spacing anywhere: put in, read, taken out, 300 times."""
    chance = random.Random(66)
    gaps = ["", " ", "\n", "\t", "\r\n", " // ]},{[\n", ' # "\n', " /* [ { */ ", "\n\n    "]

    def gap() -> str:
        return "".join(chance.choice(gaps) for _ in range(chance.randrange(3)))

    for _ in range(300):
        entries = [f'{{{gap()}"code"{gap()}:{gap()}{n}{gap()}}}' for n in range(chance.randrange(4))]
        body = gap() + f"{gap()},{gap()}".join(entries) + gap()
        array = f'"option-data"{gap()}:{gap()}[{body}]{gap()},{gap()}' if chance.random() < 0.8 else ""
        text = f'{gap()}{{{gap()}"Dhcp4"{gap()}:{gap()}{{{gap()}{array}"x"{gap()}:{gap()}1{gap()}}}{gap()}}}{gap()}'
        changed = insert(text)
        assert read(changed)[0].value().get("option-data", []) == read(text)[0].value().get("option-data", [])
        assert edit.remove_include(changed, OWN) == text
