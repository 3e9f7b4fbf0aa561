"""What peers run on a host, as a good user writes it; run by each with the tool's own means.

A release is built with uv from the wheels alone, with bytecode, beside the running one. `current`
is switched, the service restarted, and asked for its version for five seconds.
"""

from __future__ import annotations

from bench.service import NAME, PORT

ROOT = f"/srv/{NAME}"
BUDGET = 5.0  # seconds until a release has to be healthy
SETUP = f"""\
set -eu
id {NAME} >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin {NAME}
mkdir -p {ROOT}/releases {ROOT}/apps
"""
UNPACK = f"""\
set -eu
cd {ROOT}
[ -e wheels ] || tar -xf wheels.tar
[ -x uv ] || python3 -c '
import glob, os, zipfile
with zipfile.ZipFile(glob.glob("wheels/uv-*.whl")[0]) as wheel:
    name = [n for n in wheel.namelist() if n.endswith("scripts/uv")][0]
    open("uv", "wb").write(wheel.read(name))
os.chmod("uv", 0o755)'
"""
BUILD = f"""\
set -eu
release={ROOT}/releases/@VERSION@
[ -e $release/.built ] || (
  rm -rf $release
  mkdir $release
  cd {ROOT}
  ./uv venv --quiet --offline --python /usr/bin/python3 $release/venv
  cat lock.txt >$release/requirements.txt
  echo "{NAME}==@VERSION@ --hash=sha256:@SHA256@" >>$release/requirements.txt
  ./uv pip sync --quiet --offline --no-index --compile-bytecode --python $release/venv/bin/python \\
    --find-links wheels --find-links apps --require-hashes $release/requirements.txt
  touch $release/.built
)
"""
HEALTH = f"""\
import json, sys, time, urllib.request
end = time.monotonic() + {BUDGET}
while time.monotonic() < end:
    try:
        with urllib.request.urlopen("http://127.0.0.1:{PORT}/healthz", timeout=1) as answer:
            if json.load(answer)["version"] == sys.argv[1]:
                sys.exit(0)
    except (OSError, ValueError):
        pass
    time.sleep(0.1)
sys.exit(1)
"""
SWITCH = f"""\
set -eu
cd {ROOT}
[ "$(readlink current || true)" != releases/@VERSION@ ] || exit 0
before=$(readlink current || true)
use() {{
  ln -sfn $1 current
  cp current/{NAME}.service /etc/systemd/system/{NAME}.service
  systemctl daemon-reload
  systemctl enable --quiet {NAME}
  systemctl restart {NAME}
  python3 health.py ${{1#releases/}}
}}
use releases/@VERSION@ || {{
  [ -z "$before" ] || use "$before"
  exit 1
}}
echo "$before" >previous
"""
ROLLBACK = SWITCH.replace("@VERSION@", "$(basename $(cat previous))")
