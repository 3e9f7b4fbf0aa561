import json, os, shutil, socket, subprocess, sys, time, zipfile

stdin, stdout = sys.stdin.buffer, sys.stdout
order = json.loads(stdin.readline())
root, name, version = order["root"], order["name"], order["version"]
blobs, layer = root + "/blobs", root + "/layers/" + order["layer"]
current, release = root + "/current", root + "/releases/" + version
call = subprocess.check_call


def write(path, text):
    with open(path, "w") as stream:
        stream.write(text)


def receive():
    missing = [each for each in order["files"] if not os.path.exists(blobs + "/" + each)]
    stdout.write(json.dumps(missing) + "\n")
    stdout.flush()
    for each in missing:
        with open(blobs + "/" + each, "wb") as stream:
            stream.write(stdin.read(order["files"][each]))


def install(target, requirements, *options):
    uv = [root + "/uv", "pip", "install", "--quiet", "--offline", "--no-index", "--no-deps"]
    places = ["--find-links", blobs, "--target", target, "--compile-bytecode"]
    call([*uv, *places, *options, *requirements])


def build():
    if not os.path.exists(root + "/uv"):
        wheel = zipfile.ZipFile([blobs + "/" + n for n in order["files"] if n[:3] == "uv-"][0])
        inside = [n for n in wheel.namelist() if n.endswith("scripts/uv")][0]
        open(root + "/uv", "wb").write(wheel.read(inside))
        os.chmod(root + "/uv", 0o755)
    if not os.path.exists(layer):
        write(root + "/lock.txt", order["lock"])
        install(layer, ["-r", root + "/lock.txt"], "--python", "/usr/bin/python3")
    if not os.path.exists(release):
        bin = release + "/venv/bin"
        os.makedirs(bin)
        install(release + "/app", [blobs + "/" + order["app"]], "--python", "/usr/bin/python3")
        write(
            bin + "/uvicorn",
            "#!/usr/bin/python3 -IS\nimport sys\n"
            "sys.path[:0] = [%r, %r]\nfrom uvicorn.main import main\nmain()\n"
            % (release + "/app", layer),
        )
        os.chmod(bin + "/uvicorn", 0o755)
        write(release + "/unit", order["unit"])


def healthy(wanted):
    end = time.monotonic() + order["budget"]
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", order["port"]), 1) as connection:
                connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
                if ('"%s"' % wanted).encode() in answer:
                    return True
        except OSError:
            pass
        time.sleep(0.03)
    return False


def use(target):
    os.symlink(target, current + ".new")
    os.rename(current + ".new", current)
    shutil.copy(current + "/unit", "/etc/systemd/system/%s.service" % name)
    call(["systemctl", "daemon-reload"])
    if not os.path.exists("/etc/systemd/system/multi-user.target.wants/%s.service" % name):
        call(["systemctl", "enable", "--quiet", name])
    call(["systemctl", "restart", name])
    return healthy(target.rpartition("/")[2])


before = os.readlink(current) if os.path.islink(current) else ""
if order["action"] == "rollback":
    stdout.write("[]\n")
    stdout.flush()
    done = use(open(root + "/previous").read())
else:
    if not os.path.exists(blobs):
        os.makedirs(blobs)
        os.makedirs(root + "/releases")
        if subprocess.call(["id", name], stdout=-3, stderr=-3):
            call(["useradd", "--system", "--no-create-home", name])
    receive()
    done = before == release
    if not done:
        build()
        done = use(release)
        if not done:
            use(before)
        elif before:
            write(root + "/previous", before)
stdout.write("ok\n" if done else "failed\n")
