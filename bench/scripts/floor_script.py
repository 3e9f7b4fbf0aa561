"""The floor's controller: python script.py deploy|rollback VERSION."""

import json
import subprocess
import sys
import threading

action, version = sys.argv[1:]
order = json.load(open(f"{version}.json"))
order["action"] = action
agent = open("agent.py", "rb").read()
files = {name: path for name, (path, _) in order["files"].items()}
order["files"] = {name: size for name, (_, size) in order["files"].items()}
header = json.dumps(order).encode() + b"\n"
failed = []


def act(host):
    remote = f"sudo python3 -ISc 'import sys;exec(sys.stdin.buffer.read({len(agent)}))'"
    argv = ["ssh", "-F", order["ssh_config"], host, remote]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(agent + header)
        process.stdin.flush()
        for name in json.loads(process.stdout.readline() or b"[]"):
            process.stdin.write(open(files[name], "rb").read())
        process.stdin.close()
        if process.stdout.read() != b"ok\n":
            failed.append(host)


threads = [threading.Thread(target=act, args=(host,)) for host in order["hosts"]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(bool(failed))
