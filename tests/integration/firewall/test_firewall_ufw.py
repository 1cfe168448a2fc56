# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ufw itself, asked with packets."""

from __future__ import annotations

import pytest

from .ufw_site import UfwHost
from .walled_host import NETWORKS, OTHERS, PHONES

pytestmark = pytest.mark.root


def test_first(ufw: UfwHost) -> None:
    ufw.ufw("allow", "22/tcp")
    ufw.ufw("reload")
    files, running = ufw.files(), ufw.running()
    ports = [("tcp", 50080), ("udp", 5060), ("tcp", 5060)]
    a = ufw.engine(check_mode=True, profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    assert ufw.files() == files
    print(a.faults, a.notes, a.shown)
    a = ufw.engine(profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    print(a.faults, a.notes)
    with ufw.listening(ports):
        for v in (4, 6):
            print(ufw.ask(PHONES, ports, v), ufw.ask(OTHERS, ports, v))
    b = ufw.engine(profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    print(b.faults, b.changed)
    print(ufw.ufw("show", "added"))
    ufw.ufw("reload")
    b = ufw.engine(profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    print(b.faults, b.changed)
    c = ufw.engine()
    print(c.faults, c.changed)
    assert ufw.files() == files
    assert ufw.running() == running
