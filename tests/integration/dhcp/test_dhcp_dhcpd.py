# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dhcp_options against a real ISC dhcpd, asserted from the packets a client gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .dhcpd_site import DhcpdSite

pytestmark = pytest.mark.root

URL = "http://198.18.0.1:50080/"
VENDORS = ["snom", "yealink", "gigaset"]
PHONES = {
    "a snom by its vendor class": (("020000000001", "snomD785"), {66: URL}),
    "a snom by its MAC": (("1c7126000001", None), {66: URL}),
    "a Gigaset P": (("000413800001", "P820"), {66: URL}),
    "a Yealink": (("805ec0000001", "yealink"), {66: URL}),
    "an N670": (("7c2f80000001", "N670_IP_PRO"), {66: URL + "%MACD.xml", 114: URL + "%MACD.xml"}),
    "a Maxwell": (("589ec6000001", None), {66: URL + "%MACD.xml", 114: URL + "%MACD.xml"}),
    "somebody else": (("020000000001", "MSFT 5.0"), {66: URL}),
}


def phone_options(site: DhcpdSite, *client: Any, codes: tuple[int, ...] = ()) -> dict[int, str]:
    """What of an offer this is about."""
    return {code: value for code, value in site.offer(*client).items() if code in (66, 67, 114, 132, 160, *codes)}


def configure(site: DhcpdSite, *edits: tuple[str, str]) -> bytes:
    """The administrator changes the configuration and restarts."""
    text = site.config.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    content = site.write(text)
    site.restart()
    return content


def test_from_nothing_to_all_vendors_and_back(dhcpd_site: DhcpdSite) -> None:
    site = dhcpd_site
    before, first = site.files(), site.pid
    assert phone_options(site) == {}

    checked = site.module(check=True, url=URL, vendors=VENDORS)
    assert (checked.code, checked.result["changed"]) == (0, True), checked
    assert (site.files(), site.pid) == (before, first)

    done = site.module(url=URL, vendors=VENDORS)
    assert (done.code, done.result["changed"], done.result["reloaded"]) == (0, True, True), done
    assert done.result["server"] == "dhcpd"
    assert done.result["version"].startswith("4.4")
    assert done.result["diff"] == checked.result["diff"], "check mode told the truth"
    clients = [case["client"] for case in done.result["probe"]["clients"]]
    assert clients == ["global", *(f"vendor class {name}" for name in sorted(VENDORS))]
    assert site.pid not in (0, first)
    assert Path(done.result["backup_file"]).read_bytes() == before["dhcpd.conf"]
    assert sorted(site.files()) == ["dhcpd.autoprov.conf", "dhcpd.conf"]
    for name, (client, expected) in PHONES.items():
        assert phone_options(site, *client) == expected, name

    second = site.pid
    again = site.module(url=URL, vendors=VENDORS)
    assert (again.code, again.result["changed"], again.result["reloaded"]) == (0, False, False), again
    assert again.result["diff"] == []
    assert site.pid == second, "nothing changed, nothing restarted"

    gone = site.module(state="absent")
    assert (gone.code, gone.result["changed"]) == (0, True), gone
    assert site.files() == before, "byte for byte"
    assert phone_options(site) == {}
    assert site.module(state="absent").result["changed"] is False


