"""One face for both generations of the official Python SDK: `mcp` 1.x and `mcp` 2.x.

Both check every result against the tool's output schema by themselves, so a call that returns has passed that.
"""

import os
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

SDK = version("mcp")
MODERN = not SDK.startswith("1.")

if MODERN:
    from mcp import Client, MCPError, StdioServerParameters
    from mcp_types import ElicitResult, Implementation
else:
    from mcp import ClientSession, McpError as MCPError, StdioServerParameters
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.types import ElicitResult, Implementation


@dataclass
class Result:
    """What a tool answered."""

    is_error: bool
    structured: dict[str, Any]
    content: list[Any]


def yes() -> ElicitResult:
    """What a person says who agrees to everything."""
    return ElicitResult(action="accept", content={})


class Session:
    """A session with a server, and how often a person was asked in it."""

    def __init__(self, says: Callable[[], ElicitResult]) -> None:
        self.questions: list[str] = []
        self.protocol = ""
        self._says = says
        self._client: Any = None

    async def person(self, _context: Any, params: Any) -> Any:
        """The person behind this client."""
        self.questions.append(params.message)
        return self._says()

    def connected(self, client: Any, protocol: str) -> "Session":
        self._client, self.protocol = client, protocol
        return self

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, tool: str, arguments: dict) -> Result:
        result = await self._client.call_tool(tool, arguments)
        if MODERN:
            return Result(bool(result.is_error), result.structured_content, result.content)
        return Result(bool(result.isError), result.structuredContent, result.content)

    async def round(self, tool: str, arguments: dict, **brought: Any) -> Any:
        """One round of a call of 2026-07-28, as it came; `brought` are `input_responses` and `request_state`."""
        return await self._client.session.call_tool(tool, arguments, **brought, allow_input_required=True)

    async def protocol_error(self, tool: str, arguments: dict) -> int | None:
        """The JSON-RPC error code of a call that is no tool call at all."""
        try:
            await self._client.call_tool(tool, arguments)
        except MCPError as error:
            return error.error.code
        return None


def stdio_target(server: str, arguments: list[str]) -> StdioServerParameters:
    return StdioServerParameters(command=server, args=arguments, env=dict(os.environ))


@asynccontextmanager
async def open_session(target: Any, says: Callable[[], ElicitResult] = yes, name: str = "mcp", mode: str = "auto"):
    """A session with the server behind a URL, or with one that is started for stdio.

    `says` is the person behind the client, `name` what the client calls itself, `mode` how mcp 2.x chooses the revision.
    """
    session = Session(says)
    options = {"elicitation_callback": session.person, "client_info": Implementation(name=name, version="1")}
    if MODERN:
        async with Client(target, mode=mode, **options) as client:
            yield session.connected(client, client.session.protocol_version)
        return
    transport = streamable_http_client(target) if isinstance(target, str) else stdio_client(target)
    async with transport as (read, write, *_), ClientSession(read, write, **options) as client:
        yield session.connected(client, (await client.initialize()).protocolVersion)
