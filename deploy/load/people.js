// What people do with the service, in a realistic mix, and what counts as a
// fault. The scripts beside this file only say how many people, for how long.
//
// From the environment, so that nothing secret stands here or in a report:
//   BASE_URL       where the service answers, without a slash at the end; of several replicas without a
//                  balancer, all with commas between: each person keeps to one
//   TOKENS_FILE    JSON {"people": ["token", …], "admin": "token"}; admin may be missing
//   WEBHOOK_SECRET whsec_…, may be missing: then no deliveries are made
//   DURATION       of the whole run, as 45s, 10m or 2h
//   THINK          factor on the think time of 1 to 3 s; 1 unless set
//   LATENCY        off leaves out the thresholds on latency, for machines that are busy otherwise
//   SUMMARY_FILE   where the summary goes as JSON
import http from 'k6/http';
import { check, sleep } from 'k6';
import { SharedArray } from 'k6/data';
import crypto from 'k6/crypto';
import encoding from 'k6/encoding';
import exec from 'k6/execution';

const bases = (__ENV.BASE_URL || '').split(',');
if (!bases[0]) throw new Error('BASE_URL is not set: give the address of the service, such as https://staging.example.org');
if (!__ENV.TOKENS_FILE) throw new Error('TOKENS_FILE is not set: give the path of a JSON file {"people": ["token", …], "admin": "token"}');

const tokens = new SharedArray('tokens', () => JSON.parse(open(__ENV.TOKENS_FILE)).people);
const admin = new SharedArray('admin', () => [JSON.parse(open(__ENV.TOKENS_FILE)).admin || '']);

// p95 in milliseconds by group of routes. The objective is 95 % of all under
// 300 ms; the groups that read by key must do better than those that search.
const limits = {
  'own-read': 300, 'own-patch': 300, 'public-view': 300, 'batch': 300, 'handle': 300, 'preferences': 300, 'admin-search': 1000, 'webhook': 300,
};

// mix has the share of each action, in parts of their sum.
const mix = [
  [40, ownRead], [8, ownPatch], [25, publicView], [10, batch], [7, handle], [8, preferences], [1, adminSearch], [1, webhook],
];
const parts = mix.reduce((sum, [part]) => sum + part, 0);

http.setResponseCallback(http.expectedStatuses(200, 202, 204, 304));

// optionsFor completes the options of a script: thresholds and what of the latencies is kept.
// With recovered, what has the tag phase:recovered has a threshold of its own.
export function optionsFor(stages, recovered = false) {
  const thresholds = { checks: ['rate>0.999'], http_req_failed: ['rate<0.001'] };
  for (const [route, limit] of Object.entries(limits)) {
    // Without a threshold k6 keeps no figures of a route; this one holds always.
    thresholds[`http_req_duration{route:${route}}`] = [__ENV.LATENCY === 'off' ? 'max>=0' : `p(95)<${limit}`];
  }
  if (recovered) {
    thresholds['http_req_duration{phase:recovered}'] = [__ENV.LATENCY === 'off' ? 'max>=0' : 'p(95)<300'];
    thresholds['http_reqs{phase:recovered}'] = ['count>0']; // of none the p95 is 0
  }
  return {
    // Longer than k6 waits for an answer (60 s): a request that stalls while people leave is answered or has failed, and is not cut.
    scenarios: { people: { executor: 'ramping-vus', startVUs: 0, stages, gracefulRampDown: '65s', gracefulStop: '65s' } },
    thresholds,
    setupTimeout: '60s',
    summaryTrendStats: ['count', 'avg', 'p(50)', 'p(95)', 'p(99)', 'max'],
    systemTags: ['group', 'check', 'status', 'method', 'scenario'],
    noVUConnectionReuse: false,
    discardResponseBodies: false,
  };
}

// share is that part (0 to 1) of DURATION, or of what it is unless set (seconds), in a form for stages.
export function share(part, unset) {
  return `${Math.max(1, Math.round(seconds(__ENV.DURATION, unset) * part))}s`;
}

function seconds(text, unset) {
  if (!text) return unset;
  const found = /^(\d+)(s|m|h)$/.exec(text);
  if (!found) throw new Error(`DURATION is "${text}": expected a whole number with s, m or h, such as 45s or 10m`);
  return Number(found[1]) * { s: 1, m: 60, h: 3600 }[found[2]];
}

// setup signs some people in, who get their profiles by that, and returns handles to look at.
export function setup() {
  const handles = [];
  for (let i = 0; i < Math.min(tokens.length, 50); i++) {
    const resp = http.get(`${base()}/v1/profiles/me`, { headers: bearer(tokens[i]), tags: { route: 'setup' } });
    if (resp.status === 200) handles.push(resp.json('handle'));
  }
  if (handles.length === 0) throw new Error('nobody could sign in: are the tokens valid, and is BASE_URL right?');
  return { handles };
}

let etag = ''; // of the own profile, as a browser would keep it

// act is one thing that a person does, and the pause after it.
export function act(data) {
  // The first person begins with each action once, so that no run leaves one out by chance.
  const first = exec.vu.idInTest === 1 ? mix.slice(0, exec.vu.iterationInScenario) : mix;
  let at = first.length < mix.length ? first.reduce((sum, [part]) => sum + part, 0) : Math.random() * parts;
  for (const [part, action] of mix) {
    at -= part;
    if (at < 0) {
      action(data);
      break;
    }
  }
  sleep((1 + 2 * Math.random()) * Number(__ENV.THINK || 1));
}

