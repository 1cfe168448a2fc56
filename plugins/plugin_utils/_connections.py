# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections besides the one Ansible opened for a task.

PRIVATE to the collection autoprov.appliance: may change at any time without notice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail

# The first value that ssh is told for an option is the one it takes. ServerAlive*: a connection that dies ends.
_SSH_NEW = "-o ControlMaster=no -o ControlPath=none -o ServerAliveInterval=5 -o ServerAliveCountMax=2"


@contextlib.contextmanager
def new_connection(action: Any) -> Iterator[None]:
    """Have an action talk to its host over a second, new connection of the same plugin, with the same options."""
    first = action._connection
    options = first.get_options()
    first.close()  # paramiko and libssh would hand out what is open already
    second = _load(action, first._load_name, action._play_context)
    second.set_options(direct=options)
    second._shell = first._shell
    second.set_become_plugin(first.become)
    _unshared(second)
    action._connection = second
    try:
        yield
    finally:
        action._connection = first
        with contextlib.suppress(Exception):  # a connection that was cut may not even be closed
            second.close()


@contextlib.contextmanager
def connection_to(action: Any, host: str, task_vars: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Have an action talk to another host of the inventory, by that host's variables, which are yielded."""
    hosts = task_vars["hostvars"]
    if host not in hosts:
        raise AnsibleActionFail(f"{host} is no host of the inventory")
    variables = {**dict(hosts[host]), "hostvars": hosts}
    first, first_context = action._connection, action._play_context
    context = first_context.set_task_and_variable_override(
        task=action._task, variables=variables, templar=action._templar
    )
    context.remote_addr = variables.get("ansible_host", host)
    name = variables.get("ansible_connection") or ("local" if host == "localhost" else constants.DEFAULT_TRANSPORT)
    second = _load(action, "ssh" if name == "smart" else name, context)
    defaults = {"remote_addr": context.remote_addr, "inventory_hostname": host}
    known = constants.config.get_plugin_vars("connection", second._load_name)
    own = {key: variables[key] for key in known if key in variables}
    own.setdefault("ansible_host", context.remote_addr)
    second.set_options(task_keys=defaults, var_options=own)
    second._shell.set_options(
        var_options={
            key: variables[key]
            for key in constants.config.get_plugin_vars("shell", second._shell._load_name)
            if key in variables
        }
    )
    second.set_become_plugin(_become(action, variables))
    action._connection, action._play_context = second, context
    try:
        yield variables
    finally:
        if second._shell.tmpdir:
            action._remove_tmp_path(second._shell.tmpdir, force=True)
        action._connection, action._play_context = first, first_context
        second.close()


def _load(action: Any, name: str, context: Any) -> Any:
    loaded = action._shared_loader_obj.connection_loader.get_with_context(
        name, context, new_stdin=None, task_uuid=action._task._uuid, ansible_playbook_pid=str(os.getppid())
    )
    if loaded.object is None:
        raise AnsibleActionFail(f"the connection plugin {name} was not found")
    return loaded.object


def _unshared(connection: Any) -> None:
    """See that ssh opens a connection of its own, whatever the configuration says about sharing."""
    with contextlib.suppress(KeyError):
        connection.set_option("ssh_args", f"{_SSH_NEW} {connection.get_option('ssh_args') or ''}".strip())


def _become(action: Any, variables: dict[str, Any]) -> Any:
    """The plugin by which to become root there: as that host's variables say, else as the task does."""
    wanted = variables.get("ansible_become", action._task.become)
    if not wanted or str(wanted).lower() in ("false", "no", "0"):
        return None
    method = variables.get("ansible_become_method") or action._task.become_method
    plugin = action._shared_loader_obj.become_loader.get(method)
    known = constants.config.get_plugin_vars("become", plugin._load_name)
    plugin.set_options(
        task_keys=action._task.dump_attrs(), var_options={key: variables[key] for key in known if key in variables}
    )
    return plugin
