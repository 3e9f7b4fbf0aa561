"""Runs on a lab host: one session's part of a deploy, without SSH and without a real venv.

argv: the agent's zip, then one JSON object: {what, release, mode, lease, verdict, port}. Prints
each message as JSON; with verdict "" it leaves after Healthy, as a controller does that is cut off.
With what "renew" it lets the lease of what is open end so many seconds from now; "status" asks it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

sys.path.insert(0, "/root/lib")

from shipit.agent.host.host import RealHost
from shipit.agent.protocol.codec import to_json
from shipit.agent.protocol.manifest import Artifact, Check, Gate, Manifest, Rendered, Unit
from shipit.agent.protocol.messages import Activate, Attempt, Healthy
from shipit.agent.records import releases
from shipit.agent.records.redactor import Redactor
from shipit.agent.server import status
from shipit.agent.system import files
from shipit.agent.system.paths import Paths
from shipit.agent.transaction import client, recovery
from shipit.agent.transaction.effects.context import EffectContext
from shipit.agent.transaction.store import Store

APP = """\
#!/usr/bin/python3 -u
import http.server, os, socket, sys
release, mode = {release!r}, {mode!r}
print("this is", release)
if mode == "crash":
    sys.exit("cannot go on: no database")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if mode == "sick" else 200)
        self.end_headers()
        self.wfile.write(('{{"release": "%s"}}' % release).encode())
server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
"""
SOCKET = "[Socket]\nListenStream={port}\n[Install]\nWantedBy=sockets.target\n"
SERVICE = """\
[Unit]
StartLimitBurst=3
[Service]
Type=exec
ExecStart={top}/venv/bin/app
Restart=on-failure
RestartSec=100ms
[Install]
WantedBy=multi-user.target
"""
UNITS = (
    Unit("app-web.socket", "web", start=True, watched=False, stop_timeout=5.0),
    Unit("app-web.service", "web", start=True, watched=True, stop_timeout=5.0),
)
TOOL = Artifact("uv", "1", "uv-1-py3-none-any.whl", "a" * 64, 1)


def put(paths: Paths, request: dict[str, Any]) -> None:
    release = paths.release(request["release"])
    wheel = release.venv + "/lib/python3.11/site-packages/uv-1.dist-info"
    for directory in (release.units, release.files, release.venv + "/bin", wheel):
        files.make_directory(directory)
    source = APP.format(release=request["release"], mode=request.get("mode", ""))
    files.write(release.venv + "/bin/app", source.encode(), 0o755)
    files.write(wheel + "/RECORD", b"")
    files.write(release.venv + "/pyvenv.cfg", b"home = /usr/bin\nversion = 3.11.2\n")
    files.point(release.python, sys.executable)
    texts = {
        "units/app-web.socket": SOCKET.format(port=request.get("port", 8000)),
        "units/app-web.service": SERVICE.format(top=release.top),
    }
    for name, text in texts.items():
        files.write(release.text(name), text.encode())
    rendered = tuple(Rendered(n, 0o644, releases.digest(text)) for n, text in texts.items())
    url = f"http://127.0.0.1:{request.get('port', 8000)}/healthz"
    check = Check.of("http", url, json={"release": request["release"]})
    gate = Gate((check,), 0.25, 15.0 if request.get("mode") == "sick" else 60.0, 0.2)
    manifest = Manifest(
        id=request["release"], app="app", version="1", root=paths.root, user="root",
        interpreter=sys.executable, installer="uv", installer_wheel=TOOL, app_wheel=TOOL, wheels=(),
        requirements="", bundle="", units=UNITS, texts=rendered, env=(),
        gate=gate, smoke=(), keep_releases=2, created="", created_by="",
    )  # fmt: skip
    files.write(release.manifest, json.dumps(to_json(manifest)).encode())


def say(raw: object) -> None:
    sys.stdout.write(json.dumps(raw) + "\n")
    sys.stdout.flush()


class Putting:
    """Staging as far as this session needs it."""

    def __init__(self, paths: Paths, request: dict[str, Any]) -> None:
        self.paths, self.request = paths, request

    def emit(self, _message: object) -> None:
        """Have nobody to emit it to."""

    def receive(self) -> None:
        """Have received everything before."""

    def build(self) -> None:
        put(self.paths, self.request)


def main() -> None:
    paths, host, request = Paths("app", "/opt/app"), RealHost(), json.loads(sys.argv[2])
    store = Store(paths, host)
    began = time.monotonic()
    recovered = recovery.recover(store)
    say({"recovered": recovered, "stuck": store.stuck()})
    if not request:
        return
    if request["what"] == "status":
        say(to_json(status.gather(store, verify=True)))
        return
    if request["what"] == "renew":
        open_ = client.attached(store)
        assert open_ is not None
        client.renew(store, open_.holder.attempt.txn, request["lease"])
        return
    attempt = Attempt(
        f"{time.time_ns():x}", request["what"], "dev@laptop", 1, "2026-01-01T00:00:00Z"
    )
    with store.session(attempt):
        if request["what"] == "deploy":
            opened = client.begin(store, attempt, request["release"], fresh=True)
            staging, redacted = Putting(paths, request), Redactor(paths)
            client.stage(EffectContext(store, lambda _: None, redacted, staging), opened)
        ask = Activate(attempt, request["release"], request.get("lease", 600.0))
        client.launch(store, ask, agent_zip=sys.argv[1], python=sys.executable)
        for message in client.follow(store, timeout=120.0):
            raw = {"kind": type(message).__name__, "at": time.monotonic() - began}
            say({**raw, **to_json(message)})
            if isinstance(message, Healthy):
                if not request.get("verdict", "commit"):
                    return
                client.settle(store, attempt.txn, request.get("verdict", "commit"))


main()
