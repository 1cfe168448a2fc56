# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""firewalld itself, asked with packets."""

from __future__ import annotations

import pytest

from .firewalld_site import FirewalldHost
from .walled_host import NETWORKS, OTHERS, PHONES

pytestmark = pytest.mark.root


def test_first(firewalld: FirewalldHost) -> None:
    files, running = firewalld.files(), firewalld.running()
    ports = [("tcp", 50080), ("udp", 5060), ("tcp", 5060)]
    a = firewalld.engine(check_mode=True, profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    assert firewalld.files() == files
    a = firewalld.engine(profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    with firewalld.listening(ports):
        pass
    b = firewalld.engine(profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    firewalld.cmd("--reload")
    b = firewalld.engine(profiles=["provisioning", "sip"], networks=NETWORKS[PHONES])
    c = firewalld.engine()
    assert firewalld.files() == files
    assert firewalld.running() == running
