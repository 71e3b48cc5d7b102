// A short tour of a server with both generations of the official TypeScript SDK, over stdio and over HTTP: lists the tools,
// reads, tries a write with dry_run, and sees an error.
//
//     node tour.mjs SERVER
//
// SERVER is the binary. A simulator must be running, told by the environment that it prints. Must lie beside node_modules with the
// SDKs. Ends with 1 if anything is not what it must be.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { Client as Modern, StreamableHTTPClientTransport as ModernHttp } from '@modelcontextprotocol/client';
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio';
import { Client as Legacy } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as LegacyStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as LegacyHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const SDKS = [
  { name: 'sdk', Client: Legacy, Stdio: LegacyStdio, Http: LegacyHttp, options: {} },
  { name: 'client', Client: Modern, Stdio: ModernStdio, Http: ModernHttp, options: {} },
  { name: 'client', Client: Modern, Stdio: ModernStdio, Http: ModernHttp, options: { versionNegotiation: { mode: 'auto' } } },
];

const version = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/@modelcontextprotocol/${name}/package.json`, import.meta.url))).version;

async function tour({ name, Client, options }, transport, over, published) {
  const client = new Client({ name: 'tour', version: '1' }, options);
  await client.connect(transport);
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name).sort(), published);
  const call = (tool, args) => client.callTool({ name: tool, arguments: args });
  const found = await call('list_workflow_schemas', { name_contains: 'Mutual NDA' });
  const attributes = {
    counterpartyName: 'Tour Ltd',
    effectiveDate: '2026-12-01',
    paperSource: 'Our paper',
    counterpartySigner: 'Ada Byron',
    counterpartySignerEmail: 'ada@tour.example',
  };
  const launch = { template_id: found.structuredContent.items[0].id, attributes, dry_run: true };
  const tried = await call('launch_workflow', launch);
  assert.equal(tried.structuredContent.dry_run, true);
  for (const [tool, args, code] of [
    ['get_workflow', { workflow_id: 'aaaaaaaaaaaaaaaaaaaaaaaa' }, 'not_found'],
    ['list_workflows', { cursor: 'none of ours' }, 'invalid_arguments'],
  ]) {
    const refused = await call(tool, args);
    assert.equal(refused.isError, true);
    assert.equal(refused.structuredContent.error.code, code);
  }
  const mode = options.versionNegotiation?.mode ?? 'default';
  console.log(`${tools.length} tools, a read, a dry run and errors over ${over} with @modelcontextprotocol/${name} ${version(name)} (${mode})`);
  await client.close();
}

async function httpServer(server, flags) {
  const child = spawn(server, ['http', '--listen', '127.0.0.1:0', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  for await (const line of createInterface({ input: child.stderr })) {
    const at = line.indexOf('http://');
    if (at >= 0) {
      child.stderr.resume();
      return { child, url: new URL(line.slice(at).trim()) };
    }
  }
  throw new Error('the HTTP server did not start');
}

const server = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), 'tour-'));
const flags = ['--enable-writes', '--log', 'warn', '--audit-log', join(folder, 'audit.jsonl')];
const { tools } = JSON.parse(execFileSync(server, ['tools', '--format', 'mcp', ...flags]));
const published = tools.map((tool) => tool.name).sort();
const { child, url } = await httpServer(server, flags);
try {
  for (const sdk of SDKS) {
    await tour(sdk, new sdk.Stdio({ command: server, args: ['stdio', ...flags], env: { ...process.env } }), 'stdio', published);
    await tour(sdk, new sdk.Http(url), 'HTTP', published);
  }
} finally {
  child.kill();
  rmSync(folder, { recursive: true });
}
process.exit(0);
