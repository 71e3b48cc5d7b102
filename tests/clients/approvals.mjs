// Drives the approvals page in a real browser: sign in, look, approve and decline by keyboard, and what must not work.
//
//     node approvals.mjs SERVER [SCREENSHOT-FOLDER]
//
// SERVER is the binary. playwright-core must be found by Node, and a Chromium at /usr/bin/chromium or in CHROMIUM.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { chromium } = createRequire(join(process.cwd(), "x.js"))("playwright-core");
const [server, shots] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), "approvals-"));
const EVIL = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>";

const program = spawn(server, ["http", "--simulator", "--enable-writes", "--confirm", "always", "--listen", "127.0.0.1:0"], {
  env: { HOME: home, XDG_STATE_HOME: join(home, "state") },
  stdio: ["ignore", "ignore", "pipe"],
});

/** What the server says on stderr, once it holds all of these. */
function told(...patterns) {
  return new Promise((resolve, reject) => {
    let text = "";
    program.on("exit", () => reject(new Error(`the server ended: ${text}`)));
    program.stderr.on("data", (piece) => {
      text += piece;
      const found = patterns.map((pattern) => text.match(pattern)?.[1]);
      if (found.every(Boolean)) resolve(found);
    });
  });
}

let url;
/** The structured result of a call of 2026-07-28. */
async function call(tool, args) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "contracts-bot", version: "1" },
  };
  const body = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: tool, arguments: args, _meta: meta } };
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": tool,
  };
  const reply = await fetch(`${url}/mcp`, { method: "POST", headers, body: JSON.stringify(body) });
  return (await reply.json()).result.structuredContent;
}

/** A call that waits for a person: its id, and the plan that it goes on with. */
async function waiting(tool, args) {
  const { error } = await call(tool, args);
  assert.equal(error.code, "confirmation_declined", JSON.stringify(error));
  const [, id] = error.hint.match(/ironclad-mcp approve (\w+)/);
  const [, plan] = error.hint.match(/with plan "([^"]+)"/);
  return { id, plan };
}

async function launched(counterpartyName) {
  const templates = await call("list_workflow_schemas", { name_contains: "Mutual NDA" });
  const attributes = { counterpartyName, effectiveDate: "2026-12-01", paperSource: "Our paper" };
  Object.assign(attributes, { counterpartySigner: "Ada Byron", counterpartySignerEmail: "ada@acme.example" });
  return call("launch_workflow", { template_id: templates.items[0].id, attributes });
}

let shot = 0;
async function look(page, name) {
  if (shots) await page.screenshot({ path: join(shots, `${++shot}-${name}.png`), fullPage: true });
}

async function signIn(context, token) {
  const page = await context.newPage();
  await page.goto(`${url}/approvals`);
  // The field has the focus by itself; what is typed before that is lost.
  await page.waitForFunction(() => document.activeElement?.id === "token");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#past, .notice.bad");
  return page;
}

/** Presses Tab until the button of this name in this article has the focus. */
async function tabTo(page, id, name) {
  await page.locator("body").click({ position: { x: 1, y: 1 } });
  for (let turn = 0; turn < 60; turn++) {
    await page.keyboard.press("Tab");
    const here = await page.evaluate(() => [document.activeElement.form?.action ?? "", document.activeElement.textContent]);
    if (here[0].endsWith(`/${id}`) && here[1] === name) return;
  }
  assert.fail(`${name} cannot be reached by keyboard`);
}

