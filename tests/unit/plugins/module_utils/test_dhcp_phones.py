# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each vendor's phones send, and what they take of an offer."""

from __future__ import annotations

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.packets import Offer
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.phones import phones, same_value, taken
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.vendors import VENDORS


def offered(options: dict[int, bytes], sname: bytes = b"", file: bytes = b"") -> Offer:
    return Offer("198.18.0.1", "198.18.0.50", "0.0.0.0", sname, file, options)


INSIDE = b"\x42\x0chttp://test\0\x43\x12snom/settings.php\0"  # as in Snom's own example, NUL bytes and all

INSIDE_SOURCE = "66 in option 43 and 67 in option 43"


@pytest.mark.parametrize(
    ("vendor", "offer", "url", "source"),
    [
        ("snom", offered({66: b"http://a/"}), "http://a/", "option 66"),
        ("snom", offered({66: b"http://a/\0"}), "http://a/", "option 66"),
        ("snom", offered({66: b"http://a", 67: b"x.htm"}), "http://a/x.htm", "option 66 and option 67"),
        ("snom", offered({66: b"http://a/", 67: b"http://b/x"}), "http://b/x", "option 67"),
        ("snom", offered({66: b"http://a/", 43: INSIDE}), "http://test/snom/settings.php", INSIDE_SOURCE),
        ("snom", offered({66: b"http://a/", 43: b"\x01\x02ab"}), "http://a/", "option 66"),
        ("snom", offered({66: b"http://a/", 114: b"http://b/", 160: b"http://c/"}), "http://a/", "option 66"),
        ("snom", offered({}, sname=b"http://a/"), "http://a/", "sname"),
        ("snom", offered({67: b"x.htm"}, sname=b"http://a/"), "http://a/x.htm", "sname and option 67"),
        ("yealink", offered({66: b"http://a/", 160: b"http://c/"}), "http://c/", "option 160"),
        ("yealink", offered({66: b"http://a/", 161: b"http://c/"}), "http://c/", "option 161"),
        ("yealink", offered({66: b"http://a/", 43: b"http://d/"}), "http://a/", "option 66"),
        ("yealink", offered({43: b"\x01\x09http://d/"}), "http://d/", "option 43"),
        ("yealink", offered({67: b"x"}), "", ""),
        ("gigaset", offered({66: b"http://a/", 114: b"http://b/"}), "http://b/", "option 114"),
        ("gigaset", offered({66: b"http://a/", 160: b"http://b/"}), "http://a/", "option 66"),
        (None, offered({66: b"http://a/", 114: b"http://b/"}), "http://a/", "option 66"),
        (None, offered({}, file=b"pxelinux.0"), "pxelinux.0", "file"),
        (None, offered({}), "", ""),
    ],
)  # fmt: skip
def test_what_is_taken(vendor: str | None, offer: Offer, url: str, source: str) -> None:
    found = taken(VENDORS[vendor] if vendor else None, offer)
    assert (found.url, found.source) == (url, source)


def test_one_phone_of_each_vendor() -> None:
    snom, yealink, gigaset = phones(["snom", "yealink", "gigaset"])
    assert (snom.client.mac, snom.client.vendor_class) == ("000413617001", "snomD785")
    assert 66 in (snom.client.request_list or ())
    assert (yealink.client.mac[:6], yealink.client.vendor_class) == ("001565", "yealink")
    assert (gigaset.client.vendor_class, gigaset.client.request_list) == (None, (1, 3, 6, 15, 42, 66, 114))
    (nobody,) = phones([])
    assert nobody.client.mac.startswith("02"), "locally administered"
    for vendor in VENDORS.values():  # as every server recognises it
        (phone,) = phones([vendor.name])
        assert phone.client.mac[:6] in vendor.ouis
        assert not phone.client.vendor_class or phone.client.vendor_class.startswith(vendor.option60_prefixes)


def test_what_is_given_goes_before_the_table() -> None:
    (phone,) = phones(["snom"], "snomM900", "00-04-13-00-00-01", ["routers", "66"])
    assert (phone.client.mac, phone.client.vendor_class, phone.client.request_list) == (
        "000413000001",
        "snomM900",
        (3, 66),
    )
    assert phones(["snom"], request_list=[])[0].client.request_list is None
    with pytest.raises(DhcpError) as caught:
        phones(["snom", "nokia"], mac="x", request_list=["x"])
    assert len(caught.value.faults) == 4


def test_only_66_and_67_may_end_in_a_nul_byte() -> None:
    assert same_value(66, b"http://a/\0", b"http://a/")
    assert not same_value(66, b"http://a/\0\0", b"http://a/")
    assert not same_value(160, b"http://a/\0", b"http://a/")
