# SPDX-FileCopyrightText: 2026 The autoprov authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that connect to the provisioning service."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  api_url:
    description:
      - Where the admin API of the provisioning service answers.
      - V(unix:///run/autoprov/admin.sock) is the socket on the appliance itself. It needs no token; only root and the
        user C(autoprov) may use it, so use it with C(become).
      - From elsewhere, use C(https://host:50082) with O(api_token). Plain C(http) is accepted for the same host only.
    type: str
    default: unix:///run/autoprov/admin.sock
  api_token:
    description:
      - The token, as given to M(autoprov.appliance.api_tokens).
      - Not needed on the Unix socket.
    type: str
  ca_path:
    description:
      - The certificate, or the folder of certificates, of the authority that signed the service's certificate, in PEM.
      - When not given, the authorities that the system trusts are used.
    type: path
  validate_certs:
    description:
      - Whether the service's certificate is verified. With V(false), anyone on the path can read the token and every
        password.
    type: bool
    default: true
  timeout:
    description:
      - How long to wait for the service, in seconds.
    type: int
    default: 60
"""

    # Where modules read the environment of the managed node, and plugins that of the controller.
    MODULE = r"""
options:
  api_url:
    description:
      - When not given, the environment variable E(AUTOPROV_API_URL) of the managed node is used if it is set.
  api_token:
    description:
      - When not given, the environment variable E(AUTOPROV_API_TOKEN) of the managed node is used if it is set.
"""

    PLUGIN = r"""
options:
  api_url:
    env:
      - name: AUTOPROV_API_URL
    vars:
      - name: autoprov_api_url
  api_token:
    env:
      - name: AUTOPROV_API_TOKEN
    vars:
      - name: autoprov_api_token
  ca_path:
    env:
      - name: AUTOPROV_CA_PATH
    vars:
      - name: autoprov_ca_path
  validate_certs:
    vars:
      - name: autoprov_validate_certs
  timeout:
    vars:
      - name: autoprov_timeout
"""

    # An action that runs on the controller alone: there are no configuration sources for the options of a task.
    CONTROLLER = r"""
options:
  api_url:
    description:
      - When not given, the variable C(autoprov_api_url) is used if it is set, else the environment variable
        E(AUTOPROV_API_URL) of the controller.
  api_token:
    description:
      - When not given, the variable C(autoprov_api_token) is used if it is set, else the environment variable
        E(AUTOPROV_API_TOKEN) of the controller.
  ca_path:
    description:
      - When not given, the variable C(autoprov_ca_path) is used if it is set, else the environment variable
        E(AUTOPROV_CA_PATH) of the controller.
  validate_certs:
    description:
      - When not given, the variable C(autoprov_validate_certs) is used if it is set.
  timeout:
    description:
      - When not given, the variable C(autoprov_timeout) is used if it is set.
"""
