# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dnsmasq's configuration: what its words mean, and what is planned for it. No daemon."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq import config, plan, values
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq import model as dnsmasq_model
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq import process as dnsmasq_process
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq import report as dnsmasq_report
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq import text as dnsmasq_text
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq.adapter import DnsmasqBackend
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq.config import CommandLine
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.dnsmasq.text import Word
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import build_intent
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.packets import Client
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.processes import Process

ROUTES = [("eth0", ipaddress.IPv4Network("198.18.0.0/24")), ("eth1", ipaddress.IPv4Network("198.18.1.0/24"))]


class Files:
    """A configuration and a folder of more."""

    def __init__(self, folder: Path) -> None:
        self.main = folder / "dnsmasq.conf"
        self.folder = folder / "dnsmasq.d"
        self.folder.mkdir()
        self.own = self.folder / plan.NAME_IN_FOLDER
        self.command = CommandLine((("conf-dir", f"{self.folder},.dpkg-old"),), str(self.main), True)

    def write(self, text: str) -> None:
        self.main.write_text(text)

    def draft(self, *options: dict[str, Any], on_conflict: str = "fail", **arguments: Any) -> plan.Draft:
        settings = build_intent(options=options, **arguments)
        return plan.draft(self.command, "/", ROUTES, settings, on_conflict)

    def apply(self, *options: dict[str, Any], **arguments: Any) -> plan.Draft:
        made = self.draft(*options, **arguments)
        for change in made.changes:
            if change.after is None:
                Path(change.path).unlink()
            else:
                Path(change.path).write_bytes(change.after)
        return made

    def report(self) -> dnsmasq_report.DnsmasqReport:
        configuration = config.DnsmasqConfiguration(self.command)
        model = dnsmasq_model.DnsmasqModel(configuration, ROUTES)
        return dnsmasq_report.DnsmasqReport(model, plan.own_paths(configuration))

    def hidden(self, *options: dict[str, Any], **arguments: Any) -> dict[str, str]:
        made = self.draft(*options, **arguments)
        report = dnsmasq_report.DnsmasqReport(made.model, (made.own_path,))
        return {f"{item.scope}, {item.code}": " + ".join(item.by) for item in report.hidden(made)}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path)
    found.write("dhcp-range=198.18.0.50,198.18.0.99\n")
    return found


# --- words ---


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", None),
        ("   # dhcp-option=66,x", None),
        ("bind-dynamic", ("bind-dynamic", ())),
        ("  a = b , c  # d", ("a", (Word("b"), Word("c")))),
        ("a=b#c", ("a", (Word("b#c"),))),
        ('a="b,c # d\\t\\"\\\\" , e', ("a", (Word('b,c # d\t"\\', True), Word("e")))),
        ('a=b"c"d', ("a", (Word("bcd", True),))),
        ("a=b,,c,", ("a", (Word("b"), Word(""), Word("c"), Word("")))),
        ("a\t=\tb=c", ("a", (Word("b=c"),))),
    ],
)
def test_words(line: str, expected: Any) -> None:
    assert dnsmasq_text.parse_line(line) == expected


def test_quotes_must_end() -> None:
    with pytest.raises(dnsmasq_text.TextFault):
        dnsmasq_text.parse_line('a="b')


@pytest.mark.parametrize("text", ["http://a/b,c", "a'b\"c\\d#e", " x ", "198.18.0.1", "20"])
def test_what_is_quoted_is_read_back(text: str) -> None:
    assert dnsmasq_text.parse_line("a=" + dnsmasq_text.quote(text)) == ("a", (Word(text, True),))


