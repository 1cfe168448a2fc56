# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting an address the way a phone does: by ISC dhclient, with the vendor's class and option list."""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from demo.site import HERE, INTERFACE, Host, SiteError

# dhclient's names of the options it is told about by number only; all are text.
_OPTIONS = {
    1: "subnet-mask",
    2: "time-offset",
    3: "routers",
    4: "time-servers",
    6: "domain-name-servers",
    12: "host-name",
    15: "domain-name",
    28: "broadcast-address",
    42: "ntp-servers",
    43: "vendor-encapsulated-options",
    51: "dhcp-lease-time",
    66: "tftp-server-name",
    67: "bootfile-name",
    114: "default-url",
    120: "phone-120",
    125: "vivso",
    132: "phone-132",
    133: "phone-133",
    160: "phone-160",
    161: "phone-161",
}
_DEFINITIONS = "".join(
    f"option {name} code {code} = {'string' if code == 120 else 'text'};\n"
    for code, name in _OPTIONS.items()
    if name.startswith("phone-")
)


@dataclass(frozen=True)
class Answer:
    """What the DHCP server gave."""

    address: str
    server: str
    options: Mapping[int, str]
    """Those of the wanted options that came, as dhclient spells them."""


class DhcpClient:
    """dhclient on a host, kept running as on a phone, so that leases are renewed."""

    def __init__(self, host: Host, vendor_class: str, wanted: Iterable[int]) -> None:
        self._host = host
        self._wanted = tuple(wanted)
        self._files = host.directory / "dhcp"
        self._files.mkdir(mode=0o755)
        names = ", ".join(_OPTIONS[code] for code in self._wanted)
        (self._files / "dhclient.conf").write_text(
            f'{_DEFINITIONS}send vendor-class-identifier "{vendor_class}";\nrequest {names};\n'
            "timeout 15;\nretry 5;\nreboot 3;\ninitial-delay 0;\ninitial-interval 1;\nselect-timeout 0;\n",
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self, timeout: float = 20) -> Answer:
        """Ask as after power-on, and return what the server answered. Raises :class:`SiteError` when none does."""
        self.stop()
        answer = self._files / "answer"
        answer.unlink(missing_ok=True)
        log = self._files / "log"
        # Each `ip netns exec` has mounts of its own: dhclient finds its files where it (and AppArmor) expects them.
        script = (
            f"mount --bind {shlex.quote(str(self._files))} /var/lib/dhcp\n"
            f"mount --bind {shlex.quote(str(HERE / 'dhclient-script'))} /sbin/dhclient-script\n"
            "mount --bind /var/lib/dhcp/dhclient.conf /etc/dhcp/dhclient.conf\n"
            f"exec dhclient -4 -d -1 --no-pid -v -lf /var/lib/dhcp/dhclient.leases {INTERFACE}\n"
        )
        self._process = self._host.start(["sh", "-ec", script], log)
        deadline = time.monotonic() + timeout
        while not answer.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
                raise SiteError(f"no DHCP server answers: {said[0]}")
            time.sleep(0.02)
        values = dict(item.split("=", 1) for item in answer.read_text("utf-8").split("\0") if "=" in item)
        names = {code: "new_" + _OPTIONS[code].replace("-", "_") for code in self._wanted}
        return Answer(
            address=values["new_ip_address"],
            server=values.get("new_dhcp_server_identifier", ""),
            options={code: values[name] for code, name in names.items() if name in values},
        )

    def stop(self) -> None:
        """Pull the cable: the client ends without a word to the server, the address is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._host.run(["ip", "address", "flush", "dev", INTERFACE])
        self._process = None
