# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PRIVATE to this collection: may change at any time.

"""What the module port_probe does: ask, and have traced what is not open. Each part may be done on another host.

A trace has to be on before the packet is sent. Where another host sends it, the traces are processes of their own,
which write down what they saw.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
import typing as t
from dataclasses import asdict

from . import probe
from .errors import FirewallError
from .probe import CLOSED, FILTERED, OPEN, SILENT, Answer, Question
from .trace import Packet, Verdict, Watch

_FOLDER = "/run/autoprov-firewall-probe"
_READY = 10.0  # seconds until a trace is on
_LONGEST = 60.0  # seconds that a trace waits for its packet


def run(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """Do one step, or all of them; the module's result. Raises FirewallError."""
    step = params["step"]
    asked = probe.questions(params["address"], params["profiles"], params["ports"])
    if step == "ask":
        return {"ports": [said(item) for item in _ask(asked, params)]}
    if step == "watch":
        return {"token": watch([_packet(question, params["source"]) for question in asked])}
    if step == "verdict":
        return {"ports": [asdict(item) for item in verdicts(params["token"] or "", len(asked), params["timeout"])]}
    if params["from_host"]:
        raise FirewallError("from_host needs the action plugin; call it as autoprov.appliance.port_probe")
    if params["namespace"] is None and probe.is_local(params["address"]):
        raise FirewallError(
            "%s is an address of this host: what it gets from itself passes no firewall; say from_host or namespace"
            % params["address"]
        )
    answers = _ask(asked, params)
    if params["explain"] and params["namespace"] is not None:
        unsure = [item for item in answers if item.state != OPEN]
        token = watch([_packet(item.question, params["source"]) for item in unsure]) if unsure else ""
        _ask([item.question for item in unsure], params)
        found = dict(zip(map(id, unsure), verdicts(token, len(unsure), params["timeout"])))  # noqa: B905
        ports = [said(item, found.get(id(item))) for item in answers]
    else:
        ports = [said(item) for item in answers]
    expect(params["expect"], ports)
    return {"ports": ports}


def said(answer: Answer, verdict: t.Optional[Verdict] = None) -> t.Dict[str, t.Any]:
    """An answer, and what a trace tells about it, as the module's result has it."""
    result: t.Dict[str, t.Any] = {
        "port": str(answer.question),
        "address": answer.question.address,
        "state": answer.state,
        "how": answer.how,
        "why": None,
    }
    return judged(result, None if verdict is None else asdict(verdict))


def judged(port: t.Dict[str, t.Any], verdict: t.Optional[t.Mapping[str, t.Any]]) -> t.Dict[str, t.Any]:
    """A port of the result, with what a trace found."""
    if verdict is None:
        return port
    found = Verdict(**verdict)
    state = port["state"]
    if found.accepted:
        # TCP that is let in and not answered is lost on its way back, or nobody takes it from the queue.
        state = OPEN if state == SILENT else state
    elif found.accepted is False:
        state = FILTERED
    names = ("table", "chain", "rule", "policy")
    return dict(port, state=state, why=str(found), **{name: verdict[name] for name in names})


def expect(wanted: t.Optional[str], ports: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Raise FirewallError, with every port that is not as it should be."""
    allowed = (OPEN, CLOSED) if wanted == "reachable" else (wanted,)
    wrong = [item for item in ports if wanted is not None and item["state"] not in allowed]
    if wrong:
        raise FirewallError(
            *(
                "%s of %s is %s and not %s (%s)"
                % (item["port"], item["address"], item["state"], wanted, item["why"] or item["how"])
                for item in wrong
            ),
            details={"ports": list(ports)},
        )


def watch(packets: t.Sequence[Packet]) -> str:
    """Have each packet traced by a process of its own; returns the name of the watch. Raises FirewallError."""
    token = secrets.token_hex(8)
    folder = os.path.join(_FOLDER, token)
    os.makedirs(folder, mode=0o700)
    for index, packet in enumerate(packets):
        _fork(packet, os.path.join(folder, str(index)))
    end = time.monotonic() + _READY
    waiting = [os.path.join(folder, str(index)) for index in range(len(packets))]
    while waiting and time.monotonic() < end:
        waiting = [path for path in waiting if not os.path.exists(path + ".on")]
        time.sleep(0.02)
    faults = [item for item in _read_all(folder, len(packets)) if "fault" in item]
    if faults or waiting:
        shutil.rmtree(folder, ignore_errors=True)
        raise FirewallError(*dict.fromkeys(item["fault"] for item in faults) or ["packets cannot be traced in time"])
    return token


def verdicts(token: str, count: int, seconds: float) -> t.List[Verdict]:
    """What the traces saw, waiting up to `seconds` for them."""
    if not token:
        return []
    folder = os.path.join(_FOLDER, os.path.basename(token))
    end = time.monotonic() + seconds
    while time.monotonic() < end and not all(_read_all(folder, count)):
        time.sleep(0.02)
    with open(os.path.join(folder, "end"), "w", encoding="ascii"):
        pass
    end = time.monotonic() + _READY  # those that saw nothing say so now
    while time.monotonic() < end and not all(_read_all(folder, count)):
        time.sleep(0.02)
    found = _read_all(folder, count)
    shutil.rmtree(folder, ignore_errors=True)
    return [Verdict(**item) if item else Verdict(None, reason="the trace has ended early") for item in found]


def _ask(asked: t.Sequence[Question], params: t.Mapping[str, t.Any]) -> t.List[Answer]:
    return probe.ask(asked, params["timeout"], params["namespace"], params["source"])


def _packet(question: Question, source: t.Optional[str]) -> Packet:
    return Packet(question.protocol, question.port, source=source, destination=question.address)


def _read_all(folder: str, count: int) -> t.List[t.Dict[str, t.Any]]:
    found: t.List[t.Dict[str, t.Any]] = []
    for index in range(count):
        item: t.Dict[str, t.Any] = {}
        with contextlib.suppress(OSError, ValueError), open(os.path.join(folder, str(index)), encoding="utf-8") as own:
            item = json.load(own)
        found.append(item)
    return found


def _fork(packet: Packet, path: str) -> None:
    """Trace a packet in a process that outlives this one, and write down what became of it."""
    if os.fork() != 0:
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)  # whoever waits for the module's output is not to wait for this
        _trace(packet, path)
    finally:
        os._exit(0)


def _trace(packet: Packet, path: str) -> None:
    result: t.Dict[str, t.Any] = {}
    try:
        with Watch(packet) as own:
            _write(path + ".on", {})
            end = time.monotonic() + _LONGEST
            over = False
            verdict = own.verdict(0.2)
            while verdict.accepted is None and not over and time.monotonic() < end:
                over = os.path.exists(os.path.join(os.path.dirname(path), "end"))
                verdict = own.verdict(0.2)
            result = asdict(verdict)
    except FirewallError as exc:
        result = {"fault": "; ".join(exc.faults)}
        _write(path + ".on", {})
    _write(path, result)


def _write(path: str, content: t.Mapping[str, t.Any]) -> None:
    with contextlib.suppress(OSError):  # the folder is gone: nobody waits any more
        with open(path + ".new", "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        os.rename(path + ".new", path)