@pytest.mark.parametrize(
    ("name", "filters", "read"),
    [
        ("a", (), True),
        ("60-a.conf.bak", (), True),
        ("a~", (), False),
        (".a", (), False),
        ("#a#", (), False),
        ("#a", (), True),
        ("a.dpkg-old", (".dpkg-old",), False),
        ("a.conf", ("*.conf",), True),
        ("a", ("*.conf",), False),
        ("a.x.conf", ("*.conf", ".x.conf"), False),
    ],
)
def test_which_files_of_a_folder_are_read(name: str, filters: tuple[str, ...], read: bool) -> None:
    assert dnsmasq_text.is_read(name, filters) is read


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (66, "198.18.0.1", b"198.18.0.1"),
        (66, "61:62", b"61:62"),
        (160, "198.18.0.1", b"\xc6\x12\x00\x01"),
        (160, '"198.18.0.1"', b"198.18.0.1"),
        (132, "20", b"\x14"),
        (132, '"20"', b"20"),
        (132, "20s", b"\x00\x14"),
        (240, "70000", b"\x00\x01\x11\x70"),
        (43, "01:02:fF", b"\x01\x02\xff"),
        (120, "198.18.0.1,198.18.0.2", b"\x01\xc6\x12\x00\x01\xc6\x12\x00\x02"),
        (120, "sip.example.com", None),
        (42, "0.0.0.0", None),
        (2, "3600", b"\x00\x00\x0e\x10"),
        (150, "198.18.0.1", b"\xc6\x12\x00\x01"),
        (15, "a.example", b"a.example"),
        (66, "", b""),
    ],
)
def test_bytes_of_an_administrators_words(code: int, text: str, expected: bytes | None) -> None:
    parsed = dnsmasq_text.parse_line(f"x={text}")
    assert parsed is not None
    assert values.value_of(code, parsed[1]) == expected


# --- command lines ---


@pytest.mark.parametrize(
    ("argv", "main", "options"),
    [
        (
            "-x /run/d.pid -u dnsmasq -r /run/resolv.conf -7 /etc/dnsmasq.d,.dpkg-dist,.dpkg-old --local-service",
            "/etc/dnsmasq.conf",
            {"pid-file": "/run/d.pid", "conf-dir": "/etc/dnsmasq.d,.dpkg-dist,.dpkg-old", "local-service": ""},
        ),
        ("-kC/x.conf", "/x.conf", {"k": ""}),
        ("--conf-file=/x.conf --dhcp-range 198.18.0.1,198.18.0.9", "/x.conf", {"dhcp-range": "198.18.0.1,198.18.0.9"}),
        (
            "-O 66,x -F198.18.0.5,static",
            "/etc/dnsmasq.conf",
            {"dhcp-option": "66,x", "dhcp-range": "198.18.0.5,static"},
        ),
    ],
)
def test_command_lines(argv: str, main: str, options: dict[str, str]) -> None:
    command = dnsmasq_process.parse_command_line(argv.split())
    assert command.main == main
    assert options.items() <= dict(command.options).items()


def test_debians_defaults(tmp_path: Path) -> None:
    path = tmp_path / "dnsmasq"
    path.write_text(
        '#DNSMASQ_OPTS="-x"\nCONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist\nDNSMASQ_OPTS="--conf-file=/x --no-ping"\n'
    )
    command = dnsmasq_process.installed_command(None, str(path))
    assert command.main == "/x"
    assert command.options == (("conf-dir", "/etc/dnsmasq.d,.dpkg-dist"), ("no-ping", ""))
    assert dnsmasq_process.installed_command("/y.conf", str(path)) == CommandLine((), "/y.conf", True)


# --- reading ---


def test_the_order_of_files_and_their_lines(files: Files, tmp_path: Path) -> None:
    (files.folder / "b").write_text("two=1\n")
    (files.folder / "A").write_text("\none=1")
    (files.folder / "c.dpkg-old").write_text("never=1\n")
    (tmp_path / "more").write_text(f"four=1\nconf-file={files.main}\n")
    (tmp_path / "hosts").write_text("# x\n02:00:00:00:00:01,set:x\n")
    files.write(f"three=1\nconf-file={tmp_path}/more\nfive=1\ndhcp-hostsfile={tmp_path}/hosts\n")
    configuration = config.DnsmasqConfiguration(files.command)
    assert [line.name for line in configuration.lines] == ["one", "two", "three", "four", "five", "dhcp-host"]
    assert configuration.lines[0].where == f"{files.folder}/A:2"
    assert configuration.lines[-1].where == f"{tmp_path}/hosts:2"
    assert [line for line, _path, _number in configuration.stream if line] == [
        *(b"one=1", b"two=1", b"three=1", b"four=1", b"five=1", b"dhcp-hostsfile=%s/hosts" % str(tmp_path).encode())
    ]


