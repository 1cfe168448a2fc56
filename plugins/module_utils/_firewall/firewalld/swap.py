# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Ask firewalld for its state, and exchange what is ours there: what runs, and what lasts.

This file is imported by the module, for the text of zone files. It is also a whole program (``python -c``), which is
run by the Python that firewalld itself runs on: that one has D-Bus. So it imports nothing but the standard library, and
is content with Python 3.6. What it is told is JSON by standard input:

* ``read``: answer with the state in JSON.
* ``rules``: by zone, our rules that are to ``add`` and to ``remove``, in what runs.
* ``services``, ``zones``: our definitions, and the zones our rules stand in, for what lasts. Each has a ``path``, the
  text it was planned ``from`` and the one it goes ``to``; null is no file.

firewalld keeps what lasts in memory, and writes a file anew from there, without comments, whenever somebody changes
something. So it is told first; then the file is written as a person would have edited it.
"""

import importlib
import json
import os
import re
import sys
import typing as t
from xml.etree import ElementTree

Json = t.Dict[str, t.Any]

NAME = "org.fedoraproject.FirewallD1"
PATH = "/org/fedoraproject/FirewallD1"
#: What all our definitions of services begin with.
PREFIX = "autoprov-"
#: The priority of our rules, which tells them from others': behind every rule that denies, before the zone's own end.
PRIORITY = 5080
TIMEOUT = 50.0  # seconds
_RULE = re.compile(
    r"<!--.*?-->|<rule\b[^>]*/>|^[ \t]*(<rule\b(?:(?!<!--).)*?</rule>)[ \t]*\r?\n|(<rule\b(?:(?!<!--).)*?</rule>)",
    re.DOTALL | re.MULTILINE,
)
#: Stands in a zone's file that we made from the one that came with firewalld.
_MADE = re.compile(r"^ *<!-- Made by autoprov from (\S+?),[^\n]*-->\n", re.MULTILINE)


class Gone(Exception):
    """firewalld does not run."""


# What our rules look like


def rule_text(rule: "ElementTree.Element") -> t.Optional[str]:
    """A rule of a zone's file as firewalld's rich language says it, when it is one of ours; None otherwise."""
    parts = {child.tag: dict(child.attrib) for child in rule}
    what = parts.get("service") or parts.get("port")
    known = {"source", "destination", "service", "port", "accept"}
    if (
        rule.get("priority") != str(PRIORITY)
        or len(parts) != len(list(rule))
        or not set(parts) <= known
        or "accept" not in parts
        or what is None
        or ("service" in parts and "port" in parts)
        or ("service" in parts and not what.get("name", "").startswith(PREFIX))
        or any(len(child) for child in rule)
    ):
        return None
    words = ['rule priority="%d"' % PRIORITY]
    if rule.get("family"):
        words.append('family="%s"' % rule.get("family"))
    for tag in ("source", "destination"):
        if tag in parts:
            if set(parts[tag]) != {"address"}:
                return None
            words.append('%s address="%s"' % (tag, parts[tag]["address"]))
    if "service" in parts:
        words.append('service name="%s"' % what["name"])
    else:
        words.append('port port="%s" protocol="%s"' % (what.get("port"), what.get("protocol")))
    return " ".join([*words, "accept"])


def is_ours(rule: str) -> bool:
    """Whether a rule in the rich language is one of ours."""
    what = r'(service name="%s[^"]*"|port port="[^"]*" protocol="[^"]*")' % PREFIX
    addresses = r'( (source|destination) address="[^"]*")*'
    return bool(re.match(r'^rule priority="%d"( family="ipv[46]")?%s %s accept$' % (PRIORITY, addresses, what), rule))


def take_out(text: str) -> t.Tuple[str, t.List[str]]:
    """A zone's file without our rules, and our rules."""
    ours = []

    def judge(found: "t.Match[str]") -> str:
        block = found.group(1) or found.group(2)
        if block is None:
            return found.group(0)
        try:
            rule = rule_text(ElementTree.fromstring(block))  # noqa: S314 -- root's own file
        except ElementTree.ParseError:
            rule = None
        if rule is None:
            return found.group(0)
        ours.append(rule)
        return ""

    return _RULE.sub(judge, text), ours


def put_in(text: str, blocks: t.Sequence[str]) -> str:
    """A zone's file with these rules of ours (as in `rule_block`), and no others of ours."""
    text = take_out(text)[0]
    if not blocks:
        return text
    end = text.rfind("</zone>")
    if end < 0:
        head, found, tail = text.rpartition("/>")
        if not found:
            return text
        return head + ">\n" + "".join(blocks) + "</zone>" + tail
    start = text.rfind("\n", 0, end) + 1
    if text[start:end].strip():
        return text[:end] + "".join(re.sub(r"\s*\n\s*", "", block) for block in blocks) + text[end:]
    return text[:start] + "".join(blocks) + text[start:]