def test_every_scope_and_code_reaches_the_wire(dhcpd_site: DhcpdSite) -> None:
    values: list[dict[str, Any]] = [
        {"mac": "80-5E-C0-00-00-09", "code": 66, "value": "http://lab.example.com/a,b'c\"d\\e"},
        {"vendor_class": "snomM", "name": "boot-file-name", "value": "m.xml"},
        {"oui": "0004F2", "code": 160, "value": "http://polycom/"},
        {"subnet": "198.18.0.0/24", "code": 160, "value": "http://s/"},
        {"code": 132, "value": "20"},
        {"code": 159, "value": "http://o159/"},
        {"name": "sip-servers", "value": "198.18.0.1"},
        {"code": 150, "value": "198.18.0.1, 198.18.0.2"},
        {"code": 43, "value": "0102ab00", "encoding": "hex"},
        {"code": 161, "value": "6800", "encoding": "hex"},
    ]
    before = dhcpd_site.files()
    done = dhcpd_site.module(url=URL, vendors=["yealink"], options=values, on_conflict="replace")
    assert done.code == 0, done
    common = {132: "20", 159: "http://o159/", 120: "0x01c6120001", 150: "0xc6120001c6120002", 43: "0x0102ab00"}
    common |= {160: "http://s/", 161: "0x6800"}
    for request_list in ([1, 3], None, [66, 160]):
        offers = {
            name: phone_options(dhcpd_site, mac, vendor, request_list, codes=tuple(common))
            for name, mac, vendor in [
                ("phone", "805ec0000009", "yealink"),
                ("vendor", "805ec0000008", "yealink"),
                ("prefix", "000413000001", "snomM900"),
                ("OUI", "0004f2000001", None),
            ]
        }
        assert offers == {
            "phone": {**common, 66: values[0]["value"]},
            "vendor": {**common, 66: URL},
            "prefix": {**common, 66: URL, 67: "m.xml"},
            "OUI": {**common, 66: URL, 160: "http://polycom/"},
        }, request_list
    assert dhcpd_site.module(url=URL).code == 0
    assert phone_options(dhcpd_site, "805ec0000009", "yealink") == {66: URL}, "what is no longer listed is gone"
    assert dhcpd_site.module(state="absent").code == 0
    assert dhcpd_site.files() == before


def test_shared_network_and_subnets_in_an_included_file(dhcpd_site: DhcpdSite) -> None:
    site = dhcpd_site
    subnets = site.etc / "subnets.conf"
    text = site.config.read_text()
    start = text.index("subnet 198.18.0.0")
    subnets.write_text('shared-network "voice (1)" {\n' + text[start:].replace("# for now", "") + "}")
    configure(site, (text[start:], f'include "{subnets}";\n'))
    before = site.files()
    network = {"shared_network": "voice (1)", "code": 132, "value": "20"}
    subnet = {"subnet": "198.18.0.0/24", "code": 160, "value": "http://s/"}
    done = site.module(options=[network, subnet])
    assert done.code == 0, done
    assert phone_options(site) == {132: "20", 160: "http://s/"}
    assert phone_options(site, "020000000001", None, [1]) == {132: "20", 160: "http://s/"}
    assert site.files()["dhcpd.conf"] == before["dhcpd.conf"], "the lines are where the blocks are"
    assert site.module(options=[subnet]).code == 0
    assert phone_options(site) == {160: "http://s/"}
    assert site.module(state="absent").code == 0
    assert site.files() == before


def test_their_list_of_options_does_not_keep_ours_away(dhcpd_site: DhcpdSite) -> None:
    """The administrator sets dhcp-parameter-request-list at every level: ours are sent all the same."""
    limit = "option dhcp-parameter-request-list 1, 15;"
    configure(
        dhcpd_site,
        ("default-lease-time", f"{limit} default-lease-time"),
        ("range 198.18.0.50 198.18.0.250;", f"{limit} pool {{ range 198.18.0.50 198.18.0.250; {limit} }}"),
        ('option opt132 "30";', f"{limit}"),
    )
    options = [{"subnet": "198.18.0.0/24", "code": 160, "value": "http://s/"}]
    options += [{"vendor_class": "prn-phone", "code": 114, "value": "http://v/"}]
    assert dhcpd_site.module(url=URL, vendors=["snom"], options=options).code == 0
    for asked in (None, [1], [66, 3]):
        assert phone_options(dhcpd_site, "000413000001", "snom", asked) == {66: URL, 160: "http://s/"}
        printer = {66: URL, 114: "http://v/", 160: "http://s/"}
        assert phone_options(dhcpd_site, "020000000001", "prn-phone", asked) == printer
        assert 15 in dhcpd_site.offer("020000000001", None, asked), "theirs is sent as before"


def test_a_host_that_limits_what_is_sent_is_told(dhcpd_site: DhcpdSite) -> None:
    host = "host h { hardware ethernet 0:4:13:0:0:9; option dhcp-parameter-request-list 1, 3; }\nsubnet"
    configure(dhcpd_site, ("subnet", host))
    done = dhcpd_site.module(url=URL, vendors=["snom", "yealink"])
    assert done.code == 0, done
    told = {item["scope"]: item["by"] for item in done.result["hidden"] if item["code"] == 66}
    assert told["vendor class snom"] == ["host h (dhcp-parameter-request-list)"]
    assert phone_options(dhcpd_site, "000413000009", "snom") == {}, "and it is true"