@pytest.mark.parametrize("line", ["conf-file=/nowhere", "conf-dir=/nowhere"])
def test_what_is_not_there(files: Files, line: str) -> None:
    files.write(f"{line}\n")
    with pytest.raises(DhcpError, match=f"/nowhere, which {files.main}:1 names, .*create it, or remove that"):
        config.DnsmasqConfiguration(files.command)


# --- planning ---


def test_every_tag_of_ours_is_given_to_somebody(files: Files) -> None:
    """dnsmasq would not tell: a tag that nobody has is no fault to it."""
    files.write("dhcp-range=set:a,198.18.0.50,198.18.0.99\ndhcp-range=198.18.1.50,198.18.1.99\n")
    scopes = [{"mac": "02:00:00:00:00:01"}, {"oui": "020000"}, {"vendor_class": "x y"}, {"subnet": "198.18.0.0/24"}, {}]
    options = [{**scope, "code": 160, "value": "x"} for scope in scopes]
    made = files.apply(*options, url="http://a/", vendors=["snom", "yealink", "gigaset"])
    ours = [item for item in made.model.sent if item.line.path == str(files.own)]
    assert len(ours) == 5 + 1 + 4
    for item in ours:
        assert item.forced
        assert item.data is not None
        for tag in item.conditions:
            assert made.model.is_known(tag.lstrip("!")), tag


def test_nothing_planned_twice(files: Files) -> None:
    assert files.apply({"code": 66, "value": "x"}).changes
    assert not files.draft({"code": 66, "value": "x"}).changes
    assert [change.after for change in files.draft().changes] == [None]


def test_what_is_the_same_already_is_not_set_again(files: Files) -> None:
    files.write('dhcp-range=198.18.0.50,198.18.0.99\ndhcp-option-force=66,"http://a/"\n')
    made = files.draft(url="http://a/")
    assert (made.settings, made.changes, made.conflicts) == ([], [], [])
    files.write('dhcp-range=198.18.0.50,198.18.0.99\ndhcp-option=66,"http://a/"\n')
    with pytest.raises(DhcpError, match="has set http://a/ in"):
        files.draft(url="http://a/")


@pytest.mark.parametrize(
    ("lines", "scope"),
    [
        (["dhcp-option=66,old"], {}),
        (["dhcp-option=option:tftp-server,old"], {}),
        (["dhcp-range=set:v,198.18.1.50,198.18.1.99", "dhcp-option=tag:v,66,old"], {"subnet": "198.18.1.0/24"}),
        (["dhcp-option=tag:eth0,66,old"], {"subnet": "198.18.0.0/24"}),
        (["dhcp-option=s,66,old", "dhcp-vendorclass=s,snom"], {"vendor": "snom"}),
        (["dhcp-option=tag:s,66,old", "dhcp-mac=set:s,00:04:13:*:*:*"], {"vendor": "snom"}),
        (["dhcp-option=tag:p,66,old", "dhcp-host=02:0:0:0:0:1,set:p,198.18.0.7"], {"mac": "020000000001"}),
    ],
)
def test_collisions(files: Files, lines: list[str], scope: dict[str, str]) -> None:
    text = "dhcp-range=198.18.0.50,198.18.0.99\n"
    if "dhcp-range" not in lines[0]:
        text += "dhcp-range=set:o,198.18.1.50,198.18.1.99\n"
    files.write(text + "\n".join(lines) + "\n")
    entry = {**scope, "code": 66, "value": "new"}
    with pytest.raises(DhcpError, match=r"has set old in .*wanted is new") as caught:
        files.draft(entry)
    assert len(caught.value.details["conflicts"]) == 1
    kept = files.draft(entry, on_conflict="keep")
    assert (kept.settings, len(kept.conflicts)) == ([], 1)
    before = files.main.read_bytes()
    files.apply(entry, on_conflict="replace")
    assert b"#autoprov-replaced# dhcp-option" in files.main.read_bytes()
    assert not files.draft(entry, on_conflict="replace").changes
    files.apply()
    assert files.main.read_bytes() == before


