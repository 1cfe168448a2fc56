# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_options against a real dnsmasq, asserted from the packets a client gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .dnsmasq_site import CONFIG

if TYPE_CHECKING:
    from .dnsmasq_site import DnsmasqSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
VENDORS = ["snom", "yealink", "gigaset"]
PHONES = {
    "a snom by its vendor class": (("020000000001", "snomD785"), {66: URL}),
    "a snom by its MAC": (("1c7126000001", None), {66: URL}),
    "a Gigaset P": (("000413800001", "P820"), {66: URL}),
    "a Yealink": (("805ec0000001", "yealink"), {66: URL}),
    "a Yealink of another opinion": (("805ec0000001", "corporate"), {66: URL}),
    "an N670": (("7c2f80000001", "N670_IP_PRO"), {66: URL + "%MACD.xml", 114: URL + "%MACD.xml"}),
    "a Maxwell": (("589ec6000001", None), {66: URL + "%MACD.xml", 114: URL + "%MACD.xml"}),
    "somebody else": (("020000000001", "MSFT 5.0"), {66: URL}),
}
TOLD = (43, 66, 67, 114, 120, 132, 150, 159, 160)


def phone_options(site: DnsmasqSite, *client: Any) -> dict[int, str]:
    """What of an offer this is about, without the NUL that dnsmasq puts behind 66 and 67."""
    offered = site.offer(*client)
    assert offered, "an offer"
    return {code: without_nul(value) for code, value in offered.items() if code in TOLD}


def without_nul(value: str) -> str:
    """`http://…` of `0x…00`."""
    data = bytes.fromhex(value[2:]) if value.startswith("0x") else b""
    return data[:-1].decode() if data.endswith(b"\0") and data[:-1].isascii() and len(data) > 4 else value


def test_from_nothing_to_all_vendors_and_back(each_dnsmasq: DnsmasqSite) -> None:
    site = each_dnsmasq
    before, first = site.files(), site.pid
    assert phone_options(site) == {}

    checked = site.module(check=True, url=URL, vendors=VENDORS)
    assert (checked.code, checked.result["changed"]) == (0, True), checked
    assert (site.files(), site.restarts(), site.pid) == (before, 0, first)

    done = site.module(url=URL, vendors=VENDORS)
    assert (done.code, done.result["changed"], done.result["reloaded"]) == (0, True, True), done
    assert done.result["diff"] == checked.result["diff"], "check mode told the truth"
    assert [case["client"] for case in done.result["probe"]["clients"]] == [
        "global",
        "vendor class yealink",
        "vendor class snom",
        "vendor class gigaset",
    ]
    assert (done.result["hidden"], done.result["conflicts"]) == ([], [])
    assert site.restarts() == 1
    assert site.pid != first
    assert {name: data for name, data in site.files().items() if "autoprov" not in name} == before
    for name, (client, expected) in PHONES.items():
        for asked in ([1, 3], [66, 114], None):
            assert phone_options(site, *client, asked) == expected, name

    again = site.module(url=URL, vendors=VENDORS)
    assert (again.code, again.result["changed"], again.result["reloaded"]) == (0, False, False), again
    assert again.result["diff"] == []
    assert site.restarts() == 1, "nothing changed, nothing restarted"

    gone = site.module(state="absent")
    assert (gone.code, gone.result["changed"]) == (0, True), gone
    assert site.files() == before, "byte for byte"
    assert phone_options(site) == {}
    assert site.module(state="absent").result["changed"] is False
    assert site.restarts() == 2