def made_here(text: str, origin: str) -> str:
    """The file that came with firewalld, with our mark: that we made a copy of it."""
    head, found, tail = text.rpartition("</zone>")
    mark = "  <!-- Made by autoprov from %s, and removed by it with the last port. -->\n" % origin
    return head + mark + found + tail


def unmade(text: str) -> t.Optional[str]:
    """None when this is nothing but our copy of a file that came with firewalld; otherwise the text."""
    found = _MADE.search(text)
    if found is None:
        return text
    return None if read_text(found.group(1)) == _MADE.sub("", text) else text


def read_text(path: str) -> t.Optional[str]:
    """The text of a file with its line ends as they are; None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


# firewalld


class Firewalld:
    """firewalld, by D-Bus. Raises Gone when it does not run."""

    def __init__(self) -> None:
        dbus = importlib.import_module("dbus")
        self.dbus: t.Any = dbus
        try:
            self.bus = dbus.SystemBus()
            running = self.bus.name_has_owner(NAME)  # to call it would have it started
        except dbus.DBusException as exc:
            raise Gone("the system's D-Bus does not answer: %s" % exc) from exc
        if not running:
            raise Gone("firewalld does not run")

    def at(self, path: str, interface: str = "") -> t.Any:
        """An object's methods."""
        found = self.bus.get_object(NAME, path, introspect=False)
        return self.dbus.Interface(found, NAME + interface)

    def call(self, method: t.Any, *arguments: t.Any) -> t.Any:
        """Call a method; the answer is in Python's own types. Raises RuntimeError with firewalld's reason."""
        try:
            return _plain(method(*arguments, timeout=TIMEOUT))
        except self.dbus.DBusException as exc:
            raise RuntimeError(exc.get_dbus_message() or str(exc)) from exc

    def strings(self, values: t.Sequence[str]) -> t.Any:
        return self.dbus.Array(list(values), signature="s")

    def settings(self, **values: t.Any) -> t.Any:
        return self.dbus.Dictionary(values, signature="sv")

    def state(self) -> Json:
        """Everything a plan is made from."""
        main, zone = self.at(PATH), self.at(PATH, ".zone")
        config = self.at(PATH + "/config", ".config")
        properties = self.dbus.Interface(
            self.bus.get_object(NAME, PATH, introspect=False), "org.freedesktop.DBus.Properties"
        )
        zones = {name: self.call(zone.getZoneSettings2, name) for name in self.call(zone.getZones)}
        lasting = {}
        for name in self.call(config.getZoneNames):
            lasting[name] = self.call(self.at(self.call(config.getZoneByName, name), ".config.zone").getSettings2)
        return {
            "version": str(self.call(properties.Get, NAME, "version")),
            "default": self.call(main.getDefaultZone),
            "panic": bool(self.call(main.queryPanicMode)),
            "zones": zones,
            "lasting": lasting,
            "services": self._definitions(main, zones),
        }

    def _definitions(self, main: t.Any, zones: Json) -> Json:
        """The services that zones name, and those that these include, as they run: their settings by name."""
        found: Json = {}
        known = set(self.call(main.listServices))
        wanted = [name for zone in zones.values() for name in zone.get("services", [])]
        for zone in zones.values():
            for rule in zone.get("rules_str", []):
                wanted += re.findall(r' service name="([^"]+)"', rule)
        while wanted:
            name = wanted.pop()
            if name in known and name not in found:
                found[name] = self.call(main.getServiceSettings2, name)
                wanted += found[name].get("includes", [])
        return found

    # What runs

    def exchange_rules(self, zone_name: str, add: t.Sequence[str], remove: t.Sequence[str]) -> t.List[str]:
        """Add and remove rules of a zone that runs, as far as they are not there, or are. Returns the faults."""
        zone = self.at(PATH, ".zone")
        faults = []
        try:
            there = set(self.call(zone.getZoneSettings2, zone_name).get("rules_str", []))
        except RuntimeError as exc:
            return ["zone %s: %s" % (zone_name, exc)]
        for rule in add:
            if rule not in there:
                try:
                    self.call(zone.addRichRule, zone_name, rule, 0)
                except RuntimeError as exc:
                    if not str(exc).startswith("ALREADY_ENABLED"):
                        faults.append("zone %s, %s: %s" % (zone_name, rule, exc))
        for rule in remove:
            if rule in there:
                try:
                    self.call(zone.removeRichRule, zone_name, rule)
                except RuntimeError as exc:
                    if not str(exc).startswith("NOT_ENABLED"):
                        faults.append("zone %s, %s: %s" % (zone_name, rule, exc))
        return faults

    # What lasts

    def define(self, item: Json) -> None:
        """Have firewalld remember a definition of ours."""
        config = self.at(PATH + "/config", ".config")
        ports = self.dbus.Array([tuple(port) for port in item["ports"]], signature="(ss)")
        settings = self.settings(short=item["short"], description=item["description"], ports=ports)
        if item["name"] in self.call(config.getServiceNames):
            path = self.call(config.getServiceByName, item["name"])
            self.call(self.at(path, ".config.service").update2, settings)
        else:
            self.call(config.addService2, item["name"], settings)

    def forget(self, name: str) -> None:
        """Have firewalld forget a definition of ours."""
        config = self.at(PATH + "/config", ".config")
        if name in self.call(config.getServiceNames):
            self.call(self.at(self.call(config.getServiceByName, name), ".config.service").remove)

    def remember(self, zone_name: str, rules: t.Sequence[str]) -> None:
        """Have firewalld remember that exactly these rules of ours stand in a zone."""
        config = self.at(PATH + "/config", ".config")
        if zone_name not in self.call(config.getZoneNames):
            raise RuntimeError("zone %s is not there any more; somebody removed it meanwhile" % zone_name)
        zone = self.at(self.call(config.getZoneByName, zone_name), ".config.zone")
        there = self.call(zone.getSettings2).get("rules_str", [])
        wanted = [rule for rule in there if not is_ours(rule)] + list(rules)
        if sorted(wanted) != sorted(there):
            self.call(zone.update2, self.settings(rules_str=self.strings(wanted)))