@pytest.mark.parametrize(
    ("lines", "arguments", "hidden"),
    [
        # A tag of the administrator's, of clients that may be ours, read after our file.
        (
            ["dhcp-userclass=set:u,x", "dhcp-option=tag:u,66,old"],
            {"vendors": ["snom"]},
            {"global, 66", "vendor class snom, 66"},
        ),
        # Another vendor's does not concern ours, but everybody.
        (["dhcp-vendorclass=set:c,Cisco", "dhcp-option=tag:c,66,old"], {"vendors": ["snom"]}, {"global, 66"}),
        (["dhcp-mac=set:c,00:01:02:*:*:*", "dhcp-option=tag:c,66,x"], {"vendors": ["gigaset"]}, {"global, 66"}),
        # A model of ours.
        (
            ["dhcp-vendorclass=set:c,snomM900", "dhcp-option=tag:c,66,old"],
            {"vendors": ["snom"]},
            {"global, 66", "vendor class snom, 66"},
        ),
        (
            ["dhcp-vendorclass=set:c,D7", "dhcp-option=tag:c,66,old"],
            {"vendors": ["snom"]},
            {"global, 66", "vendor class snom, 66"},
        ),
        # A range's tag yields to a client's.
        (["dhcp-range=set:v,198.18.1.5,198.18.1.9", "dhcp-option=tag:v,66,old"], {"vendors": ["snom"]}, {"global, 66"}),
        # Nobody has that tag, or only who has another one too.
        (["dhcp-option=tag:nobody,66,old"], {"vendors": ["snom"]}, set()),
        (["dhcp-option=tag:!nobody,66,old"], {"vendors": ["snom"]}, {"global, 66", "vendor class snom, 66"}),
        (["tag-if=set:t,tag:nobody", "dhcp-option=tag:t,66,old"], {"vendors": ["snom"]}, set()),
        # What Yealinks read first.
        (["dhcp-option=160,old"], {"vendors": ["yealink"]}, {"vendor class yealink, 66"}),
        # A phone that has a host entry of another kind.
        (
            ["dhcp-host=id:phone,set:h", "dhcp-option=tag:h,66,old"],
            {"options": [{"mac": "020000000001", "code": 66, "value": "x"}]},
            {"phone 02:00:00:00:00:01, 66", "global, 66"},
        ),
        # Option 43 is made of these, besides ours.
        (
            ["dhcp-option=vendor:snom,1,old"],
            {"options": [{"vendor": "snom", "code": 43, "value": "0101"}]},
            {"vendor class snom, 43"},
        ),
    ],
)
def test_what_hides_ours(files: Files, lines: list[str], arguments: dict[str, Any], hidden: set[str]) -> None:
    files.write("dhcp-range=198.18.0.50,198.18.0.99\n" + "\n".join(lines) + "\n")
    options = arguments.pop("options", [])
    found = files.hidden(*options, url="http://a/", **arguments)
    if "snom, 43" in str(hidden):
        hidden = hidden | ({"vendor class snom, 66"} & set(found))
    assert set(found) == hidden
    for blame in found.values():
        assert str(files.main) in blame


def test_a_tag_of_ours_that_is_taken(files: Files) -> None:
    files.write("dhcp-range=198.18.0.50,198.18.0.99\ndhcp-mac=set:autoprov-snom,00:00:00:*:*:*\n")
    with pytest.raises(DhcpError, match="the tag autoprov-snom is used by another line; rename it there"):
        files.draft(url="http://a/", vendors=["snom"])


def test_a_folder_that_takes_only_some_names(files: Files) -> None:
    files.command = CommandLine((("conf-dir", f"{files.folder},*.cfg"),), str(files.main), True)
    before = files.main.read_bytes()
    made = files.apply({"code": 66, "value": "x"})
    assert [Path(change.path).name for change in made.changes] == ["dnsmasq-autoprov.conf", "dnsmasq.conf"]
    files.apply()
    assert files.main.read_bytes() == before


# --- for people ---


