"""Speaks to a running simulator without MCP: its control endpoints, and Ironclad's API as a plain client sees it.

The simulator is told by the environment that `ironclad-mcp simulator` prints.
"""

import json
import os
import socket
import subprocess
import urllib.request

LARGE_TITLE = "Large Exhibit Review"


def base_url() -> str:
    return os.environ["IRONCLAD_BASE_URL"]


def _send(request: urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=30) as reply:
        return reply.read()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(program: str, *flags: str) -> subprocess.Popen:
    """Starts a simulator without rate limits, and takes over the environment that it prints."""
    command = [program, "simulator", "--no-rate-limits", "--listen", "127.0.0.1:0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("export "):
            name, value = line.removeprefix("export ").strip().split("=", 1)
            os.environ[name] = value
        if "IRONCLAD_AS_USER_EMAIL" in line:
            return process
    raise SystemExit("the simulator did not start")


def control(method: str, path: str, body: str | dict | None = None) -> dict:
    """One of the endpoints that `GET /__simulator/` lists."""
    text = json.dumps(body) if isinstance(body, dict) else body
    request = urllib.request.Request(f"{base_url()}/__simulator/{path}", method=method, data=None if text is None else text.encode())
    if isinstance(body, dict):
        request.add_header("Content-Type", "application/json")
    return json.loads(_send(request) or b"{}")


def _bearer_token(scope: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["IRONCLAD_CLIENT_ID"],
        "client_secret": os.environ["IRONCLAD_CLIENT_SECRET"],
        "scope": scope,
    }
    request = urllib.request.Request(f"{base_url()}/oauth/token", data=json.dumps(form).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    return json.loads(_send(request))["access_token"]


def api(path: str, scope: str) -> bytes:
    """What Ironclad itself answers to a GET, byte for byte."""
    request = urllib.request.Request(f"{base_url()}/public/api/v1{path}")
    request.add_header("Authorization", f"Bearer {_bearer_token(scope)}")
    request.add_header("x-as-user-email", os.environ["IRONCLAD_AS_USER_EMAIL"])
    return _send(request)


class LargeDocument:
    """The 5 MB exhibit that every simulator has: where it is, and its bytes."""

    def __init__(self) -> None:
        workflows = control("GET", "state")["workflows"]
        self.workflow_id = next(one["id"] for one in workflows if one["title"] == LARGE_TITLE)
        workflow = json.loads(api(f"/workflows/{self.workflow_id}", "public.workflows.readWorkflows"))
        self.document_key = workflow["attributes"]["exhibits"][0]["key"]

    def arguments(self) -> dict:
        return {"workflow_id": self.workflow_id, "document_key": self.document_key}

    def content(self) -> bytes:
        path = f"/workflows/{self.workflow_id}/document/{self.document_key}/download"
        return api(path, "public.workflows.readDocuments")
