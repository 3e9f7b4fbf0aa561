"""Deploy the service with Fabric: python script.py deploy|rollback VERSION."""

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fabric import Config, Connection
from paramiko import RejectPolicy

ORDER = json.loads(Path("order.json").read_text())
ROOT, NAME = ORDER["root"], ORDER["name"]


def sudo(connection, script):
    done = connection.run(
        f"sudo sh -c {quoted(script)}", hide=True, warn=True, in_stream=False
    )
    if done.failed:
        sys.stderr.write(f"{connection.host}: {done.stderr}\n")
    return done.ok


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def put(connection, source, target):
    if sudo_test(connection, f"test -e {target}"):
        return
    name = f"/tmp/{target.replace('/', '-')}"
    connection.put(source, name)
    sudo(connection, f"mv {name} {target} && chown root: {target}")


def sudo_test(connection, script):
    return connection.run(f"sudo {script}", hide=True, warn=True, in_stream=False).ok


def act(host):
    action, version = sys.argv[1:]
    config = Config(runtime_ssh_path=ORDER["ssh_config"])
    connection = Connection(host, config=config)
    connection.client.set_missing_host_key_policy(RejectPolicy)
    connection.client.load_host_keys(str(Path(ORDER["ssh_config"]).parent / "known_hosts"))
    with connection:
        if action == "rollback":
            return sudo(connection, ORDER["steps"]["rollback"])
        wheel, sha256 = ORDER["apps"][version]

        def filled(text):
            return text.replace("@VERSION@", version).replace("@SHA256@", sha256)

        sudo(connection, ORDER["steps"]["setup"])
        put(connection, ORDER["archive"], f"{ROOT}/wheels.tar")
        put(connection, ORDER["lock"], f"{ROOT}/lock.txt")
        put(connection, io.BytesIO(ORDER["health"].encode()), f"{ROOT}/health.py")
        put(connection, wheel, f"{ROOT}/apps/{Path(wheel).name}")
        sudo(connection, ORDER["steps"]["unpack"])
        sudo(connection, filled(ORDER["steps"]["build"]))
        unit = io.BytesIO(filled(ORDER["unit"]).encode())
        put(connection, unit, f"{ROOT}/releases/{version}/{NAME}.service")
        return sudo(connection, filled(ORDER["steps"]["switch"]))


with ThreadPoolExecutor(20) as pool:
    sys.exit(0 if all(pool.map(act, ORDER["hosts"])) else 1)
