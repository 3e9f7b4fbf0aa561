"""Deploy the service with pyinfra: pyinfra inventory.py deploy.py --data action=deploy ..."""

import json
from pathlib import Path

from pyinfra import host
from pyinfra.operations import files, server

order = json.loads(Path(f"{host.data.version}.json").read_text())
root, name, scripts = order["root"], order["name"], order["scripts"]
if host.data.action == "rollback":
    server.shell(name="roll back", commands=[scripts["rollback"]], _sudo=True)
else:
    release = f"{root}/releases/{order['version']}"
    server.user(
        name="user", user=name, system=True, create_home=False, home="/nonexistent", _sudo=True
    )
    for folder in ("releases", "apps"):
        files.directory(name=folder, path=f"{root}/{folder}", _sudo=True)
    sent = {
        order["archive"]: f"{root}/wheels.tar",
        order["lock"]: f"{root}/lock.txt",
        "health.py": f"{root}/health.py",
        order["wheel"]: f"{root}/apps/{Path(order['wheel']).name}",
    }
    for source, target in sent.items():
        files.put(name=target, src=source, dest=target, _sudo=True)
    server.shell(name="unpack", commands=[scripts["unpack"]], _sudo=True)
    server.shell(name="build", commands=[scripts["build"]], _sudo=True)
    files.put(
        name="unit",
        src=f"{order['version']}.service",
        dest=f"{release}/{name}.service",
        create_remote_dir=True,
        _sudo=True,
    )
    server.shell(name="switch", commands=[scripts["switch"]], _sudo=True)
