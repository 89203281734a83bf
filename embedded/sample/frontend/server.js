// The sample's frontend: pages rendered on the server from what the backend answers; no framework, no dependency.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const VERSION = process.env.TERRACE_VERSION || "unreleased";
const PORT = Number(process.env.PORT || 3000);
const BACKEND = process.env.BACKEND_URL || "http://127.0.0.1:8080";
const BACKEND_TIMEOUT_MS = 30_000;
const GRACE_MS = 28_000;

const [fault, faultSeconds] = readFault();
if (fault === "exits") {
  console.error("this release exits at once, on purpose");
  process.exit(1);
}
if (fault === "dies") {
  setTimeout(() => process.abort(), Number(faultSeconds) * 1000);
}

const GROWN_BYTES = 1.5 * 2 ** 30; // more than its unit may have, less than a box has
let draining = false;

function readFault() {
  const file = path.join(__dirname, "fault");
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split(" ") : ["", "0"];
}

function escape(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (each) => names[each]);
}

async function ask(where) {
  const answer = await fetch(`${BACKEND}${where}`, { signal: AbortSignal.timeout(BACKEND_TIMEOUT_MS) });
  if (!answer.ok) {
    throw new Error(`the backend answered ${answer.status}`);
  }
  return answer.json();
}

function page(totals, listed) {
  const rows = listed.receipts
    .map((each) => `<tr><td>${escape(each.paid_on)}</td><td>${escape(each.merchant)}</td><td>${escape(each.total_krw)}</td></tr>`)
    .join("\n");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Receipts</title>
<h1>Receipts</h1>
<p>${escape(totals.receipts)} receipts, ${escape(totals.total_krw)} won</p>
<table>
<tr><th>paid on</th><th>merchant</th><th>won</th></tr>
${rows}
</table>
<footer>frontend ${escape(VERSION)}, backend ${escape(totals.version)}</footer>
</html>
`;
}

async function answer(request, response) {
  const url = new URL(request.url, "http://sample");
  if (url.pathname === "/_health") {
    const up = !draining && fault !== "never-healthy";
    return send(response, up ? 200 : 503, "application/json", JSON.stringify({ status: up ? "UP" : "DOWN", version: VERSION }));
  }
  if (fault === "grows" && url.pathname === "/grow") {
    const held = [];
    while (held.length * 2 ** 25 < GROWN_BYTES) {
      held.push(Buffer.alloc(2 ** 25, 1));
    }
    return send(response, 200, "text/plain", `${held.length * 32} MiB\n`);
  }
  if (url.pathname !== "/" || request.method !== "GET") {
    return send(response, 404, "text/plain", "nothing is here\n");
  }
  try {
    const [totals, listed] = await Promise.all([ask("/api/totals"), ask("/api/receipts?limit=10")]);
    return send(response, 200, "text/html; charset=utf-8", page(totals, listed));
  } catch (error) {
    console.error(`GET /: ${error.message}`);
    return send(response, 503, "text/html; charset=utf-8", "<!doctype html><p>Back in a moment.</p>\n");
  }
}

function send(response, status, type, body) {
  response.writeHead(status, { "Content-Type": type, "X-Terrace-Version": VERSION, ...(draining ? { Connection: "close" } : {}) });
  response.end(body);
}

const server = http.createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
});
// Longer than Nginx keeps an idle connection to us (60 s), so that it is Nginx who closes.
server.keepAliveTimeout = 120_000;
server.listen(PORT, "127.0.0.1", () => console.log(`version ${VERSION} on port ${PORT}`));

function drain() {
  if (draining) {
    return;
  }
  draining = true;
  console.log("told to end: answering what is under way");
  // Stops listening and closes idle connections; ends when the last answer is out.
  server.close(() => process.exit(0));
  setTimeout(() => process.exit(1), GRACE_MS).unref();
}

process.on("SIGTERM", drain);
process.on("SIGINT", drain); // Ctrl-C at a terminal