def test_every_scope_reaches_the_wire(each_dnsmasq: DnsmasqSite) -> None:
    site = each_dnsmasq
    values: dict[str, dict[str, Any]] = {
        "mac": {"mac": "80-5E-C0-00-00-09", "code": 66, "value": "http://lab.example.com/a,b'c\"d\\e#f"},
        "class": {"vendor_class": "snomM", "name": "boot-file-name", "value": "m.xml"},
        "longer class": {"vendor_class": "snomM9", "name": "boot-file-name", "value": "m9.xml"},
        "one letter": {"vendor_class": "Q", "name": "boot-file-name", "value": "q.xml"},
        "oui": {"oui": "80:5e:c0", "code": 67, "value": "oui.xml"},
        "subnet": {"subnet": "198.18.0.0/24", "code": 160, "value": "http://s/"},
        "global, hidden by the subnet's": {"code": 160, "value": "http://g/"},
        "global": {"code": 132, "value": "20"},
        "addresses": {"code": 150, "value": "198.18.0.1, 198.18.0.2"},
        "sip": {"code": 120, "value": "198.18.0.1"},
        "hex": {"code": 43, "value": "0103616263", "encoding": "hex"},
        "port": {"code": 159, "value": "http://159/"},
        "number": {"code": 240, "value": "5", "encoding": "uint8"},
        "wide": {"code": 241, "value": "5", "encoding": "uint32"},
    }
    done = site.module(url=URL, vendors=["yealink"], options=list(values.values()))
    assert done.code == 0, done
    assert done.result["hidden"] == []
    common = {132: "20", 160: "http://s/", 150: "0xc6120001c6120002", 120: "0x01c6120001", 43: "0x0103616263"}
    common[159] = "http://159/"
    oui = {67: "oui.xml"}
    assert phone_options(site, "805ec0000009", "yealink") == {66: values["mac"]["value"], **oui, **common}
    assert phone_options(site, "805ec0000008", "yealink") == {66: URL, **oui, **common}
    assert phone_options(site, "020000000001", "snomM300") == {66: URL, 67: "m.xml", **common}
    assert phone_options(site, "020000000001", "snomM900") == {66: URL, 67: "m9.xml", **common}
    assert phone_options(site, "805ec0000008", "snomM900") == {66: URL, 67: "m9.xml", **common}, "a prefix beats an OUI"
    assert phone_options(site, "020000000001", "Quux") == {66: URL, 67: "q.xml", **common}
    assert phone_options(site, "020000000001", "a snomM9") == {66: URL, **common}, "not anywhere in option 60"
    offered = site.offer()
    assert (offered[240], offered[241]) == ("0x05", "0x00000005")
    assert site.module(url=URL).code == 0
    assert phone_options(site, "805ec0000009", "yealink") == {66: URL}, "what is no longer listed is gone"


TWO_SUBNETS = """port=0
bind-dynamic
no-ping
%s
"""
VALUES = {
    "first": {"subnet": "198.18.0.0/24", "code": 66, "value": "http://zero/"},
    "second": {"subnet": "198.18.1.0/24", "code": 66, "value": "http://one/"},
}


@pytest.mark.parametrize(
    "ranges",
    [
        ["dhcp-range=198.18.0.50,198.18.0.99", "dhcp-range=198.18.1.50,198.18.1.99,255.255.255.0,1h"],
        ["dhcp-range=set:zero,198.18.0.50,198.18.0.99", "dhcp-range=set:one,198.18.1.50,198.18.1.99"],
        ["dhcp-range=old,198.18.0.50,198.18.0.99", "dhcp-range=198.18.1.50,198.18.1.99"],
        [
            *("dhcp-range=set:a,198.18.0.50,198.18.0.50", "dhcp-range=set:b,198.18.0.51,198.18.0.99"),
            "dhcp-range=198.18.1.50,198.18.1.99",
        ],
    ],
    ids=["no tags, two interfaces", "tags", "one has an old tag", "two ranges in one"],
)
def test_each_subnet_gets_its_own(dnsmasq_site: DnsmasqSite, ranges: list[str]) -> None:
    site = dnsmasq_site
    site.connect(1)
    site.restarted(TWO_SUBNETS % "\n".join(ranges))
    for names, common in ((("first",), {}), (("second",), {}), (("first", "second"), {}), (("first",), {66: URL})):
        entries = [VALUES[name] for name in names] + [{"code": 66, "value": value} for value in common.values()]
        done = site.module(options=[*entries, {"vendor": "snom", "code": 66, "value": "http://snom/"}])
        assert (done.code, done.result["hidden"]) == (0, []), done
        assert len(done.result["probe"]["clients"]) == 4, "two clients on two interfaces"
        for interface, name in (("cli0", "first"), ("cli1", "second")):
            expected = {66: VALUES[name]["value"]} if name in names else common
            assert phone_options(site, "020000000002", None, None, interface) == expected
            assert phone_options(site, "020000000002", "snomD785", None, interface) == {66: "http://snom/"}


def test_a_subnet_that_dnsmasq_cannot_tell(dnsmasq_site: DnsmasqSite) -> None:
    """Behind relay agents, ranges are told by tags alone; what to add is said, and once added it works."""
    site = dnsmasq_site
    site.restarted(CONFIG + "dhcp-range=198.18.9.50,198.18.9.99,255.255.255.0\n")
    before = site.files()
    refused = site.module(options=[VALUES["first"]])
    assert refused.code == 1
    assert (
        f"the dhcp-range at {site.config}:7 sets no tag of its own; add one there (dhcp-range=set:NAME,198.18.0.50"
        in (refused.message)
    )
    assert (site.files(), site.restarts()) == (before, 0)
    site.restarted(site.config.read_text().replace("range=198.18.0", "range=set:here,198.18.0"))
    assert site.module(options=[VALUES["first"]]).code == 0
    assert phone_options(site) == {66: "http://zero/"}


