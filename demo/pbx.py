# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PBX of the site: Kamailio as a registrar, already there when the integrator comes, and knowing no account yet."""

from __future__ import annotations

import re

from demo.site import HERE, Machine

_FILES = HERE / "registrar"


def install(machine: Machine) -> None:
    """Set the registrar up; it starts by itself within seconds."""
    machine.write("/etc/kamailio/kamailio.cfg", (_FILES / "kamailio.cfg").read_text("utf-8"))
    machine.write("/etc/kamailio/subscribers/version", "table_name(string) table_version(int)\nsubscriber:7\n")
    machine.write("/etc/kamailio/subscribers/subscriber", "username(string) domain(string) ha1(string)\n", 0o600)
    machine.write("/etc/service/kamailio/run", (_FILES / "run").read_text("utf-8"), 0o755)


def registered(machine: Machine) -> list[str]:
    """The users that have registered, in order."""
    dump = machine.run(["kamcmd", "ul.dump", "brief"]).stdout
    return sorted(re.findall(r"AoR: (\S+)", dump))
