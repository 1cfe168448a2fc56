# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""Parts of rules that iptables-nft keeps to itself (``xt``), said in nft's words with the help of iptables-save."""

from __future__ import annotations

import shlex
import typing as t

from .swap import Json

Options = t.Dict[str, t.Tuple[str, bool]]  # option → value, and whether it is negated


def understood(expr: t.Sequence[Json], saved: str) -> t.List[Json]:
    """The parts of a rule, those of iptables translated as far as known. `saved` is its line of iptables-save."""
    options = _options(saved)
    parts: t.List[Json] = []
    for part in expr:
        xt = part.get("xt") if isinstance(part, dict) else None
        if not isinstance(xt, dict):
            parts.append(part)
        elif xt.get("type") == "target":
            parts.append({"reject": None} if xt.get("name") == "REJECT" else part)
        elif xt.get("name") != "comment":
            translate = _MATCHES.get(str(xt.get("name")))
            parts.append((translate(options) if translate else None) or part)
    return parts


def _options(saved: str) -> Options:
    try:
        words = shlex.split(saved)
    except ValueError:
        return {}
    found: Options = {}
    negated = False
    for word, value in zip(words, [*words[1:], ""]):  # noqa: B905 -- Python 3.8 on hosts
        if word.startswith("--"):
            found[word] = (value, negated)
        negated = word == "!"
    return found


def _match(left: Json, values: t.List[t.Any], negated: bool) -> Json:
    return {"match": {"op": "!=" if negated else "==", "left": left, "right": {"set": values}}}


def _states(options: Options) -> t.Optional[Json]:
    value, negated = options.get("--ctstate") or options.get("--state") or ("", False)
    words = value.lower().split(",")
    # Its other options (addresses, status, expiry) narrow what we then do not know.
    others = [name for name in options if name.startswith("--ct") and name != "--ctstate"]
    if not value or others or not set(words) <= {"new", "established", "related", "invalid", "untracked"}:
        return None
    return _match({"ct": {"key": "state"}}, list(words), negated)


def _ports(options: Options) -> t.Optional[Json]:
    value, negated = options.get("--dports") or ("", False)
    if not value:
        return None
    ports: t.List[t.Any] = []
    for text in value.split(","):
        first, _unused, last = text.partition(":")
        if not first.isdigit() or (last and not last.isdigit()):
            return None
        ports.append({"range": [int(first), int(last)]} if last else int(first))
    return _match({"payload": {"protocol": "th", "field": "dport"}}, ports, negated)


def _packet_type(options: Options) -> t.Optional[Json]:
    value, negated = options.get("--pkt-type") or ("", False)
    return _match({"meta": {"key": "pkttype"}}, [value.replace("unicast", "host")], negated) if value else None


def _address_type(options: Options) -> t.Optional[Json]:
    value, negated = options.get("--dst-type") or ("", False)
    if not value or "--src-type" in options:
        return None
    return _match({"fib": {"result": "type", "flags": ["daddr"]}}, value.lower().split(","), negated)


def _address_range(options: Options) -> t.Optional[Json]:
    value, negated = options.get("--src-range") or ("", False)
    if not value or "--dst-range" in options:
        return None
    first, _unused, last = value.partition("-")
    family = "ip6" if ":" in first else "ip"
    return _match({"payload": {"protocol": family, "field": "saddr"}}, [{"range": [first, last or first]}], negated)


_MATCHES: t.Dict[str, t.Callable[[Options], t.Optional[Json]]] = {
    "conntrack": _states,
    "state": _states,
    "multiport": _ports,
    "pkttype": _packet_type,
    "addrtype": _address_type,
    "iprange": _address_range,
}
