// Answers the question before an irreversible call in every way there is, with both generations of the official TypeScript SDK,
// over stdio and over HTTP.
//
//     node questions.mjs SERVER
//
// SERVER is the binary. A simulator must be running, told by the environment that it prints. Must lie beside node_modules with the
// SDKs. Each case is one line; whether something was sent is what the simulator saw. Ends with 1 if any is not as it should be.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isDeepStrictEqual } from 'node:util';

import { Client as Modern, StreamableHTTPClientTransport as ModernHttp } from '@modelcontextprotocol/client';
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio';
import { Client as Legacy } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as LegacyStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as LegacyHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const version = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/@modelcontextprotocol/${name}/package.json`, import.meta.url))).version;

const legacy = { label: `sdk ${version('sdk')}`, Client: Legacy, Stdio: LegacyStdio, Http: LegacyHttp, asked: ElicitRequestSchema, options: {} };
const client = { label: `client ${version('client')}`, Client: Modern, Stdio: ModernStdio, Http: ModernHttp, asked: 'elicitation/create', options: {} };
const modern = { ...client, label: `${client.label} (2026-07-28)`, options: { versionNegotiation: { mode: 'auto' } }, isModern: true };

const YES = { action: 'accept', content: {} };
const NO = { action: 'decline' };
// An answer to some other form: this one has nothing to fill in.
const WRONG = { action: 'accept', content: { cancel_it: 'not yet' } };

const DECLINED = 'confirmation_declined, not_sent';
const SENT = { came: 'done', sent: 1, status: 'cancelled', logged: 'allowed' };
const REFUSED = { came: DECLINED, sent: 0, status: 'active', logged: 'declined' };
const ASKED = { came: 'question', sent: 0, status: 'active', logged: undefined };
const INVALID = { came: 'error -32602', sent: 0, status: 'active', logged: undefined };

async function control(method, path) {
  const reply = await fetch(`${process.env.IRONCLAD_BASE_URL}/__simulator/${path}`, { method });
  const text = await reply.text();
  return text ? JSON.parse(text) : {};
}

// What a call came to, in a word.
async function outcome(call) {
  try {
    const result = await call();
    if (result.resultType === 'input_required') return 'question';
    const { error, done } = result.structuredContent ?? {};
    if (error) return `${error.code}, ${error.outcome}`;
    return done ? 'done' : JSON.stringify(result);
  } catch (error) {
    return `error ${error.code ?? error.message}`;
  }
}

// Tries cases against one server, each with a look at everything that it could have done.
class Cases {
  static failed = 0;

  static async with(where, log) {
    const cases = new Cases();
    await control('POST', 'reset');
    const { workflows } = await control('GET', 'state');
    const fresh = workflows.filter((one) => one.status === 'active').map((one) => one.id);
    return Object.assign(cases, { where, log, fresh });
  }

  // The arguments of a call that nobody was asked about yet.
  arguments() {
    return { workflow_id: this.fresh.shift(), comment: 'no deal' };
  }

  lines() {
    const text = existsSync(this.log) ? readFileSync(this.log, 'utf8') : '';
    return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  async check(name, args, call, expected) {
    await control('DELETE', 'requests');
    const before = this.lines().length;
    const came = await outcome(call);
    const { list } = await control('GET', 'requests');
    const sent = list.filter((one) => one.method !== 'GET' && one.path !== '/oauth/token').length;
    const { workflows } = await control('GET', 'state');
    const { status } = workflows.find((one) => one.id === args.workflow_id);
    const logged = this.lines().slice(before).filter((line) => line.tool === 'cancel_workflow').at(-1)?.decision;
    const seen = { came, sent, status, logged };
    const isRight = isDeepStrictEqual(seen, expected);
    if (!isRight) Cases.failed += 1;
    const verdict = isRight ? 'as it should be' : `WRONG: ${JSON.stringify(seen)}, not ${JSON.stringify(expected)}`;
    console.log(`${this.where}: ${name}: ${verdict}`);
  }
}

// A client with a person behind it, connected.
async function connected({ Client, asked, options, isModern = false }, transport, name, says) {
  const made = new Client({ name, version: '1' }, { ...options, capabilities: { elicitation: {} } });
  let questions = 0;
  made.setRequestHandler(asked, async () => {
    questions += 1;
    return says();
  });
  await made.connect(transport);
  assert.equal(made.getProtocolEra?.() === 'modern', isModern);
  return { client: made, questions: () => questions };
}

async function people(sdk, open, over, log) {
  const cases = await Cases.with(`${over}, ${sdk.label}`, log);
  // Since 2026-07-28 the client asks between two rounds of the call, so what fails there never reaches the server.
  const failed = (came) => (sdk.isModern ? { ...ASKED, came } : REFUSED);
  const broken = () => {
    throw new Error('the window was closed');
  };
  for (const [name, says, expected] of [
    ['yes', () => YES, SENT],
    ['no', () => NO, REFUSED],
    ['dismissed', () => ({ action: 'cancel' }), REFUSED],
    ['wrong answer', () => WRONG, REFUSED],
    ['an answer that is none', () => ({ action: 'perhaps' }), failed('error -32602')],
    ['a client that fails to ask', broken, failed('error the window was closed')],
  ]) {
    const args = cases.arguments();
    const { client, questions } = await connected(sdk, open(), 'questions', says);
    await cases.check(name, args, () => client.callTool({ name: 'cancel_workflow', arguments: args }), expected);
    assert.equal(questions(), 1, `${name}: asked ${questions()} times`);
    await client.close();
  }
}

// One round of a call of 2026-07-28, as it came.
const round = (by, args, brought = {}) =>
  by.request({ method: 'tools/call', params: { name: 'cancel_workflow', arguments: args, ...brought } }, { allowInputRequired: true });

const brings = (answer, requestState, name = 'confirm') => ({ inputResponses: { [name]: answer }, requestState });

function flipped(state) {
  const at = Math.floor(state.length / 2);
  return state.slice(0, at) + (state[at] === 'A' ? 'B' : 'A') + state.slice(at + 1);
}

// Round by round: what a state may be brought back with, by whom, and how often.
async function states(cases, own, other) {
  const args = cases.arguments();
  const another = cases.arguments();
  const { requestState: state, inputRequests } = await round(own, args);
  assert.deepEqual(Object.keys(inputRequests), ['confirm']);
  for (const [name, call, expected] of [
    ['state without an answer', () => round(own, args, { requestState: state }), ASKED],
    ['answer without a state', () => round(own, args, { inputResponses: { confirm: YES } }), ASKED],
    ['answer to no question', () => round(own, args, brings(YES, state, 'other')), ASKED],
    ['altered state', () => round(own, args, brings(YES, flipped(state))), INVALID],
    ['state of another comment', () => round(own, { ...args, comment: 'other' }, brings(YES, state)), INVALID],
    ['state of another workflow', () => round(own, another, brings(YES, state)), INVALID],
    ["another agent's state", () => round(other, args, brings(YES, state)), INVALID],
    ['yes after all that', () => round(own, args, brings(YES, state)), SENT],
    ['the yes again', () => round(own, args, brings(YES, state)), { ...REFUSED, status: 'cancelled' }],
  ]) {
    await cases.check(name, args, call, expected);
  }
  for (const [name, answer] of [['a no', NO], ['a wrong answer', WRONG]]) {
    const next = cases.arguments();
    const { requestState } = await round(own, next);
    await cases.check(name, next, () => round(own, next, brings(answer, requestState)), REFUSED);
    await cases.check(`a yes after ${name}`, next, () => round(own, next, brings(YES, requestState)), REFUSED);
  }
}

// The cases of states, between two agents.
async function two(over, log, transports, names) {
  const own = await connected(modern, transports[0], names[0], () => YES);
  const other = await connected(modern, transports[1], names[1], () => YES);
  await states(await Cases.with(`${over}, ${modern.label}`, log), own.client, other.client);
  await Promise.all([own.client.close(), other.client.close()]);
}

async function httpServer(server, flags) {
  const child = spawn(server, ['http', '--listen', '127.0.0.1:0', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  for await (const line of createInterface({ input: child.stderr })) {
    const at = line.indexOf('http://');
    if (at >= 0) {
      child.stderr.resume();
      return new URL(line.slice(at).trim());
    }
  }
  throw new Error('the HTTP server did not start');
}

// Writes a settings file with agents that may do the same, and returns their tokens.
function agents(server, file, names) {
  const told = names.map((name) => execFileSync(server, ['agent', 'add', name], { encoding: 'utf8' }));
  const table = (name, text) =>
    [`[agents.${name}]`, text.match(/token_sha256 = "\w+"/)[0], 'access = { workflows = "full", workflow-actions = "full" }'].join('\n');
  writeFileSync(file, ['auth = "agents"', ...names.map((name, at) => table(name, told[at]))].join('\n') + '\n');
  return told.map((text) => text.match(/icmcp_\w+/)[0]);
}

const server = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), 'questions-'));
const children = [];
const log = join(folder, 'audit.jsonl');
const flags = ['--enable-writes', '--log', 'warn', '--audit-log', log];
try {
  const url = await httpServer(server, flags);
  const stdio = ({ Stdio }) => new Stdio({ command: server, args: ['stdio', ...flags], env: { ...process.env }, stderr: 'ignore' });
  for (const sdk of [legacy, client, modern]) {
    await people(sdk, () => stdio(sdk), 'stdio', log);
    await people(sdk, () => new sdk.Http(url), 'HTTP', log);
  }
  const names = ['questions', 'another'];
  await two('stdio, two clients', log, [stdio(modern), stdio(modern)], names);
  await two('HTTP, two clients', log, [new ModernHttp(url), new ModernHttp(url)], names);
  const settings = join(folder, 'settings.toml');
  const tokens = agents(server, settings, ['one', 'other']);
  const guarded = await httpServer(server, [...flags, '--config', settings]);
  const bearing = (token) => new ModernHttp(guarded, { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
  // The same name, since who calls is told by the token alone.
  await two('HTTP, two tokens', log, tokens.map(bearing), ['same', 'same']);
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true });
}
if (Cases.failed > 0) console.error(`${Cases.failed} cases are not as they should be`);
process.exit(Cases.failed > 0 ? 1 : 0);
