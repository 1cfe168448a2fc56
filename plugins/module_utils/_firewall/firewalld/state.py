# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What firewalld tells of itself: by D-Bus where it runs, by `firewall-offline-cmd` where it does not."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import typing as t
from xml.etree import ElementTree

from ..errors import FirewallError
from ..host import has, read_file, run, said
from ..profiles import PortRange
from ..steps import SEARCH_PATH
from . import swap
from .rules import delivered_service_path, ports_of, service_path
from .zones import Zones

#: Lists of a zone as `--list-all-zones` names them, and as D-Bus does. Ports are pairs, as there.
_LISTS = {"interfaces": "interfaces", "sources": "sources", "services": "services", "protocols": "protocols"}
_PORTS = {"ports": "ports", "source-ports": "source_ports"}


class State:
    """The zones, and the services they name."""

    def __init__(self, state: t.Mapping[str, t.Any]) -> None:
        self.version: str = state.get("version", "")
        #: Whether firewalld runs. Where it does not, what lasts stands for what runs: it is what will.
        self.runs: bool = state.get("runs", True)
        self.panic: bool = state.get("panic", False)
        #: The zones that run and those that last, and the services that the zones which run name: settings by name.
        self.running: t.Mapping[str, t.Any] = state.get("zones", {})
        self.lasting: t.Mapping[str, t.Any] = state.get("lasting", {})
        self.services: t.Mapping[str, t.Any] = state.get("services", {})
        self.zones = Zones(self.running, self.lasting, state.get("default", ""))

    def ports(self, service: str, seen: t.Tuple[str, ...] = ()) -> t.List[PortRange]:
        """What a service that runs opens, with what it includes."""
        settings = self.services.get(service, {})
        found = ports_of(settings)
        for name in settings.get("includes", []):
            if name not in seen:
                found += self.ports(name, (*seen, service))
        return found

    def open_to_all(self, zone: str) -> t.Iterator[t.Tuple[str, t.List[PortRange]]]:
        """What a zone lets in for everybody, without our rules: what it is called, and its ports."""
        settings = self.zones.settings(zone)
        for service in settings.get("services", []):
            yield "service %s" % service, self.ports(service)
        for item in ports_of(settings):
            yield "port %s" % item, [item]


def program() -> t.List[str]:
    """The command that asks and changes firewalld. It carries its program, and needs nothing of this module."""
    return [_interpreter(), "-I", "-c", inspect.getsource(swap)]


def _interpreter() -> str:
    """The Python that firewalld runs on, which has D-Bus."""
    path = shutil.which("firewall-cmd", path=SEARCH_PATH)
    try:
        with open(path or "", encoding="utf-8", errors="replace") as stream:
            found = re.match(r"#!\s*(/\S+)", stream.readline())
    except OSError:
        found = None
    return found.group(1) if found and not found.group(1).endswith("/env") else "/usr/bin/python3"


def read() -> State:
    """Ask firewalld. Raises FirewallError."""
    if not has("firewall-cmd"):
        raise FirewallError("there is no firewall-cmd on this host; install firewalld")
    done = run(*program(), stdin=json.dumps({"read": True}))
    if done.returncode == 3:
        if not has("firewall-offline-cmd"):
            raise FirewallError(
                "%s, and there is no firewall-offline-cmd to ask what is configured; start it "
                "(systemctl start firewalld), or leave backend out" % said(done)
            )
        return _offline()
    if done.returncode != 0:
        raise FirewallError(
            "firewalld cannot be asked for its state, by %s, which it runs on (0.9 or newer is needed): %s"
            % (_interpreter(), said(done))
        )
    return State(json.loads(done.stdout))


def _offline() -> State:
    """What is configured."""
    answers = []
    for question in ("--version", "--get-default-zone", "--list-all-zones"):
        done = run("firewall-offline-cmd", question)
        if done.returncode != 0:
            raise FirewallError(
                "firewalld does not run, and what is configured cannot be read (firewall-offline-cmd %s): %s; mend it, "
                "or start firewalld" % (question, said(done))
            )
        answers.append(done.stdout)
    zones = parse_zones(answers[2])
    named = [name for zone in zones.values() for name in zone["services"]]
    for zone in zones.values():
        for rule in zone["rules_str"]:
            named += re.findall(r' service name="([^"]+)"', rule)
    return State(
        {
            "version": answers[0].strip(),
            "runs": False,
            "default": answers[1].strip(),
            "zones": zones,
            "lasting": zones,
            "services": _definitions(named),
        }
    )


def parse_zones(text: str) -> t.Dict[str, t.Dict[str, t.Any]]:
    """The zones as `--list-all-zones` prints them: their settings, named as D-Bus names them."""
    zones: t.Dict[str, t.Dict[str, t.Any]] = {}
    zone: t.Dict[str, t.Any] = {}
    for line in text.splitlines():
        if line and not line[0].isspace():
            zone = zones[line.split()[0]] = {"rules_str": [], "target": "default"}
            continue
        if line.lstrip().startswith("rule "):
            zone.setdefault("rules_str", []).append(line.strip())
            continue
        name, _unused, value = line.strip().partition(":")
        if name == "target":
            zone["target"] = value.strip()
        elif name in _LISTS:
            zone[_LISTS[name]] = value.split()
        elif name in _PORTS:
            zone[_PORTS[name]] = [item.split("/") for item in value.split() if item.count("/") == 1]
    return zones


def _definitions(wanted: t.Iterable[str]) -> t.Dict[str, t.Dict[str, t.Any]]:
    """These services and those they include, as far as they are configured: their ports and includes by name."""
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    left = list(wanted)
    while left:
        name = left.pop()
        if name in found or os.path.basename(name) != name:
            continue
        text = read_file(service_path(name))
        found[name] = definition(text if text is not None else read_file(delivered_service_path(name)) or "")
        left += found[name]["includes"]
    return found


def definition(text: str) -> t.Dict[str, t.Any]:
    """A service's file as D-Bus tells it: `short`, `description`, `ports`, `includes`; all empty when it has faults."""
    try:
        root = ElementTree.fromstring(text.encode("utf-8", "surrogateescape"))  # noqa: S314 -- root's own file
    except ElementTree.ParseError:
        return {"short": "", "description": "", "ports": [], "includes": []}
    return {
        "short": root.findtext("short", ""),
        "description": root.findtext("description", ""),
        "ports": [[str(item.get("port")), str(item.get("protocol"))] for item in root.findall("port")],
        "includes": [str(item.get("service")) for item in root.findall("include")],
    }
