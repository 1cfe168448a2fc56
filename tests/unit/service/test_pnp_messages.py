# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones write when they ask by SIP PnP, what nobody may write, and what they are answered."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprovd.pnp.enquiry import Enquiry, accepted, enquiry_of, notification
from autoprovd.pnp.message import Malformed, branch_of, has_tag, parse, received
from tests.pnp_phones import PHONES

MAC = "00135e874b49"
SNOM = PHONES["snom desk"].datagram(MAC, "192.168.10.67")


def enquiry(name: str = "snom desk") -> Enquiry:
    found = enquiry_of(parse(PHONES[name].datagram(MAC, "192.168.10.67")))
    assert found is not None
    return found


@pytest.mark.parametrize("name", PHONES)
def test_every_phone_is_understood(name: str) -> None:
    assert enquiry(name).mac == MAC


def test_the_extension_in_from_is_not_taken_for_the_phone() -> None:
    text = PHONES["snom M700"].datagram(MAC, "10.0.0.90").replace(b"sip:512@", b"sip:MAC%3a0004136fffff@")
    found = enquiry_of(parse(text))
    assert found is not None
    assert found.mac == MAC


def test_what_a_phone_says_of_itself_is_kept_as_it_is() -> None:
    found = enquiry("snom M700")
    assert (found.vendor, found.model, found.version) == ("snom", "snomM700", "03.23.0005")
    assert found.user_agent.startswith("snomM700/03.23.0005 (MAC=00135E874B49")
    assert enquiry("snom desk")[1:5] == ("OEM", "OEM", "7.1.19", "")
    assert enquiry("fanvil").model == "VOIP PHONE"
    assert enquiry("gigaset N670")[1:4] == ("", "", "")


def test_what_people_are_shown_has_no_control_characters_and_an_end() -> None:
    shouting = PHONES["fanvil"]._replace(event='ua-profile;model="\x85\xff' + "A" * 900 + '"')
    found = enquiry_of(parse(shouting.datagram(MAC, "192.168.10.67")))
    assert found is not None
    assert found.model.startswith("????A")
    assert len(found.model) == 60


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"SUBSCRIBE", b"REGISTER"),
        (b"Event: ua-profile", b"Event: presence"),
        (b"Event: ua-profile", b"Event: ua-profile-2"),
        (b"Event: ", b"X-Event: "),
        (b"00135E874B49", b"00135E874B4"),
        (b"00135E874B49", b"00135E874B4900"),
        (b"00135E874B49", b"00135E874B4G"),
        (b"sip:MAC%3a", b"sip:"),
        (b"sip:MAC%3a", b"tel:MAC%3a"),
    ],
)
def test_what_is_no_question_for_a_profile_gets_no_answer(old: bytes, new: bytes) -> None:
    assert enquiry_of(parse(SNOM.replace(old, new))) is None


def test_request_uri_and_to_have_to_name_the_same_phone() -> None:
    two = SNOM.replace(b"To: <sip:MAC%3a00135E874B49", b"To: <sip:MAC%3a00135E874B4A")
    assert two != SNOM
    assert enquiry_of(parse(two)) is None


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"\r\n\r\n", b"\r\n", "no end"),
        (b"SIP/2.0\r\n", b"SIP/3.0\r\n", "neither"),
        (b"SUBSCRIBE sip", b"subscribe sip", "neither"),
        (b"SUBSCRIBE sip:MAC%3a00135E874B49@intern.snom.de", b"SUBSCRIBE", "neither"),
        (b"Via: ", b"Vla: ", "no via"),
        (b"Call-ID: ", b"Call: ", "no call-id"),
        (b"To: <sip:MAC%3a00135E874B49@intern.snom.de>", b"To: ", "no to"),
        (b"CSeq: 1 SUBSCRIBE", b"CSeq: one SUBSCRIBE", "CSeq"),
        (b"CSeq: 1 SUBSCRIBE", b"CSeq: 4294967296 SUBSCRIBE", "CSeq"),
        (b"CSeq: 1 SUBSCRIBE", b"CSeq: 1 NOTIFY", "another method"),
        (b"Expires: 0", b"From: <sip:a@b>", "from twice"),
        (b"Expires: 0", b"f: <sip:a@b>", "from twice"),
        (b"Expires: 0", b"no header", "no header"),
        (b"Expires: 0", b"Ex pires: 0", "no header"),
        (b"tag=658512961", b"tag=6585\r12961", "control"),
        (b"tag=658512961", b"tag=6585\x0012961", "control"),
        (b"Content-Length: 0", b"Content-Length: 1", "cut off"),
        (b"Content-Length: 0", b"Content-Length: -1", "Content-Length"),
        (b"Content-Length: 0", b"Content-Length: " + b"9" * 5000, "too long"),
        (b"Expires: 0", b"\r\n".join([b"X: 1"] * 80), "too many"),
        (b"Expires: 0", b"X" * 41 + b": 0", "no header"),
    ],
)
def test_what_is_malformed_is_refused(old: bytes, new: bytes, why: str) -> None:
    assert old in SNOM
    with pytest.raises(Malformed, match=why):
        parse(SNOM.replace(old, new, 1))


