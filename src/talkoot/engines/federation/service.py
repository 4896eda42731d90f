"""A party as a service: a unit of systemd and a Containerfile, for the folder that it has."""

from __future__ import annotations

import json
from pathlib import Path

from talkoot.engines.federation.identity.names import Role

UNIT = """\
[Unit]
Description=Talkoot {role} {name}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
WorkingDirectory={directory}
User={user}
UMask=0077
Restart=always
RestartSec=5
# 2: the settings or the certificate are refused, which another start does not change.
RestartPreventExitStatus=2
NoNewPrivileges=true
PrivateTmp=true
PrivateDevices=true
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelTunables=true
ProtectControlGroups=true
RestrictSUIDSGID=true
ReadWritePaths={folder}

[Install]
WantedBy=multi-user.target
"""
CONTAINERFILE = """\
# The folder of {role} {name} is mounted at /party: keys never become part of an image.
FROM docker.io/library/python:{python}-slim
RUN pip install --no-cache-dir 'talkoot[{extras}]=={version}'
RUN useradd --create-home --uid 1000 talkoot
USER talkoot
VOLUME /party
{listens}ENTRYPOINT {entrypoint}
"""
COMMANDS: dict[Role, tuple[str, ...]] = {"coordinator": ("coordinator",), "site": ("site", "run")}


def unit(role: Role, name: str, folder: Path, *, user: str, program: str) -> str:
    """A unit of systemd.

    Args:
        role: of the party; a coordinator or a site.
        name: of the party.
        folder: where its certificate, settings and records are.
        user: who owns the folder.
        program: the path of talkoot.
    """
    words = (program, *COMMANDS[role], str(folder))
    return UNIT.format(
        role=role,
        name=name,
        command=" ".join(map(_quoted, words)),
        directory=str(folder).replace("%", "%%"),
        folder=_quoted(str(folder)),
        user=user,
    )


def containerfile(role: Role, name: str, *, version: str, python: str) -> str:
    """A Containerfile."""
    words = ("talkoot", *COMMANDS[role], "/party")
    return CONTAINERFILE.format(
        role=role,
        name=name,
        version=version,
        python=python,
        extras="federation" if role == "coordinator" else "federation,sql",
        listens="EXPOSE 8443\n" if role == "coordinator" else "",
        entrypoint=json.dumps(words),
    )


def _quoted(word: str) -> str:
    """A word as systemd reads it."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"'