def test_a_shared_network(dnsmasq_site: DnsmasqSite) -> None:
    """Two subnets on one cable, a third elsewhere."""
    site = dnsmasq_site
    site.connect(1)
    ranges = ["dhcp-range=set:a,198.18.0.50,198.18.0.99", "dhcp-range=set:b,198.18.2.50,198.18.2.99,255.255.255.0"]
    ranges += ["dhcp-range=set:c,198.18.1.50,198.18.1.99", "shared-network=srv0,198.18.2.1"]
    site.restarted(TWO_SUBNETS % "\n".join(ranges))
    entry = {"shared_network": "srv0", "code": 132, "value": "20"}
    inner = {"subnet": "198.18.0.0/24", "code": 132, "value": "30"}
    assert site.module(options=[entry]).code == 0
    assert phone_options(site) == {132: "20"}
    assert phone_options(site, "020000000001", None, None, "cli1") == {}
    assert site.module(options=[entry, inner]).code == 0
    offered = site.offer()
    assert offered[132] == ("30" if offered[28] == "0xc61200ff" else "20")
    text = site.own.read_text()
    assert 'tag:a,132,"30"' in text
    assert 'tag:b,132,"20"' in text
    refused = site.module(options=[{**entry, "shared_network": "voice"}])
    assert "in dnsmasq its name is what shared-network= says first, there: srv0" in refused.message


def test_the_administrators_edits_in_between_are_kept(dnsmasq_site: DnsmasqSite) -> None:
    site = dnsmasq_site
    assert site.module(url=URL, vendors=VENDORS).code == 0
    edited = site.config.read_text().replace("# our clock", "# our clock\ndhcp-option=15,x.example")
    site.restarted(edited)
    done = site.module(url=URL + "new/", vendors=VENDORS)
    assert (done.code, done.result["hidden"]) == (0, []), done
    assert site.config.read_text() == edited
    offered = site.offer("020000000001", "snomD785", [15])
    assert (without_nul(offered[66]), offered[15]) == (URL + "new/", "x.example")


def test_edits_that_nobody_has_loaded(dnsmasq_site: DnsmasqSite) -> None:
    """Our restart would load them: what the checker can judge is told, what it cannot is refused."""
    site = dnsmasq_site
    extra = site.drop_ins / "extra"
    extra.write_text("dhcp-option=15,x.example\n")
    assert "what was changed" in str(site.module(check=True, url=URL).result["warnings"])
    assert site.module(url=URL, on_pending="fail").code == 1
    with site.config.open("a") as stream:
        stream.write("listen-address=192.0.2.1\n")  # no such address here: dnsmasq would not start
    before = site.files()
    refused = site.module(url=URL)
    assert refused.code == 1
    assert f"cannot tell whether what is there works (port at {site.config}:2" in refused.message
    assert (site.files(), site.restarts()) == (before, 0)
    assert site.offer(), "the server serves on"
    site.write()
    site.restarted()
    assert site.module(url=URL).result.get("warnings", []) == []


def test_a_collision(dnsmasq_site: DnsmasqSite) -> None:
    site = dnsmasq_site
    site.restarted(CONFIG + "dhcp-option=66,boot.example.com # Jo's\ndhcp-vendorclass=set:s,snom\n")
    (site.drop_ins / "snom").write_text('dhcp-option=tag:s,66,"snom.example.com"')
    site.restarted()
    before = site.files()

    refused = site.module(url=URL, vendors=["snom"])
    assert refused.code == 1
    assert f"has set boot.example.com in {site.config}:10, wanted is {URL}" in refused.message
    assert f"has set snom.example.com in {site.drop_ins}/snom:1, wanted is {URL}" in refused.message
    assert refused.result["conflicts"][0]["existing"] == "boot.example.com"
    assert (site.files(), site.restarts()) == (before, 0)

    kept = site.module(url=URL, vendors=["snom", "yealink"], on_conflict="keep")
    assert kept.code == 0, kept
    assert kept.result["conflicts"][0]["wanted"] == URL
    assert phone_options(site, "020000000001", None, [66]) == {66: "boot.example.com"}
    assert phone_options(site, "020000000001", "snomD785", [66]) == {66: "snom.example.com"}
    assert phone_options(site, "020000000001", "yealink") == {66: URL}

    replaced = site.module(url=URL, vendors=["snom"], on_conflict="replace")
    assert replaced.code == 0, replaced
    assert "+#autoprov-replaced# dhcp-option=66" in str(replaced.result["diff"])
    assert "our clock" not in str(replaced.result["diff"])
    assert Path(replaced.result["backup_file"]).name.startswith("."), "dnsmasq would read it otherwise"
    assert phone_options(site, "020000000001", None, [66]) == {66: URL}
    assert phone_options(site, "020000000001", "snomD785") == {66: URL}
    assert site.module(url=URL, vendors=["snom"], on_conflict="replace").result["changed"] is False

    assert site.module(state="absent").code == 0
    assert {name: data for name, data in site.files().items() if "backup" not in name} == before
    assert phone_options(site, "020000000001", None, [66]) == {66: "boot.example.com"}