const base = () => bases[exec.vu.idInTest % bases.length];
const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const mine = () => tokens[exec.vu.idInTest % tokens.length];
const any = (list) => list[Math.floor(Math.random() * list.length)];
let told = 0; // faults that this person has told of; the first say enough

function answers(resp, route, ...statuses) {
  if (check(resp, { [`${route} answers ${statuses.join(' or ')}`]: (r) => statuses.includes(r.status) }) || told >= 2) return;
  told++;
  const code = /"code":"([a-z-]+)"/.exec(resp.body || ''); // of the problem; the rest of a body may be somebody's
  console.warn(`${route}: status ${resp.status} ${code ? code[1] : ''} ${resp.error}`);
}

function ownRead() {
  const headers = bearer(mine());
  if (etag) headers['If-None-Match'] = etag;
  const resp = http.get(`${base()}/v1/profiles/me`, { headers, tags: { route: 'own-read' } });
  answers(resp, 'own-read', 200, 304);
  if (resp.status === 200) etag = resp.headers.Etag;
}

function ownPatch() {
  const resp = http.patch(`${base()}/v1/profiles/me`, JSON.stringify({ bio: `Walks in the hills, ${Math.floor(Math.random() * 1e6)}` }), {
    headers: Object.assign(bearer(mine()), { 'Content-Type': 'application/merge-patch+json' }), tags: { route: 'own-patch' },
  });
  answers(resp, 'own-patch', 200);
}

function publicView(data) {
  answers(http.get(`${base()}/v1/profiles/${any(data.handles)}`, { tags: { route: 'public-view' } }), 'public-view', 200);
}

function batch(data) {
  const from = Math.floor(Math.random() * data.handles.length);
  const handles = data.handles.slice(from, from + 20).join(',');
  answers(http.get(`${base()}/v1/profiles?handles=${handles}`, { tags: { route: 'batch' } }), 'batch', 200);
}

function handle() {
  const name = `free_${Math.floor(Math.random() * 1e9)}`;
  answers(http.get(`${base()}/v1/handles/${name}`, { tags: { route: 'handle' } }), 'handle', 200);
}

function preferences() {
  answers(http.get(`${base()}/v1/profiles/me/preferences`, { headers: bearer(mine()), tags: { route: 'preferences' } }), 'preferences', 200);
}

function adminSearch() {
  if (!admin[0]) return;
  const url = `${base()}/v1/admin/profiles?limit=20&q=${any(['an', 'ma', 'li', 'jo', 'el'])}`;
  answers(http.get(url, { headers: bearer(admin[0]), tags: { route: 'admin-search' } }), 'admin-search', 200);
}

// webhook delivers an event of a type that the service takes and passes over, signed as Svix does:
// HMAC-SHA256 over id, time and body with the key behind whsec_.
function webhook() {
  if (!__ENV.WEBHOOK_SECRET) return;
  const id = `msg_load_${exec.vu.idInTest}_${Date.now()}`;
  const at = Math.floor(Date.now() / 1000);
  const body = JSON.stringify({ data: { id: 'load' }, object: 'event', type: 'session.created', timestamp: at * 1000 });
  const key = encoding.b64decode(__ENV.WEBHOOK_SECRET.replace(/^whsec_/, ''));
  const signature = crypto.hmac('sha256', key, `${id}.${at}.${body}`, 'base64');
  const resp = http.post(`${base()}/v1/webhooks/clerk`, body, {
    headers: { 'Content-Type': 'application/json', 'svix-id': id, 'svix-timestamp': `${at}`, 'svix-signature': `v1,${signature}` }, tags: { route: 'webhook' },
  });
  answers(resp, 'webhook', 200, 202, 204);
}

// handleSummary prints the percentiles and keeps the whole as JSON. Options are left out of that: they are the caller's.
export function handleSummary(data) {
  const lines = ['route             count     p50     p95     p99     max   (ms)'];
  for (const [name, metric] of Object.entries(data.metrics)) {
    const found = /^http_req_duration(?:\{(?:route|phase):(.+)\})?$/.exec(name);
    if (!found) continue;
    const v = metric.values;
    lines.push((found[1] || 'all').padEnd(14) + [v.count, v['p(50)'], v['p(95)'], v['p(99)'], v.max].map((n, i) => (n || 0).toFixed(i ? 1 : 0).padStart(8)).join(''));
  }
  for (const [name, metric] of Object.entries(data.metrics)) {
    for (const [rule, { ok }] of Object.entries(metric.thresholds || {})) {
      if (!ok) lines.push(`FAILED: ${name} ${rule}`);
    }
  }
  for (const { name, fails } of Object.values(data.root_group.checks)) {
    if (fails > 0) lines.push(`${fails} times not: ${name}`);
  }
  const out = { stdout: lines.join('\n') + '\n' };
  if (__ENV.SUMMARY_FILE) out[__ENV.SUMMARY_FILE] = JSON.stringify({ metrics: data.metrics, state: data.state });
  return out;
}