def test_conflicts_fail_keep_and_replace(dhcpd_site: DhcpdSite) -> None:
    site = dhcpd_site
    theirs = 'option opt66 code 66 = text; /**/option\topt66 # why?\n  "tftp.example.com"\n;option domain-name "x";'
    theirs = theirs.replace("/**/", "")
    configure(site, ("default-lease-time", theirs + " default-lease-time"))
    before, pid = site.files(), site.pid
    failed = site.module(url=URL, vendors=["snom"])
    assert failed.code == 1
    where = f"{site.config}:2"
    assert f"the administrator has set tftp.example.com in {where}, wanted is {URL}" in failed.message
    conflict = {"scope": "global", "code": 66, "existing": "tftp.example.com", "wanted": URL, "where": where}
    assert failed.result["conflicts"] == [conflict]
    assert (site.files(), site.pid) == (before, pid)

    kept = site.module(url=URL, vendors=["snom"], on_conflict="keep")
    assert (kept.code, kept.result["conflicts"]) == (0, [conflict]), kept
    assert phone_options(site, "000413000001", "snom") == {66: URL}
    assert phone_options(site) == {66: "tftp.example.com"}

    replaced = site.module(url=URL, vendors=["snom"], on_conflict="replace")
    assert replaced.code == 0, replaced
    assert phone_options(site) == {66: URL}
    assert site.module(url=URL, vendors=["snom"], on_conflict="replace").result["changed"] is False
    assert site.module(state="absent").code == 0
    assert site.files() == before, "byte for byte"
    assert phone_options(site) == {66: "tftp.example.com"}


def test_a_conflict_in_a_condition_and_in_a_subnet(dhcpd_site: DhcpdSite) -> None:
    condition = 'if option vendor-class-identifier = "snom" { option tftp-server-name "if"; } else { }\nsubnet'
    configure(
        dhcpd_site,
        ("subnet", condition),
        ("range 198", 'option vendor-encapsulated-options 1:2;\noption opt132 "7";range 198'),
    )
    before = dhcpd_site.files()
    options = [{"subnet": "198.18.0.0/24", "code": 132, "value": "20"}]
    options += [{"subnet": "198.18.0.0/24", "code": 43, "value": "0102", "encoding": "hex"}]
    failed = dhcpd_site.module(url=URL, options=options)
    assert failed.code == 1
    existing = [(item["existing"], item["scope"]) for item in failed.result["conflicts"]]
    expected = [('if (if option vendor-class-identifier = "snom")', "global"), ("7", "subnet 198.18.0.0/24")]
    assert existing == expected, "what is equal is no conflict"
    assert dhcpd_site.module(url=URL, options=options, on_conflict="replace").code == 0
    assert phone_options(dhcpd_site, "020000000001", "snom", codes=(43,)) == {66: URL, 132: "20", 43: "0x0102"}
    assert dhcpd_site.module(state="absent").code == 0
    assert dhcpd_site.files() == before


def test_option_43_and_a_vendor_option_space(dhcpd_site: DhcpdSite) -> None:
    """An option 43 of ours would win over their option space wherever both apply: a conflict, whatever the level."""
    space = (
        'option space PR; option PR.url code 1 = text; class "printers" { vendor-option-space PR; option PR.url "u";'
    )
    configure(dhcpd_site, ('class "printers" {', space))
    entry = {"code": 43, "value": "0102", "encoding": "hex"}
    failed = dhcpd_site.module(options=[entry])
    assert failed.code == 1
    assert failed.result["conflicts"][0]["existing"] == "vendor-option-space PR"
    assert dhcpd_site.module(options=[{**entry, "vendor_class": "snom"}]).code == 0, "no printer is a snom"
    assert dhcpd_site.offer("020000000001", "prn", [43])[43] == "0x010175"
    assert dhcpd_site.offer("020000000001", "snom", [43])[43] == "0x0102"


THEIRS = 'option tftp-server-name "theirs"; }\n'
#: What an administrator puts before the first of these words; who is then said to win; a client it concerns.
HIDING = {
    "host": ("subnet", "host h { hardware ethernet 00:04:13:00:00:09; " + THEIRS, "host h"),
    "group": (
        "subnet",
        "group { host h { hardware ethernet 0:4:13:0:0:9; } " + THEIRS,
        "group in {config} line 7",
    ),
    "class": (
        "class",
        'class "sn" { match if substring(hardware, 1, 6) = 00:04:13:00:00:09; ' + THEIRS,
        "class sn",
    ),
    "subclass": (
        "class",
        'class "by" { match hardware; }\nsubclass "by" 1:00:04:13:00:00:09 { ' + THEIRS,
        "subclass by 1:00:04:13:00:00:09",
    ),
}