def _plain(value: t.Any) -> t.Any:
    """A value of D-Bus in Python's own types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):  # D-Bus has its own truth
        return bool(value) if type(value).__name__ == "Boolean" else int(value)
    return value


# Files


def _write(path: str, text: t.Optional[str]) -> None:
    if text is None:
        if os.path.lexists(path):
            os.unlink(path)
        return
    if read_text(path) == text:
        return
    temporary = os.path.join(os.path.dirname(path), ".autoprov-%d" % os.getpid())
    mode = os.stat(path).st_mode & 0o7777 if os.path.exists(path) else 0o644
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text.encode("utf-8", "surrogateescape"))
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(temporary, path)
    handle = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Kept:
    """A file's place, and that of the copy firewalld leaves beside it when it writes: as they were."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.before = read_text(path)
        self.old = read_text(path + ".old")

    def settle(self, text: t.Optional[str]) -> None:
        """Have this text in the file, and no copy that was not there before."""
        _write(self.path, text)
        _write(self.path + ".old", self.old)


def _lasting(wanted: Json, firewalld: t.Optional[Firewalld]) -> t.List[str]:
    """Make it last. Definitions are there before a zone names them, and go after."""
    faults = []
    services, zones = wanted.get("services") or [], wanted.get("zones") or []
    for item in [entry for entry in services if entry["to"] is not None]:
        faults += _attempt(_service, item, firewalld)
    for item in zones:
        faults += _attempt(_zone, item, firewalld)
    for item in [entry for entry in services if entry["to"] is None]:
        faults += _attempt(_service, item, firewalld)
    return faults


def _attempt(do: t.Callable[[Json, t.Optional[Firewalld]], None], item: Json, firewalld: t.Any) -> t.List[str]:
    try:
        do(item, firewalld)
    except (OSError, RuntimeError) as exc:
        return ["%s: %s" % (item["path"], exc)]
    return []


def _service(item: Json, firewalld: t.Optional[Firewalld]) -> None:
    kept = _Kept(item["path"])
    if firewalld is not None:
        if item["to"] is None:
            firewalld.forget(item["name"])
        else:
            firewalld.define(item)
    kept.settle(item["to"])


def _zone(item: Json, firewalld: t.Optional[Firewalld]) -> None:
    kept = _Kept(item["path"])
    text = item["to"]
    if kept.before not in (item["from"], item["to"]):
        # Somebody has changed the file since it was read. What is his stays.
        if kept.before is None:
            origin = read_text(item["origin"])
            text = None if origin is None else put_in(made_here(origin, item["origin"]), item["blocks"])
        else:
            text = put_in(kept.before, item["blocks"])
        if text is not None and not item["blocks"]:
            text = unmade(text)
    if firewalld is not None:
        firewalld.remember(item["zone"], item["rules"])
    kept.settle(text)


def exchange(wanted: Json) -> t.List[str]:
    """Do what is wanted. Returns the faults."""
    try:
        firewalld = Firewalld()  # type: t.Optional[Firewalld]
    except Gone:
        firewalld = None  # then nothing runs, and files are all there is
    faults = []
    if firewalld is not None:
        for zone, rules in sorted((wanted.get("rules") or {}).items()):
            faults += firewalld.exchange_rules(zone, rules.get("add") or [], rules.get("remove") or [])
    return faults + _lasting(wanted, firewalld)


def main() -> int:
    """Do what standard input says. Returns 0, 3 when firewalld does not run, or 1."""
    wanted = json.load(sys.stdin)
    try:
        if wanted.get("read"):
            json.dump(Firewalld().state(), sys.stdout)
            return 0
        faults = exchange(wanted)
    except Gone as exc:
        sys.stderr.write("%s\n" % exc)
        return 3
    except (ImportError, OSError, RuntimeError) as exc:
        faults = [str(exc)]
    sys.stderr.write("".join("%s\n" % fault for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