def test_what_is_set_and_who_would_win(files: Files) -> None:
    files.write(
        "dhcp-range=set:v,198.18.0.50,198.18.0.99\ndhcp-range=set:w,198.18.1.50,198.18.1.99\n"
        "dhcp-option=tag:v,66,voice\ndhcp-option=66,everybody\n"
        "dhcp-host=02:00:00:00:00:09,set:p\ndhcp-option=tag:p,66,phone\n"
        "dhcp-userclass=set:u,x\ndhcp-option=tag:u,66,user\n"
    )
    files.apply({"vendor": "snom", "code": 66, "value": "snom"})
    report = files.report()
    assert [(item.level, item.name, item.value, item.ours) for item in report.set_options()] == [
        ("class", "u", "user", False),
        ("host", "020000000009", "phone", False),
        ("class", "autoprov-snom", "snom", True),
        ("subnet", "198.18.0.0/24", "voice", False),
        ("global", "", "everybody", False),
    ]

    def answer(mac: str, vendor_class: str | None = None, subnet: str | None = None) -> tuple[str | None, list[str]]:
        found = report.answer(66, Client(mac, vendor_class), subnet)
        return found.winner.value if found.winner else None, [item.value for item in found.unless]

    assert answer("020000000001") == ("everybody", ["user", "voice"])
    assert answer("020000000001", None, "198.18.0.0/24") == ("voice", ["user"])
    assert answer("020000000001", None, "198.18.1.0/24") == ("everybody", ["user"])
    assert answer("020000000001", "snomD785", "198.18.0.0/24") == ("snom", ["user"])
    assert answer("020000000009", "snomD785") == ("phone", ["user"])
    with pytest.raises(DhcpError, match=r"no dhcp-range; there: 198.18.0.0/24, 198.18.1.0/24"):
        report.answer(66, Client("020000000001"), "192.0.2.0/24")


# --- several of them ---


class Running:
    """What runs on a host, as far as `choose` looks."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.servers: list[dnsmasq_process.Server] = []
        monkeypatch.setattr(dnsmasq_process, "running_servers", lambda: self.servers)

    def add(self, name: str, text: str, owner: str = "", other_network: bool = False) -> str:
        path = self.folder / name
        path.write_text(text)
        number = len(self.servers) + 1
        process = Process(number, ("dnsmasq",), 0, 0, "/", other_network)
        self.servers.append(dnsmasq_process.Server(process, CommandLine((), str(path), True), number, owner))
        return str(path)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    return Running(tmp_path, monkeypatch)


RANGE = "dhcp-range=198.18.0.50,198.18.0.99\n"


def test_the_one_that_serves_dhcp_is_meant(host: Running) -> None:
    host.add("dns", "port=53\n")
    wanted = host.add("dhcp", RANGE)
    host.add("default.conf", RANGE, owner="libvirt")
    host.add("elsewhere", RANGE, other_network=True)
    chosen = dnsmasq_process.choose(None)
    assert chosen is not None
    assert chosen.main == wanted
    assert DnsmasqBackend.serving()


def test_a_named_one_is_meant(host: Running) -> None:
    host.add("one", RANGE)
    other = host.add("two", RANGE, other_network=True)
    chosen = dnsmasq_process.choose(other)
    assert chosen is not None
    assert chosen.main == other
    assert dnsmasq_process.choose(str(host.folder / "three")) is None


def test_two_that_serve_dhcp(host: Running) -> None:
    names = [host.add("one", RANGE), host.add("two", RANGE)]
    with pytest.raises(DhcpError, match=r"several dnsmasq run here .*; say which with config_file") as caught:
        dnsmasq_process.choose(None)
    assert all(name in str(caught.value) for name in names)


def test_others_own_are_left_alone(host: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    host.add("default.conf", RANGE, owner="libvirt")
    assert not DnsmasqBackend.serving()
    monkeypatch.setattr(dnsmasq_process, "DEFAULT_FILE", str(host.folder / "none"))
    with pytest.raises(DhcpError, match=r"belongs to another program: process 1 \(libvirt\)"):
        dnsmasq_process.choose(None)


def test_one_that_only_answers_dns_serves_no_dhcp(host: Running) -> None:
    host.add("dns", "port=53\n")
    assert not DnsmasqBackend.serving()