@pytest.mark.parametrize("kind", HIDING)
def test_what_hides_ours_is_told(dhcpd_site: DhcpdSite, kind: str) -> None:
    before, block, label = HIDING[kind]
    configure(dhcpd_site, (before, block + before))
    done = dhcpd_site.module(url=URL, vendors=["snom"])
    assert done.code == 0, done
    told = {item["scope"]: item for item in done.result["hidden"]}
    assert told["vendor class snom"]["by"] == [label.replace("{config}", str(dhcpd_site.config)) + " (theirs)"]
    assert "a host wins over a class" in told["vendor class snom"]["advice"]
    assert any("will not reach every client" in str(warning) for warning in done.result["warnings"])
    assert phone_options(dhcpd_site, "000413000009", "snomD785") == {66: "theirs"}, "and it is true"
    assert phone_options(dhcpd_site, "000413000008", "snomD785") == {66: URL}


def test_a_subnet_hides_what_is_global_but_not_a_class(dhcpd_site: DhcpdSite) -> None:
    """The opposite of Kea."""
    configure(dhcpd_site, ("range", 'option tftp-server-name "theirs"; range'))
    done = dhcpd_site.module(url=URL, vendors=["snom"])
    assert [(item["scope"], item["by"]) for item in done.result["hidden"]] == [
        ("global", ["subnet 198.18.0.0/24 (theirs)"])
    ]
    assert phone_options(dhcpd_site, "000413000001", "snom") == {66: URL}
    assert phone_options(dhcpd_site) == {66: "theirs"}
    ours = [{"subnet": "198.18.0.0/24", "code": 66, "value": "http://subnet/"}]
    done = dhcpd_site.module(url=URL, vendors=["snom"], options=ours, on_conflict="replace")
    hidden = {item["scope"]: item["by"] for item in done.result["hidden"]}
    assert hidden == {"subnet 198.18.0.0/24": [f"class autoprov-snom of ours ({URL})"]}


def test_the_administrators_edits_in_between_are_kept(dhcpd_site: DhcpdSite) -> None:
    site = dhcpd_site
    entry = {"subnet": "198.18.0.0/24", "code": 132, "value": "20"}
    assert site.module(url=URL, vendors=VENDORS, options=[entry]).code == 0
    added = '\noption domain-search "x.example";\nclass "late" { match if 1 = 2; }\n'
    site.config.write_text(site.config.read_text().replace("# our clock", "# our old clock") + added)
    assert site.module(url=URL, vendors=VENDORS, options=[entry]).result["changed"] is False
    assert site.module(state="absent").code == 0
    clean = (site.config.read_text()).replace("# our old clock", "# our clock")
    assert clean.endswith("# for now" + added)
    assert "autoprov" not in clean


def test_info_says_who_wins_and_it_is_who_wins(dhcpd_site: DhcpdSite) -> None:
    configure(dhcpd_site, ("range", 'option tftp-server-name "theirs"; range'))
    assert dhcpd_site.module(url=URL, vendors=["snom"]).code == 0
    answer = dhcpd_site.module("dhcp_info", server="dhcpd", vendor=["snom", "yealink"], subnet="198.18.0.0/24")
    (server,) = answer.result["servers"]
    assert (server["server"], server["running"], server["fault"]) == ("dhcpd", True, None)
    assert server["interfaces"] == ["srv0"]
    levels = [(item["level"], item["code"], item["ours"]) for item in server["options"] if item["code"] == 66]
    assert levels == [("class", 66, True), ("subnet", 66, False), ("global", 66, True)]
    winners = {item["client"]: item["winner"]["value"] for item in server["answers"] if item["code"] == 66}
    assert winners == {"snom": URL, "yealink": "theirs"}
    assert phone_options(dhcpd_site, "000413000001", "snom") == {66: URL}
    assert phone_options(dhcpd_site, "805ec0000001", "yealink") == {66: "theirs"}
    elsewhere = dhcpd_site.module("dhcp_info", server="dhcpd", vendor=["snom"], subnet="198.18.9.0/24")
    assert "subnet 198.18.9.0/24 is not in" in elsewhere.result["servers"][0]["fault"]