def test_compact_names_folded_lines_and_bare_newlines_are_understood() -> None:
    text = SNOM.replace(b"Via:", b"v :").replace(b"Call-ID:", b"i:").replace(b"Event:", b"o:")
    text = text.replace(b';profile-type="device"', b'\r\n ;profile-type="device"').replace(b"\r\n", b"\n")
    found = enquiry_of(parse(text))
    assert found is not None
    assert found.version == "7.1.19"
    assert found.request.value("call-id").startswith("1930770594")


def test_what_follows_the_body_is_cut_off() -> None:
    assert parse(SNOM + b"and more").body == b""
    assert parse(SNOM.replace(b"Length: 0", b"Length: 3") + b"and more").body == b"and"


@pytest.mark.parametrize(
    ("via", "answered"),
    [
        ("SIP/2.0/UDP 10.0.0.9:5060", "SIP/2.0/UDP 10.0.0.9:5060"),
        ("SIP/2.0/UDP 10.0.0.9:5060;rport", "SIP/2.0/UDP 10.0.0.9:5060;rport=5062;received=10.0.0.9"),
        ("SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKa", "SIP/2.0/UDP 10.0.0.8;branch=z9hG4bKa;received=10.0.0.9"),
        # Whatever it says about where it is from is not believed.
        ("SIP/2.0/UDP h;received=1.2.3.4;rport=9;x=y", "SIP/2.0/UDP h;x=y;rport=5062;received=10.0.0.9"),
        ("SIP/2.0/UDP h, SIP/2.0/UDP proxy;rport", "SIP/2.0/UDP h;received=10.0.0.9, SIP/2.0/UDP proxy;rport"),
    ],
)
def test_a_response_says_where_the_request_came_from(via: str, answered: str) -> None:
    assert received(via, "10.0.0.9", 5062) == answered


def test_tags_and_branches() -> None:
    assert has_tag("<sip:a@b>;x=1;TAG=5")
    assert not has_tag("<sip:a@b;tag=5>")
    assert not has_tag("<sip:a@b>;tagged=5")
    assert branch_of("SIP/2.0/UDP h;rport;Branch= z9hG4bK7 ;x") == "z9hG4bK7"
    assert branch_of("SIP/2.0/UDP h, SIP/2.0/UDP other;branch=z9hG4bK7") == ""


def test_the_response_copies_what_the_phone_will_know_it_by() -> None:
    answer = parse(accepted(enquiry(), "ours", ("192.168.10.67", 5060), "192.168.10.2:5060"))
    asked = enquiry().request
    assert answer.status == 200
    for name in ("from", "call-id", "cseq"):
        assert answer.value(name) == asked.value(name)
    assert answer.value("to") == f"{asked.value('to')};tag=ours"
    assert answer.value("via") == "SIP/2.0/UDP 192.168.10.67:5060;rport=5060;received=192.168.10.67"
    assert answer.value("expires") == "0"
    assert answer.value("contact") == "<sip:192.168.10.2:5060>"


def test_all_vias_are_copied_in_their_order() -> None:
    second = SNOM.replace(b"From:", b"Via: SIP/2.0/UDP other;rport\r\nFrom:", 1)
    found = enquiry_of(parse(second))
    assert found is not None
    answer = parse(accepted(found, "ours", ("192.168.10.67", 5060), "192.168.10.2:5060"))
    assert answer.headers["via"][1] == "SIP/2.0/UDP other;rport"
    assert len(answer.headers["via"]) == 2


def test_the_notification_turns_the_dialog_round_and_holds_the_address() -> None:
    url = "http://192.168.10.2:50080/"
    told = parse(notification(enquiry(), "ours", "z9hG4bKb", "192.168.10.67:5060", "192.168.10.2:40000", url))
    asked = enquiry().request
    assert (told.method, told.uri) == ("NOTIFY", "sip:192.168.10.67:5060")
    assert told.value("from") == f"{asked.value('to')};tag=ours"
    assert told.value("to") == asked.value("from")
    assert told.value("call-id") == asked.value("call-id")
    assert told.value("cseq") == "1 NOTIFY"
    assert told.value("event") == "ua-profile;effective-by=0"
    assert told.value("subscription-state") == "terminated;reason=timeout"
    assert told.value("content-type") == "application/url"
    assert told.body == url.encode()
    assert told.value("via") == "SIP/2.0/UDP 192.168.10.2:40000;branch=z9hG4bKb;rport"


@given(st.binary(max_size=1200))
def test_no_bytes_do_anything_but_fail(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        enquiry_of(parse(data))


@given(st.data())
def test_a_mutilated_question_breaks_no_line_of_its_answer(data: st.DataObject) -> None:
    text = bytearray(PHONES[data.draw(st.sampled_from(sorted(PHONES)))].datagram(MAC, "192.168.10.67"))
    for _change in range(data.draw(st.integers(1, 6))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = enquiry_of(parse(bytes(text)))
    except Malformed:
        return
    if found is not None:
        answer = accepted(found, "ours", ("192.168.10.67", 5060), "192.168.10.2:5060")
        names = [line.partition(b":")[0] for line in answer.split(b"\r\n")[1:-2]]
        count = len(found.request.headers["via"])
        told = [b"From", b"To", b"Call-ID", b"CSeq", b"Contact", b"Expires", b"Content-Length"]
        assert names == [b"Via"] * count + told
