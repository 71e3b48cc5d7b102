"""Three replicas of the real program behind a real nginx, with a real Redis: `replicas.py SERVER`.

Shows that deploy/nginx.conf is understood and does what it says, that of callers with one plan one wins, and that under
load, with a replica killed and Redis started anew, no minute sees more writes than the company may send, and no write is
doubled. The judge is the simulator's own log. Takes some four minutes, most of them waiting for the minute to pass.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from simulator import free_port

SERVER = sys.argv[1]
PROJECT = pathlib.Path(__file__).resolve().parents[2]
MODERN = "2026-07-28"
WRITES = 12
KEY = "q1Zt0s0m3Kx9vYy2n8fQhB4cR7uJ5wLdGiEoTpAbCdE="
running = []


def start(command, **options):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    running.append(process)
    return process


def until(what, is_so, patience=60):
    end = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def post(url, message, headers):
    own = {"host": "mcp.example.com", "content-type": "application/json", "accept": "application/json, text/event-stream", **headers}
    request = urllib.request.Request(url, json.dumps(message).encode(), own)
    with urllib.request.urlopen(request, timeout=120) as answer:
        text = answer.read().decode()
        data = [line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
        return json.loads(data[-1] if data else text or "null"), answer.headers


def call(url, tool, arguments):
    """A call of 2026-07-28: whether it went well, and its structured content."""
    meta = {"protocolVersion": MODERN, "clientCapabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    params = {"name": tool, "arguments": arguments, "_meta": {f"io.modelcontextprotocol/{k}": v for k, v in meta.items()}}
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
    answer, _ = post(url, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers)
    return not answer["result"].get("isError"), answer["result"]["structuredContent"]


def simulator(folder):
    out = open(folder / "simulator.env", "w+")
    start([SERVER, "simulator", "--listen", "127.0.0.1:0"], stdout=out, stderr=subprocess.DEVNULL)
    pairs = lambda: dict(re.findall(r"^(?:export )?(IRONCLAD_\w+)=['\"]?([^'\"\n]*)", (folder / "simulator.env").read_text(), re.M))
    until("the simulator", lambda: "IRONCLAD_AS_USER_EMAIL" in pairs())
    return pairs()


def redis(port):
    process = start(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
                    stdout=subprocess.DEVNULL)
    until("Redis", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
    return process


def replica(folder, number, port, environment):
    home = folder / f"replica{number}"
    home.mkdir()
    environment = {**environment, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    process = start([SERVER, "http", "--listen", f"127.0.0.1:{port}", "--enable-writes", "--launch-tools", "off",
                     "--allowed-host", "mcp.example.com", "--replicas", "3", "--rate-limit-wait", "5",
                     "--rate-limits", f"workflows-write={WRITES}"],
                    env=environment, stderr=open(home / "stderr", "w"))
    until("a replica", lambda: get(f"http://127.0.0.1:{port}/healthz")[0] == 200)
    return process


def end(process):
    """Asks first: nginx that is killed leaves its workers behind, with our output open."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def nginx(folder, port, ports):
    """The shipped configuration, with the test's ports and without its certificate."""
    conf = (PROJECT / "deploy/nginx.conf").read_text()
    for place, real in zip(("8001", "8002", "8003"), ports):
        conf = conf.replace(f"127.0.0.1:{place}", f"127.0.0.1:{real}")
    conf = conf.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    conf = re.sub(r"^ *ssl_certificate.*\n", "", conf, flags=re.M)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = (f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nevents {{}}\n"
             f"http {{\naccess_log off;\n{temporary}{conf}}}\n")
    (folder / "nginx.conf").write_text(whole)
    command = ["nginx", "-p", str(folder), "-e", f"{folder}/nginx.log", "-c", f"{folder}/nginx.conf"]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    process = start(command, stderr=subprocess.DEVNULL)
    until("nginx", lambda: get(f"http://127.0.0.1:{port}/")[0] == 404)
    return process