def test_a_boot_server_would_be_read_together_with_ours(dnsmasq_site: DnsmasqSite) -> None:
    """dnsmasq sends the server name of dhcp-boot and our option 66, one behind the other, as one option."""
    site = dnsmasq_site
    site.restarted(CONFIG + "dhcp-boot=pxe.bin,bootserver\n")
    refused = site.module(url=URL, vendors=["snom"])
    assert f"has set bootserver (by dhcp-boot) in {site.config}:10" in refused.message
    not_replaced = site.module(url=URL, vendors=["snom"], on_conflict="replace")
    assert "a dhcp-boot is more than its option 66" in not_replaced.message
    told = site.module(url=URL, vendors=["snom"], global_fallback=False)
    assert told.code == 0, told
    assert [item["by"] for item in told.result["hidden"]] == [[f"dhcp-boot at {site.config}:10 (bootserver)"]]
    assert site.offer("020000000001", "snomD785", [66])[66] == "0x" + (b"bootserver\0" + URL.encode() + b"\0").hex()


def test_no_folder(dnsmasq_site: DnsmasqSite) -> None:
    """One line at the end of the configuration brings our file in, and goes with it, byte for byte."""
    site = dnsmasq_site
    site.arguments = site.arguments[:1]
    site.restarted(CONFIG + "# without an end")
    before = site.files()
    done = site.module(url=URL, vendors=["snom"])
    assert done.code == 0, done
    assert site.config.read_text().startswith(CONFIG + "# without an end\nconf-file=")
    assert phone_options(site, "020000000001", "snomD785") == {66: URL}
    assert site.module(url=URL, vendors=["snom"]).result["changed"] is False
    assert site.module(state="absent").code == 0
    assert site.files() == before


def test_modes_and_owners(dnsmasq_site: DnsmasqSite) -> None:
    site = dnsmasq_site
    os.chown(site.config, 65534, 65534)
    site.config.chmod(0o640)
    site.restarted()
    assert site.module(url=URL).code == 0
    status = site.own.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (65534, 65534, 0o640)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": URL, "config_file": "/nowhere/dnsmasq.conf"}, "/nowhere/dnsmasq.conf does not exist; name the right"),
        ({"options": [{"code": 66, "value": "x", "subnet": "192.0.2.0/24"}]}, "no dhcp-range; there: 198.18.0.0/24"),
        (
            {"options": [{"code": 66, "value": "x" * 255}]},
            "dnsmasq puts a NUL byte behind it, so 254 bytes is the most",
        ),
        (
            {"options": [{"code": 150, "value": "010203", "encoding": "hex"}]},
            "dnsmasq takes only IPv4 addresses for it",
        ),
        ({"options": [{"code": 119, "value": "example.com"}]}, "dnsmasq encodes it itself, from domain names"),
        ({"url": URL, "on_hidden": "override"}, "nothing by which a setting wins over a more specific one"),
        ({"url": URL, "restart_command": []}, "neither systemd nor runit; say with restart_command how"),
        ({"url": URL, "probe": "required", "probe_interface": "nope0"}, "interface nope0: No such device; nothing was"),
    ],
)
def test_clear_errors(dnsmasq_site: DnsmasqSite, arguments: dict[str, Any], told: str) -> None:
    before = dnsmasq_site.files()
    refused = dnsmasq_site.module(**arguments)
    assert refused.code == 1
    assert told in refused.message
    assert (dnsmasq_site.files(), dnsmasq_site.restarts()) == (before, 0)
