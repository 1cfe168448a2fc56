# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lease files of DHCP servers, as the servers write them and while they do."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from autoprovd import leases
from autoprovd.leases import Leases

NOW = 1_800_000_000
PHONE, OTHER = "00041396d9b4", "805e0c4d796d"
KEA_HEAD = (
    "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n"
)


def kea(
    address: str, mac: str = "00:04:13:96:d9:b4", lifetime: int = 3600, expire: int = NOW + 60, state: int = 0
) -> str:
    return f"{address},{mac},01:{mac},{lifetime},{expire},1,0,0,snom&#x2cdesk,{state},,0\n"


class Dhcp:
    """A lease file, and a service that looks at it at once."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.leases = Leases([(kind, path)], now=lambda: NOW)

    def mac_of(self, address: str) -> str | None:
        self.leases.look_again()
        return self.leases.mac_of(address)

    def append(self, text: str) -> None:
        with self.path.open("a") as stream:
            stream.write(text)


@pytest.fixture
def dhcp(tmp_path: Path) -> Dhcp:
    made = Dhcp(tmp_path / "kea-leases4.csv", "kea")
    made.path.write_text(KEA_HEAD)
    return made


def test_kea(dhcp: Dhcp) -> None:
    dhcp.append(
        kea("198.18.0.20")
        + kea("198.18.0.21", expire=NOW - 1)
        + kea("198.18.0.22", state=1)
        + kea("198.18.0.23", state=2)
        + kea("198.18.0.24", lifetime=0)
        + kea("198.18.0.25", mac="")
        + kea("198.18.0.26", lifetime=4294967295, expire=0)
        + "2001:db8::7,00:01:00:01,3600,1800000060,1,3600,0,1,128,0,0,,80:5e:0c:4d:79:6d,0,,0,1,0\n"
    )
    assert dhcp.mac_of("198.18.0.20") == PHONE
    assert dhcp.mac_of("198.18.0.26") == PHONE
    assert [dhcp.mac_of(f"198.18.0.{n}") for n in range(21, 26)] == [None] * 5
    assert dhcp.mac_of("2001:db8::7") is None


def test_kea_appends_and_the_last_row_of_an_address_counts(dhcp: Dhcp) -> None:
    dhcp.append(kea("198.18.0.20"))
    assert dhcp.mac_of("198.18.0.20") == PHONE
    row = kea("198.18.0.20", mac="80:5e:0c:4d:79:6d")
    dhcp.append(row[:30])
    assert dhcp.mac_of("198.18.0.20") == PHONE, "a row that is being written is none yet"
    dhcp.append(row[30:])
    assert dhcp.mac_of("198.18.0.20") == OTHER
    dhcp.append(kea("198.18.0.20", mac="80:5e:0c:4d:79:6d", lifetime=0))
    assert dhcp.mac_of("198.18.0.20") is None


def test_only_what_was_appended_is_read(dhcp: Dhcp, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    kind = leases.KINDS["kea"]

    def parse(text: str) -> object:
        read.append(text.count("\n"))
        return kind.parse(text)

    monkeypatch.setitem(leases.KINDS, "kea", kind._replace(parse=parse))  # type: ignore[arg-type]
    watched = Dhcp(dhcp.path, "kea")
    dhcp.append("".join(kea(f"198.18.{n}.20") for n in range(200)))
    assert watched.mac_of("198.18.7.20") == PHONE
    dhcp.append(kea("198.18.250.20"))
    assert watched.mac_of("198.18.250.20") == PHONE
    assert watched.mac_of("198.18.7.20") == PHONE
    assert read == [201, 1]


def test_kea_cleans_its_file_up(dhcp: Dhcp) -> None:
    """The steps of kea-lfc: the file is moved aside, and written anew beside; every lease is known in between."""
    dhcp.append(kea("198.18.0.20") + kea("198.18.0.21"))
    assert dhcp.mac_of("198.18.0.20") == PHONE
    aside = {suffix: dhcp.path.with_name(dhcp.path.name + suffix) for suffix in (".1", ".2", ".completed")}

    dhcp.path.rename(aside[".1"])
    dhcp.path.write_text(KEA_HEAD + kea("198.18.0.22") + kea("198.18.0.21", mac="80:5e:0c:4d:79:6d"))

    def known() -> list[str | None]:
        return [dhcp.mac_of(f"198.18.0.{n}") for n in (20, 21, 22)]

    assert known() == [PHONE, OTHER, PHONE]
    aside[".completed"].write_text(KEA_HEAD + kea("198.18.0.20") + kea("198.18.0.21"))
    aside[".1"].unlink()
    assert known() == [PHONE, OTHER, PHONE]
    aside[".completed"].rename(aside[".2"])
    assert known() == [PHONE, OTHER, PHONE]
    dhcp.append(kea("198.18.0.20", lifetime=0))
    assert known() == [None, OTHER, PHONE]


DNSMASQ = f"""\
{NOW + 60} 00:04:13:96:d9:b4 198.18.0.20 snomD785 01:00:04:13:96:d9:b4
{NOW - 60} 00:04:13:96:d9:b4 198.18.0.21 * *
0 80:5e:0c:4d:79:6d 198.18.0.22 * 01:80:5e:0c:4d:79:6d
{NOW + 60} 06-80:5e:0c:4d:79:6d 198.18.0.23 * *
duid 00:01:00:01:2c:5b:6f:a0:00:04:13:96:d9:b4
{NOW + 60} 127494836 2001:db8::7 * 00:01:00:01:2c:5b:6f:a0:00:04:13:96:d9:b4
"""


def test_dnsmasq(tmp_path: Path) -> None:
    dhcp = Dhcp(tmp_path / "dnsmasq.leases", "dnsmasq")
    dhcp.path.write_text(DNSMASQ)
    found = [dhcp.mac_of(f"198.18.0.{n}") for n in range(20, 24)]
    assert found == [PHONE, None, OTHER, None]
    assert dhcp.mac_of("2001:db8::7") is None
    dhcp.path.write_text(DNSMASQ.splitlines()[2] + "\n")  # it writes the whole file anew, in place
    assert dhcp.mac_of("198.18.0.20") is None
    assert dhcp.mac_of("198.18.0.22") == OTHER


DHCPD = """\
# The format of this file is documented in the dhcpd.leases(5) manual page.
# This lease file was written by isc-dhcp-4.4.3-P1

