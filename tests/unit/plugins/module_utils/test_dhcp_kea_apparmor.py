# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Debian's AppArmor profile of Kea forbids, read from the profile: the kernel of a test machine may have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.backend import Target
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.errors import DhcpError
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.intent import build_intent
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import adapter
from ansible_collections.autoprov.appliance.plugins.module_utils._dhcp.kea import apparmor as kea_apparmor

# As Debian 12 and 13 have it, shortened.
PROFILE = """
#include <tunables/global>
profile kea-dhcp4 /usr/sbin/kea-dhcp4 {
  #include <abstractions/base>
  capability net_raw,
  network packet raw,
  /etc/kea/ r,
  /etc/kea/** r,
  /usr/sbin/kea-dhcp4 mr,
  /usr/sbin/kea-lfc Px,
  owner /{tmp,run/kea}/kea4-ctrl-socket w,
  owner /var/lib/kea/kea-leases4.csv* rw,
  owner /var/log/kea/kea-dhcp4.log.[0-9]* rw,
  # /srv/** r,
  include if exists <local/usr.sbin.kea-dhcp4>
}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "apparmor.d" / "usr.sbin.kea-dhcp4"
    (path.parent / "abstractions").mkdir(parents=True)
    (path.parent / "local").mkdir()
    path.write_text(PROFILE)
    (path.parent / "abstractions" / "base").write_text("  @{lib}/**.so* mr,\n  deny /etc/kea/secret r,\n")
    return path


@pytest.mark.parametrize(
    ("path", "access", "denied"),
    [
        ("/etc/kea/kea-dhcp4.conf", "r", False),
        ("/etc/kea/conf.d/voice.json", "r", False),
        ("/etc/kea/kea-dhcp4.conf", "w", True),
        ("/etc/kea/secret", "r", True),
        ("/srv/kea/kea-dhcp4.conf", "r", True),
        ("/etc/keas/kea-dhcp4.conf", "r", True),
        ("/run/kea/kea4-ctrl-socket", "w", False),
        ("/run/kea/other", "w", True),
        ("/var/lib/kea/kea-leases4.csv.2", "w", False),
        ("/var/lib/kea/elsewhere.csv", "w", True),
        ("/var/log/kea/kea-dhcp4.log.1", "r", False),
        ("/usr/lib/x86_64-linux-gnu/kea/hooks/libdhcp_flex_option.so", "m", False),
    ],
)
def test_the_rule(profile: Path, path: str, access: str, denied: bool) -> None:
    assert kea_apparmor.denied(path, access, str(profile)) is denied


def test_the_administrators_own_rules_count(profile: Path) -> None:
    (profile.parent / "local" / "usr.sbin.kea-dhcp4").write_text("/srv/kea/** r,\n")
    assert not kea_apparmor.denied("/srv/kea/kea-dhcp4.conf", "r", str(profile))


def test_debians_own_profile_where_it_is_installed() -> None:
    if not Path(kea_apparmor.PROFILE_FILE).exists():
        pytest.skip("needs Debian's profile: apt-get install kea-dhcp4-server")
    assert not kea_apparmor.denied("/etc/kea/autoprov-kea-dhcp4-options.json")
    assert kea_apparmor.denied("/home/jo/kea-dhcp4.conf")


def test_it_is_said_before_anything_is_written(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "kea-dhcp4.conf"
    config.write_text('{ "Dhcp4": { } }')
    monkeypatch.setattr(kea_apparmor, "is_enforced", lambda: True)
    monkeypatch.setattr(kea_apparmor, "PROFILE_FILE", str(profile))
    monkeypatch.setattr(kea_apparmor.denied, "__defaults__", ("r", str(profile)))
    monkeypatch.setattr(adapter.kea_process, "find_binary", lambda: "/usr/sbin/kea-dhcp4")
    monkeypatch.setattr(adapter.kea_process, "version", lambda binary: "2.2.0")
    backend = adapter.KeaBackend(Target(config_file=str(config)))
    backend.read()
    plan = backend.plan(build_intent(url="http://a/"), "fail")
    with pytest.raises(
        DhcpError, match=r"AppArmor lets Kea read nothing in .*; move it below /etc/kea, or allow it in"
    ):
        backend.check(plan)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kea-dhcp4.conf"]