async function main(browser) {
  const [address, token] = await told(/listening on (http:\/\/[^/\s]+)/, /sign in to \/approvals with (\S+)/);
  url = address;
  const workflow = await launched("Acme LLC");
  const cancel = await waiting("cancel_workflow", { workflow_id: workflow.id, comment: "no deal" });
  const evil = await launched(EVIL);
  const evilCancel = await waiting("cancel_workflow", { workflow_id: evil.id, comment: EVIL });

  const context = await browser.newContext();
  const outside = await signIn(context, "icma_wrong");
  assert.match(await outside.textContent("main"), /not known/);
  assert.doesNotMatch(await outside.content(), new RegExp(cancel.id));
  await look(outside, "wrong-token");

  const page = await signIn(context, token);
  const card = page.locator("article", { hasText: cancel.id });
  for (const text of ["Cancel a workflow", "Acme LLC", "Mutual NDA", "Review, active", "Ada Byron", "cannot be taken up again"]) {
    assert.ok((await card.textContent()).includes(text), `${text} is not shown`);
  }
  const change = await card.locator("table.changes tbody tr").first().locator("th,td").allTextContents();
  assert.deepEqual(change, ["status", "active", "cancelled"]);
  await look(page, "waiting");

  // Nothing that a contract says runs, nor would a script if one got in.
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.pwned = 1";
    document.head.append(script);
  }).catch(() => {});
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.ok((await page.textContent("main")).includes("<script>window.pwned = 1</script>"));
  const cookie = (await context.cookies())[0];
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);

  // Another site's form: neither its origin nor its token is ours.
  const forged = await page.evaluate(async ([path, body]) => {
    const reply = await fetch(path, { method: "POST", body: new URLSearchParams(body) }).catch(() => null);
    return reply?.status ?? "blocked";
  }, [`/approvals/decide/${cancel.id}`, { csrf: "forged", decision: "approve" }]);
  assert.ok(forged === "blocked" || forged === 403, `${forged}`);
  const form = new URLSearchParams({ csrf: "forged", decision: "approve" });
  const target = `${url}/approvals/decide/${cancel.id}`;
  const cookies = { cookie: `${cookie.name}=${cookie.value}` };
  assert.equal((await fetch(target, { method: "POST", body: form, headers: { ...cookies, origin: url } })).status, 403);
  assert.equal((await fetch(target, { method: "POST", body: form, headers: { ...cookies, origin: "https://evil.example" } })).status, 403);

  // Two people: the second is told who came first.
  const second = await signIn(await browser.newContext(), token);
  await tabTo(page, cancel.id, "Approve");
  await look(page, "keyboard-focus");
  await page.keyboard.press("Enter");
  await page.waitForURL(/said=approved/);
  assert.match(await page.textContent("[role=status]"), /^Approved: contracts-bot would cancel workflow/);
  await second.locator("article", { hasText: cancel.id }).getByRole("button", { name: "Decline" }).click();
  await second.waitForURL(/said=before/);
  assert.match(await second.textContent("[role=status]"), /Nothing was changed: this is approved already, by /);
  assert.equal((await call("cancel_workflow", { plan: cancel.plan })).done, true);

  await page.locator("article", { hasText: evilCancel.id }).getByLabel("Reason").fill("not yet");
  await tabTo(page, evilCancel.id, "Decline");
  await page.keyboard.press("Enter");
  await page.waitForURL(/said=declined/);
  const { error } = await call("cancel_workflow", { plan: evilCancel.plan });
  assert.match(error.message, /declined it .*not yet/);

  // An approval that expires while somebody looks at it.
  const late = await waiting("cancel_workflow", { workflow_id: evil.id, comment: "again" });
  await page.goto(`${url}/approvals`);
  const folder = join(home, "state/ironclad-mcp/approvals");
  assert.ok(readdirSync(folder).includes(`${late.id}.json`));
  const file = join(folder, `${late.id}.json`);
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file)), expires: Math.floor(Date.now() / 1000) - 1 }));
  await page.locator("article", { hasText: late.id }).getByRole("button", { name: "Approve" }).click();
  await page.waitForURL(/said=before/);
  assert.match(await page.textContent("[role=status]"), /Too late/);
  const decided = (await page.locator(".past .standing").allTextContents()).sort();
  assert.deepEqual(decided, ["approved, done", "declined", "expired"]);
  await look(page, "decisions");

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForSelector("#token");
  console.log("the approvals page: signed in, approved and declined by keyboard; forged, late and second decisions refused");
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  await main(browser);
} finally {
  await browser.close();
  program.kill();
  rmSync(home, { recursive: true, force: true });
}