def audited(folder, number):
    log = folder / f"replica{number}/state/ironclad-mcp/audit.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def balancing(front, folder):
    for _ in range(30):
        ok, answer = call(front, "list_users", {"limit": 1})
        assert ok, answer
    assert all(audited(folder, number) > 0 for number in range(3)), "a replica was never asked"
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    _, headers = post(front, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, {})
    session = {"mcp-session-id": headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
    post(front, {"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
    for number in range(6):
        params = {"name": "list_users", "arguments": {"limit": 1}}
        answer, _ = post(front, {"jsonrpc": "2.0", "id": number + 2, "method": "tools/call", "params": params}, session)
        assert not answer["result"].get("isError"), answer
    for path in ("/healthz", "/readyz", "/metrics"):
        assert get(front.replace("/mcp", path))[0] == 404, f"{path} is nobody's business"
    print("nginx: modern calls go to every replica, a session stays at one")


def launch(name):
    attributes = {"counterpartyName": name, "effectiveDate": "2026-12-01", "paperSource": "Our paper",
                  "counterpartySigner": "Ada Byron", "counterpartySignerEmail": "ada@acme.example"}
    return {"template_id": "5f0375c4cdc1927c5c4ed001", "attributes": attributes}


def writes(base):
    log = json.loads(get(f"{base}/__simulator/requests")[1])["list"]
    return [one for one in log if one["method"] == "POST" and one["path"].endswith("/workflows")]


def one_plan_one_write(front, base):
    ok, shown = call(front, "launch_workflow", {**launch("One plan"), "dry_run": True})
    assert ok, shown
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        ended = list(pool.map(lambda _: call(front, "launch_workflow", {"plan": shown["plan"]}), range(12)))
    assert sum(ok for ok, _ in ended) == 1 and len(writes(base)) == 1, ended
    print("one plan, twelve callers at once: one write")


class Load:
    """Callers that each launch contract after contract by a plan, and bring the plan again wherever a call was cut."""

    def __init__(self, fronts):
        self.stop, self.fronts, self.done, self.lock = threading.Event(), fronts, [], threading.Lock()
        self.codes = collections.Counter()
        self.callers = [threading.Thread(target=self.caller, args=(number,)) for number in range(9)]
        for caller in self.callers:
            caller.start()

    def caller(self, number):
        serial = 0
        while not self.stop.is_set():
            serial += 1
            name = f"Caller {number} contract {serial}"
            plan = None
            for attempt in range(1000):
                front = self.fronts[(number + attempt) % len(self.fronts)]
                if self.stop.is_set():
                    return
                try:
                    wanted = {"plan": plan} if plan else {**launch(name), "dry_run": True}
                    ok, answer = call(front, "launch_workflow", wanted)
                except OSError:
                    self.codes["cut"] += 1
                    time.sleep(0.1)
                    continue
                if ok and plan:
                    with self.lock:
                        self.done.append(name)
                    break
                if ok:
                    plan = answer["plan"]
                    continue
                code = answer["error"]["code"]
                self.codes[code] += 1
                if code == "invalid_arguments":
                    # The plan is used up or forgotten: what became of it is not known here, and it is not sent again.
                    break
                time.sleep(0.2)

    def end(self):
        self.stop.set()
        for caller in self.callers:
            caller.join()


def under_load(fronts, base, replicas, store, port):
    load = Load(fronts)
    begin = len(writes(base))
    until("a budget of writes", lambda: len(writes(base)) >= begin + WRITES, 150)
    os.kill(replicas[1].pid, signal.SIGKILL)
    store.kill()
    store.wait()
    ready = fronts[0].replace("/mcp", "/readyz")
    until("/readyz tells of it", lambda: get(ready)[0] == 503)
    assert "Redis cannot be reached" in get(ready)[1], get(ready)
    assert call(fronts[0], "list_workflows", {"limit": 1})[0], "reads go on"
    ok, refused = call(fronts[0], "launch_workflow", launch("Without Redis"))
    assert not ok and refused["error"]["code"] == "audit_unavailable", refused
    before = len(writes(base))
    redis(port)
    until("/readyz heals", lambda: get(ready)[0] == 200)
    until("another budget of writes", lambda: len(writes(base)) >= before + WRITES, 200)
    load.end()
    print("the callers met", dict(load.codes), "and launched", len(load.done))


def judge(base):
    log = writes(base)
    times = sorted(at(one) for one in log)
    most = max(sum(start <= time < start + 60 for time in times) for start in times)
    assert most <= WRITES, f"{most} writes in a minute, and {WRITES} are allowed"
    names = collections.Counter(json.dumps(one["body"]["attributes"]["counterpartyName"]) for one in log)
    assert max(names.values()) == 1, names.most_common(3)
    print(f"{len(log)} writes, at most {most} in any minute, none twice")


def at(one):
    text = one["time"]
    if isinstance(text, (int, float)):
        return float(text)
    import datetime
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main(folder):
    known = simulator(folder)
    base = known["IRONCLAD_BASE_URL"]
    port, front_port, ports = free_port(), free_port(), [free_port() for _ in range(3)]
    store = redis(port)
    began = time.monotonic()
    environment = {**known, "PATH": os.environ["PATH"], "IRONCLAD_STATE_KEY": KEY,
                   "IRONCLAD_REDIS": f"redis://127.0.0.1:{port}"}
    replicas = [replica(folder, number, port, environment) for number, port in enumerate(ports)]
    nginx(folder, front_port, ports)
    front = f"http://127.0.0.1:{front_port}/mcp"
    balancing(front, folder)
    # A new Redis gives out no writes in its first minute.
    until("the first minute of Redis", lambda: time.monotonic() > began + 66, 90)
    one_plan_one_write(front, base)
    under_load([f"http://127.0.0.1:{port}/mcp" for port in ports], base, replicas, store, port)
    assert call(front, "list_users", {"limit": 1})[0], "nginx passes the dead replica over"
    judge(base)


with tempfile.TemporaryDirectory() as name:
    try:
        main(pathlib.Path(name))
    finally:
        for process in running:
            end(process)
