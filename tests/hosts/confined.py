"""Runs on a lab host: the smoke command or a command check of a release, as the agent runs them.

REQUEST holds a JSON object: {as: smoke|check, words, env, timeout}. Prints what came of it as JSON,
and the most memory that this process needed.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, "/root/lib")

from shipit.agent.health import expected, gate
from shipit.agent.host.host import RealHost
from shipit.agent.protocol.manifest import Artifact, Check, EnvDigest, Gate, Manifest
from shipit.agent.protocol.messages import Attempt, Stage
from shipit.agent.staging import stage
from shipit.agent.system import files
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths

REQUEST = "/root/request.json"
OOM_SCORE = "300"  # the driver's is -900, which not every lab grants
TOOL = Artifact("uv", "1", "uv-1-py3-none-any.whl", "a" * 64, 1)
PATHS = Paths("app", "/opt/app")
MANIFEST = Manifest(
    id="r1", app="app", version="1", root=PATHS.root, user="app",
    interpreter="python3", installer="uv", installer_wheel=TOOL, app_wheel=TOOL, wheels=(),
    requirements="", bundle="", units=(), texts=(), env=(EnvDigest("web", (), "", ""),),
    gate=Gate((), 0.25, 15.0, 0.2), smoke=(), keep_releases=2, created="", created_by="",
)  # fmt: skip


def smoke(request: dict) -> dict:  # type: ignore[type-arg]  # of an old Python
    asked = replace(MANIFEST, smoke=tuple(request["words"]))
    attempt = Attempt("t", "deploy", "dev@laptop", 1, "2026-01-01T00:00:00Z")
    stage.SMOKE_TIMEOUT = request["timeout"]
    try:
        stage.smoke(PATHS, RealHost(), Stage(attempt, asked, {}, {"web": request["env"]}))
    except Refused as refused:
        return {"wrong": refused.failure.what, "output": refused.failure.evidence}
    return {"wrong": "", "output": ""}


def check(request: dict) -> dict:  # type: ignore[type-arg]  # of an old Python
    asked = Check.of("command", request["words"])
    answer = gate.ask(RealHost(), gate.Context(PATHS, MANIFEST, 0.0, {}), asked, request["timeout"])
    return {"wrong": expected.judge(asked, answer), "output": answer.body.decode()}


def main() -> None:
    request = json.loads(Path(REQUEST).read_text())
    release = PATHS.release(MANIFEST.id)
    for directory in (release.files, release.venv + "/bin"):
        files.make_directory(directory)
    files.make_directory(release.env, 0o700)
    files.write(release.env_file("web"), request["env"].encode(), 0o600)
    Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    ended = {"smoke": smoke, "check": check}[request["as"]](request)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({**ended, "peak": peak}))


main()
