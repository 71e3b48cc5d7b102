// Sign-in over HTTP as people have it: the official TypeScript SDK against a server with `--auth oauth`, whose tokens come from a
// certified OpenID provider (npm's oidc-provider). The client is given nothing but the server's address: it finds the provider,
// registers itself, signs its person in with PKCE, and brings a token made for this server. A write then asks for more scope, and
// comes through once it is granted.
//
//     node signin.mjs SERVER
//
// SERVER is the binary; its own simulator stands behind it. Must lie beside node_modules with the SDK and the provider. Ends with 1
// if anything is not what it must be.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import Provider from 'oidc-provider';

const EMAIL = 'maya.ortiz@simulator.example';
const CALLBACK = 'http://127.0.0.1:1/callback';

const freePort = () =>
  new Promise((resolve) => {
    const taken = createSocket().listen(0, '127.0.0.1', () => {
      const { port } = taken.address();
      taken.close(() => resolve(port));
    });
  });

// A provider where one person is signed in by whoever asks, and consents to `consents` alone.
function provide(issuer, resource, consents) {
  const provider = new Provider(issuer, {
    cookies: { keys: ['of these tests'] },
    scopes: ['openid', 'ironclad:read', 'ironclad:write'],
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_cx, indicator) => {
          assert.equal(indicator, resource, 'a token was asked for, for another server');
          const scope = 'ironclad:read ironclad:write';
          return { scope, audience: indicator, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } };
        },
      },
    },
    findAccount: (_cx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    extraTokenClaims: () => ({ email: EMAIL, email_verified: true }),
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    interactions: { url: (_cx, interaction) => `/interaction/${interaction.uid}` },
  });
  const answer = provider.callback();
  const server = createServer(async (request, response) => {
    if (!request.url.startsWith('/interaction/')) return answer(request, response);
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    if (prompt.name === 'login') {
      return provider.interactionFinished(request, response, { login: { accountId: 'maya' } });
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '));
    for (const [indicator, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
      for (const scope of scopes) {
        if (consents.has(scope)) grant.addResourceScope(indicator, scope);
        else grant.rejectResourceScope(indicator, scope);
      }
    }
    const consent = { grantId: await grant.save() };
    return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
  });
  return new Promise((resolve) => server.listen(new URL(issuer).port, '127.0.0.1', () => resolve(server)));
}

// What a browser does: follows the provider from page to page, and gives back the code that it ends with.
async function browse(url) {
  const jar = new Map();
  for (let steps = 0; steps < 20; steps += 1) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const page = await fetch(url, { redirect: 'manual', headers: { cookie } });
    for (const set of page.headers.getSetCookie()) {
      const [name, value] = set.split(';')[0].split('=');
      jar.set(name, value);
    }
    const next = page.headers.get('location');
    assert.ok(next, `the provider goes nowhere: ${page.status} ${await page.text()}`);
    url = new URL(next, url);
    if (url.href.startsWith(CALLBACK)) {
      assert.equal(url.searchParams.get('error'), null, url.href);
      return url.searchParams.get('code');
    }
  }
  throw new Error('the provider goes round in circles');
}

// Keeps what a client is told; the person's browser is opened by hand.
class Wallet {
  redirectUrl = CALLBACK;
  clientMetadata = {
    client_name: 'signin',
    redirect_uris: [CALLBACK],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  };
  clientInformation = () => this.client;
  saveClientInformation = (client) => (this.client = client);
  tokens = () => this.held;
  saveTokens = (tokens) => (this.held = tokens);
  redirectToAuthorization = (url) => (this.opened = url);
  saveCodeVerifier = (verifier) => (this.verifier = verifier);
  codeVerifier = () => this.verifier;
}

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

async function serve(program, home, issuer, port) {
  const settings = join(home, 'settings.toml');
  writeFileSync(
    settings,
    `auth = "oauth"
enable_writes = true
simulator = true
oauth_issuer = "${issuer}"
oauth_resource = "http://127.0.0.1:${port}/mcp"
oauth_agent = "staff"
[agents.staff]
access = { workflows = "full", users = "read" }
`,
  );
  const args = ['http', '--config', settings, '--listen', `127.0.0.1:${port}`, '--audit-log', join(home, 'audit.jsonl'), '--log', 'warn'];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  for (let tries = 0; tries < 100; tries += 1) {
    const there = await fetch(`http://127.0.0.1:${port}/healthz`).then((answer) => answer.ok, () => false);
    if (there) return child;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the server did not start');
}

async function signIn(url, wallet) {
  const transport = new StreamableHTTPClientTransport(url, { authProvider: wallet });
  const client = new Client({ name: 'signin', version: '1' });
  await assert.rejects(client.connect(transport), UnauthorizedError);
  await transport.finishAuth(await browse(wallet.opened));
  const signedIn = new Client({ name: 'signin', version: '1' });
  const again = new StreamableHTTPClientTransport(url, { authProvider: wallet });
  await signedIn.connect(again);
  return { client: signedIn, transport: again };
}

async function main(program) {
  const home = mkdtempSync(join(tmpdir(), 'signin-'));
  const [idp, port] = [await freePort(), await freePort()];
  const issuer = `http://localhost:${idp}`;
  const url = new URL(`http://127.0.0.1:${port}/mcp`);
  const consents = new Set(['ironclad:read']);
  const provider = await provide(issuer, url.href, consents);
  const server = await serve(program, home, issuer, port);
  try {
    const wallet = new Wallet();
    const { client, transport } = await signIn(url, wallet);
    const { aud, iss, scope } = claims(wallet.held.access_token);
    assert.deepEqual([aud, iss, scope], [url.href, issuer, 'ironclad:read']);
    const who = await client.callTool({ name: 'whoami', arguments: {} });
    assert.equal(JSON.stringify(who.structuredContent).includes(EMAIL), true, JSON.stringify(who));
    const launch = { name: 'launch_workflow', arguments: { template_id: 'x', attributes: {} } };
    await assert.rejects(client.callTool(launch), UnauthorizedError);
    assert.equal(wallet.opened.searchParams.get('scope'), 'ironclad:read ironclad:write');

    consents.add('ironclad:write');
    await transport.finishAuth(await browse(wallet.opened));
    assert.equal(claims(wallet.held.access_token).scope, 'ironclad:read ironclad:write');
    const within = await client.callTool(launch);
    assert.notEqual(within.structuredContent.error.code, 'access_denied');
    await client.close();
    const lines = readFileSync(join(home, 'audit.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    assert.ok(lines.every((line) => line.caller === 'maya' && line.as_user === EMAIL), JSON.stringify(lines));
    assert.ok(lines.some((line) => line.rule === 'token without ironclad:write'));
    console.log(`signed in, and again for a write: ${lines.length} calls as ${EMAIL}, one refused for its token`);
  } finally {
    server.kill();
    provider.closeAllConnections();
    provider.close();
    rmSync(home, { recursive: true, force: true });
  }
}

await main(process.argv[2]);
