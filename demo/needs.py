# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must have before a site can be built on it."""

from __future__ import annotations

import os
import shutil
import subprocess

# Where Debian keeps daemons and network tools; not on everyone's PATH.
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_PROGRAMS = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "runsvdir": "runit",
    "kea-dhcp4": "kea-dhcp4-server",
    "kamailio": "kamailio",
    "kamcmd": "kamailio",
    "dhclient": "isc-dhcp-client",
    "curl": "curl",
    "sipp": "sip-tester",
}


def missing() -> list[str]:
    """What is missing, each in a few words with the way out; empty when a site can be built."""
    if os.geteuid() != 0:
        return ["root, to create network namespaces (sudo make demo)"]
    path = os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *_SBIN])
    wanted = [
        f"the program {program} (apt-get install {package})"
        for program, package in _PROGRAMS.items()
        if not shutil.which(program, path=path)
    ]
    if (
        not wanted
        and subprocess.run(["unshare", "--mount", "--net", "true"], check=False, capture_output=True).returncode
    ):
        wanted.append("the right to create namespaces (CAP_SYS_ADMIN; a container needs to be privileged)")
    return wanted