# authoring-byte-order entry is generated, DO NOT DELETE
authoring-byte-order little-endian;

server-duid "\\000\\001\\000\\001,[o\\240\\000\\004\\023\\226\\331\\264";

lease 198.18.0.20 {
  starts 5 2027/01/15 07:00:00;
  ends 5 2027/01/15 09:00:00;
  cltt 5 2027/01/15 07:00:00;
  binding state active;
  next binding state free;
  rewind binding state free;
  hardware ethernet 00:04:13:96:d9:b4;
  uid "\\001\\000\\004\\023\\226\\331\\264";
  client-hostname "snomD785";
}
lease 198.18.0.21 {
  starts 5 2027/01/15 06:00:00;
  ends 5 2027/01/15 07:00:00;
  binding state active;
  next binding state free;
  hardware ethernet 00:04:13:96:d9:b4;
}
lease 198.18.0.22 {
  starts epoch 1799996400; # Fri Jan 15 07:00:00 2027
  ends epoch 1800003600; # Fri Jan 15 09:00:00 2027
  binding state active;
  hardware ethernet 80:5e:0c:4d:79:6d;
}
lease 198.18.0.23 {
  starts 5 2027/01/15 07:00:00;
  ends never;
  binding state active;
  hardware ethernet 80:5e:0c:4d:79:6d;
}
lease 198.18.0.24 {
  starts 5 2027/01/15 07:00:00;
  ends 5 2027/01/15 09:00:00;
  binding state free;
  hardware ethernet 80:5e:0c:4d:79:6d;
}
"""


def test_dhcpd(tmp_path: Path) -> None:
    dhcp = Dhcp(tmp_path / "dhcpd.leases", "dhcpd")
    dhcp.path.write_text(DHCPD)
    assert [dhcp.mac_of(f"198.18.0.{n}") for n in range(20, 25)] == [PHONE, None, OTHER, OTHER, None]
    block = "lease 198.18.0.20 {\n  ends 5 2027/01/15 09:00:00;\n  binding state free;\n}\n"
    dhcp.append(block[:40])
    assert dhcp.mac_of("198.18.0.20") == PHONE, "a block that is being written is none yet"
    dhcp.append(block[40:])
    assert dhcp.mac_of("198.18.0.20") is None


@pytest.mark.parametrize("kind", sorted(leases.KINDS))
def test_what_is_no_lease_is_passed_over(tmp_path: Path, kind: str) -> None:
    dhcp = Dhcp(tmp_path / "leases", kind)
    dhcp.path.write_bytes(
        os.urandom(4096) + b"\n}\n,,,,,,,,,,,\nlease 1.2.3.4 {\n}\n1 2 3\n\xff\xfe\n198.18.0.20,x,y,1,1,1,1,1,1,0\n"
    )
    assert dhcp.mac_of("198.18.0.20") is None


def test_a_file_that_cannot_be_read_is_told_once_and_proves_nothing(
    dhcp: Dhcp, caplog: pytest.LogCaptureFixture
) -> None:
    dhcp.append(kea("198.18.0.20"))
    assert dhcp.mac_of("198.18.0.20") == PHONE
    dhcp.path.rename(dhcp.path.with_name("away"))
    with caplog.at_level(logging.WARNING, "autoprovd"):
        assert dhcp.mac_of("198.18.0.20") is None
        assert dhcp.mac_of("198.18.0.20") is None
        assert [record.message for record in caplog.records] == ["lease file not read, so leases prove nothing"]
    dhcp.path.with_name("away").rename(dhcp.path)
    assert dhcp.mac_of("198.18.0.20") == PHONE


def test_files_are_looked_at_once_a_second(dhcp: Dhcp) -> None:
    assert dhcp.leases.mac_of("198.18.0.20") is None
    dhcp.append(kea("198.18.0.20"))
    assert dhcp.leases.mac_of("198.18.0.20") is None
    dhcp.leases.look_again()
    assert dhcp.leases.mac_of("198.18.0.20") == PHONE
