"""A short tour of a server with what people build agents on: fastmcp where it is installed, else langchain-mcp-adapters.

    python frameworks.py SERVER

SERVER is the binary. A simulator must be running, told by the environment that it prints. Over stdio and over HTTP: lists the tools,
reads, tries a write with dry_run, and sees an error. Exit code 1 if any of it is not what it must be.
"""

import asyncio
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from drive import LAUNCHERS, TOOLS, flags, http_server

if find_spec("fastmcp"):
    from fastmcp import Client
    from fastmcp.client.transports import StdioTransport
    from fastmcp.exceptions import ToolError

    NAME = f"fastmcp {version('fastmcp')}"

    class Tour:
        """Tools as fastmcp has them."""

        def __init__(self, client: Client) -> None:
            self.client = client

        async def tools(self) -> list[str]:
            return [tool.name for tool in await self.client.list_tools()]

        async def call(self, tool: str, arguments: dict) -> Any:
            return (await self.client.call_tool(tool, arguments)).structured_content

        async def refused(self, tool: str, arguments: dict) -> str:
            try:
                await self.client.call_tool(tool, arguments)
            except ToolError as error:
                return str(error)
            return "it was not refused"

    @asynccontextmanager
    async def open_tour(target: str | list[str]):
        transport = target if isinstance(target, str) else StdioTransport(target[0], target[1:], env=dict(os.environ))
        async with Client(transport) as client:
            yield Tour(client)

else:
    from langchain_core.tools import ToolException
    from langchain_mcp_adapters.client import MultiServerMCPClient

    NAME = f"langchain-mcp-adapters {version('langchain-mcp-adapters')}"

    class Tour:
        """Tools as langchain has them."""

        def __init__(self, tools: dict) -> None:
            self.by_name = tools

        async def tools(self) -> list[str]:
            return list(self.by_name)

        async def call(self, tool: str, arguments: dict) -> Any:
            message = await self.by_name[tool].ainvoke({"type": "tool_call", "id": "1", "name": tool, "args": arguments})
            return message.artifact["structured_content"]

        async def refused(self, tool: str, arguments: dict) -> str:
            try:
                return str(await self.by_name[tool].ainvoke(arguments))
            except ToolException as error:
                return str(error)

    @asynccontextmanager
    async def open_tour(target: str | list[str]):
        if isinstance(target, str):
            connection = {"transport": "streamable_http", "url": target}
        else:
            connection = {"transport": "stdio", "command": target[0], "args": target[1:], "env": dict(os.environ)}
        client = MultiServerMCPClient({"ironclad": connection})
        yield Tour({tool.name: tool for tool in await client.get_tools()})


async def tour(transport: str, target: str | list[str]) -> None:
    async with open_tour(target) as session:
        tools = await session.tools()
        assert len(tools) == TOOLS + LAUNCHERS, tools
        found = await session.call("list_workflow_schemas", {"name_contains": "Mutual NDA"})
        template = found["items"][0]["id"]
        attributes = {"counterpartyName": "Tour Ltd", "effectiveDate": "2026-12-01", "paperSource": "Our paper"}
        signer = {"counterpartySigner": "Ada Byron", "counterpartySignerEmail": "ada@tour.example"}
        launch = {"template_id": template, "attributes": attributes | signer, "dry_run": True}
        tried = await session.call("launch_workflow", launch)
        assert tried["dry_run"] is True and tried["request"]["method"] == "POST", tried
        told = await session.refused("get_workflow", {"workflow_id": "aaaaaaaaaaaaaaaaaaaaaaaa"})
        assert "not_found" in told, told
        told = await session.refused("list_workflows", {"cursor": "none of ours"})
        assert "invalid_arguments" in told, told
        print(f"{len(tools)} tools, a read, a dry run and errors over {transport} with {NAME}", flush=True)


async def main(server: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await tour("stdio", [server, "stdio", *flags(Path(folder))])
        with http_server(server, Path(folder)) as url:
            await tour("HTTP", url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
