"""Answers the question before an irreversible call in every way there is, with the official Python SDK, over stdio and HTTP.

    python questions.py SERVER

SERVER is the binary. A simulator must be running, told by the environment that it prints. Each case is one line; whether
something was sent is what the simulator saw. Exit code 1 if any case is not as it should be.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simulator
from drive import flags, http_server
from sessions import MODERN, SDK, ElicitResult, MCPError, Session, open_session, stdio_target, yes

TOOL = "cancel_workflow"
NEWEST = "2026-07-28"
INVALID_PARAMS = -32602
DECLINED = "confirmation_declined, not_sent"


def no() -> ElicitResult:
    return ElicitResult(action="decline")


def dismissed() -> ElicitResult:
    return ElicitResult(action="cancel")


def wrong() -> ElicitResult:
    """An answer to some other form: this one has nothing to fill in."""
    return ElicitResult(action="accept", content={"cancel_it": "not yet"})


def broken() -> ElicitResult:
    raise RuntimeError("the window was closed")


@dataclass(frozen=True)
class Seen:
    """What came of a call: for the client, at Ironclad, and in the audit log."""

    came: str
    sent: int
    status: str
    logged: str | None


SENT = Seen("done", 1, "cancelled", "allowed")
REFUSED = Seen(DECLINED, 0, "active", "declined")
ASKED = Seen("question", 0, "active", None)
INVALID = Seen(f"protocol error {INVALID_PARAMS}", 0, "active", None)
# Where the client answers within the call, what fails there never reaches the server.
BROKEN = Seen("RuntimeError", 0, "active", None)


class Cases:
    """Tries cases against one server, each with a look at everything that it could have done."""

    failed = 0

    def __init__(self, where: str, audit_log: Path) -> None:
        self.where, self.audit_log = where, audit_log
        simulator.control("POST", "reset")
        self.fresh = (one["id"] for one in simulator.control("GET", "state")["workflows"] if one["status"] == "active")

    def call(self) -> dict:
        """The arguments of a call that nobody was asked about yet."""
        return {"workflow_id": next(self.fresh), "comment": "no deal"}

    async def check(self, case: str, call: dict, answer: Any, expected: Seen) -> None:
        """Awaits an answer to a call, and compares."""
        simulator.control("DELETE", "requests")
        lines = len(self._log())
        came = await outcome(answer)
        sent = [one for one in simulator.control("GET", "requests")["list"] if is_write(one)]
        workflows = {one["id"]: one["status"] for one in simulator.control("GET", "state")["workflows"]}
        logged = [line["decision"] for line in self._log()[lines:] if line["tool"] == TOOL]
        seen = Seen(came, len(sent), workflows[call["workflow_id"]], logged[-1] if logged else None)
        verdict = "as it should be" if seen == expected else f"WRONG: {seen}, not {expected}"
        Cases.failed += seen != expected
        print(f"{self.where}: {case}: {verdict}", flush=True)

    def _log(self) -> list[dict]:
        if not self.audit_log.exists():
            return []
        return [json.loads(line) for line in self.audit_log.read_text().splitlines()]


def is_write(request: dict) -> bool:
    return request["method"] != "GET" and request["path"] != "/oauth/token"


async def outcome(answer: Any) -> str:
    """What a call came to, in a word."""
    try:
        result = await answer
    except MCPError as error:
        return f"protocol error {error.error.code}"
    except Exception as error:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return type(error).__name__
    if getattr(result, "result_type", None) == "input_required":
        return "question"
    structured = getattr(result, "structured", None) or getattr(result, "structured_content", None) or {}
    if "error" in structured:
        return f"{structured['error']['code']}, {structured['error'].get('outcome')}"
    return "done" if structured.get("done") else str(structured)


async def people(name: str, target: Any, log: Path, mode: str) -> None:
    """One session for each person."""
    async with open_session(target, mode=mode) as session:
        protocol = session.protocol
    cases = Cases(f"{name}, mcp {SDK} ({protocol})", log)
    failing = BROKEN if protocol == NEWEST else REFUSED
    answers: list[tuple[str, Callable[[], ElicitResult], Seen]] = [
        ("yes", yes, SENT),
        ("no", no, REFUSED),
        ("dismissed", dismissed, REFUSED),
        ("wrong answer", wrong, REFUSED),
        ("a client that fails to ask", broken, failing),
    ]
    for case, says, expected in answers:
        call = cases.call()
        async with open_session(target, says, mode=mode) as session:
            await cases.check(case, call, session.call(TOOL, call), expected)
            assert len(session.questions) == 1, f"{case}: asked {len(session.questions)} times"


def brings(answer: ElicitResult, state: str | None, name: str = "confirm") -> dict:
    """What the second round of a call brings."""
    return {"input_responses": {name: answer}, "request_state": state}


def flipped(state: str) -> str:
    """The state with one character changed in its middle."""
    at = len(state) // 2
    return state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1 :]


async def states(cases: Cases, session: Session, other: Session) -> None:
    """Round by round: what a state may be brought back with, by whom, and how often."""
    call = cases.call()
    question = await session.round(TOOL, call)
    state = question.request_state
    assert list(question.input_requests) == ["confirm"] and state, question

    def bring(arguments: dict = call, by: Session = session, **brought: Any) -> Any:
        return by.round(TOOL, arguments, **brought)

    another = cases.call()
    for case, answer, expected in [
        ("state without an answer", bring(request_state=state), ASKED),
        ("answer without a state", bring(**brings(yes(), None)), ASKED),
        ("answer to no question", bring(**brings(yes(), state, "other")), ASKED),
        ("altered state", bring(**brings(yes(), flipped(state))), INVALID),
        ("state of another comment", bring({**call, "comment": "other"}, **brings(yes(), state)), INVALID),
        ("state of another workflow", bring(another, **brings(yes(), state)), INVALID),
        ("another agent's state", bring(by=other, **brings(yes(), state)), INVALID),
        ("yes after all that", bring(**brings(yes(), state)), SENT),
        ("the yes again", bring(**brings(yes(), state)), Seen(DECLINED, 0, "cancelled", "declined")),
    ]:
        await cases.check(case, call, answer, expected)
    await one_answer_counts(cases, session)


async def one_answer_counts(cases: Cases, session: Session) -> None:
    """After an answer that is no yes, a yes with the same state comes too late."""
    for case, answer in [("a no", no()), ("a wrong answer", wrong())]:
        call = cases.call()
        state = (await session.round(TOOL, call)).request_state
        await cases.check(case, call, session.round(TOOL, call, **brings(answer, state)), REFUSED)
        await cases.check(f"a yes after {case}", call, session.round(TOOL, call, **brings(yes(), state)), REFUSED)


def agents(server: str, folder: Path, names: list[str]) -> list[str]:
    """Writes a settings file with agents that may do the same, and returns their tokens."""
    settings, tokens = ['auth = "agents"'], []
    for name in names:
        told = subprocess.run([server, "agent", "add", name], capture_output=True, text=True, check=True).stdout
        tokens.append(re.search(r"icmcp_\w+", told)[0])
        digest = re.search(r'token_sha256 = "\w+"', told)[0]
        settings += [f"[agents.{name}]", digest, 'access = { workflows = "full", workflow-actions = "full" }']
    (folder / "settings.toml").write_text("\n".join(settings) + "\n")
    return tokens


def with_token(url: str, token: str) -> Any:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    return streamable_http_client(url, http_client=httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}))


async def two(name: str, log: Path, first: Any, second: Any, names: tuple[str, str]) -> None:
    """The cases of states, between two agents."""
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(open_session(target, name=name)) for target, name in zip((first, second), names)
        ]
        await states(Cases(f"{name}, mcp {SDK} ({sessions[0].protocol})", log), *sessions)


async def main(server: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        log = folder / "audit.jsonl"
        stdio = stdio_target(server, ["stdio", *flags(folder)])
        names = ("questions", "another")
        with http_server(server, folder) as url:
            for mode in ["auto", "legacy"] if MODERN else ["auto"]:
                await people("stdio", stdio, log, mode)
                await people("HTTP", url, log, mode)
            if MODERN:
                await two("stdio, two clients", log, stdio, stdio, names)
                await two("HTTP, two clients", log, url, url, names)
        if MODERN:
            one, other = agents(server, folder, ["one", "other"])
            with http_server(server, folder, "--config", str(folder / "settings.toml")) as url:
                # The same name, since who calls is told by the token alone.
                await two("HTTP, two tokens", log, with_token(url, one), with_token(url, other), ("same", "same"))
    if Cases.failed:
        sys.exit(f"{Cases.failed} cases are not as they should be")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
