// Load on profile-api, for k6: PROFILE names the shape (smoke, load-100,
// load-1000, spike, soak), DURATION stretches or shortens it.
//
//   BASE_URL  the API, http://127.0.0.1:8080 without it
//   TOKENS    a JSON file: {"people": ["token", …], "admin": "token"}; they must live as long as the run
//   REPORT    folder for summary.txt, summary.json and report.html; none: standard output alone
//   LATENCY   "off" leaves the limits on times out, for machines that are too small or shared
//   FAIL      "on" sets a limit that nothing can keep, to see a run fail
//
// `make load` starts everything and sets them. Nothing is fetched from anywhere else, and no token gets into a report.
import http from "k6/http";
import { check, group, sleep } from "k6";
import { textSummary, htmlReport } from "./report.js";

const base = __ENV.BASE_URL || "http://127.0.0.1:8080";
const tokens = JSON.parse(open(__ENV.TOKENS));
const shape = __ENV.PROFILE || "smoke";
const duration = __ENV.DURATION;

const steady = (vus, ramp, hold) => ({
  executor: "ramping-vus",
  startVUs: 0,
  stages: [
    { duration: ramp, target: vus },
    { duration: duration || hold, target: vus },
    { duration: "5s", target: 0 },
  ],
  gracefulRampDown: "10s",
});

const scenarios = {
  smoke: { executor: "constant-vus", vus: 3, duration: duration || "20s" },
  "load-100": steady(100, "10s", "2m"),
  "load-1000": steady(1000, "30s", "2m"),
  spike: {
    executor: "ramping-vus",
    startVUs: 50,
    stages: [
      { duration: "15s", target: 50 },
      { duration: "3s", target: 800 },
      { duration: duration || "30s", target: 800 },
      { duration: "3s", target: 50 },
      { duration: "20s", target: 50 },
    ],
    gracefulRampDown: "10s",
  },
  soak: steady(100, "10s", "1h"),
};
if (!scenarios[shape]) throw new Error(`PROFILE is ${shape}; there are ${Object.keys(scenarios).join(", ")}`);

const thresholds = { checks: ["rate>0.999"], http_req_failed: ["rate<0.001"] };
// One threshold a route, so that the summary has its percentiles; the limits are the objectives of docs/adr/0022.
const routes = ["own profile", "own profile unchanged", "change", "public profile", "public profiles", "handle", "preferences", "search"];
for (const name of routes) {
  thresholds[`http_req_duration{name:${name}}`] = __ENV.LATENCY === "off" ? ["max>=0"] : ["p(95)<300"];
}
if (__ENV.FAIL === "on") thresholds.iterations = ["count<0"];

export const options = {
  scenarios: { [shape]: scenarios[shape] },
  thresholds,
  summaryTrendStats: ["med", "p(90)", "p(95)", "p(99)", "max", "count"],
  discardResponseBodies: false,
  userAgent: "profile-api-load",
};

const json = { "Content-Type": "application/merge-patch+json" };
const bearer = (token) => ({ Authorization: `Bearer ${token}` });
// A shape with fewer people waits less between two clicks, so that the smoke sees enough.
const think = shape === "smoke" ? () => sleep(0.1) : () => sleep(1 + Math.random() * 3);

function call(name, method, path, body, headers, want) {
  const good = [].concat(want);
  const answer = http.request(method, base + path, body, { headers, tags: { name }, responseCallback: http.expectedStatuses(...good) });
  check(answer, { [`${name} is ${good.join(" or ")}`]: (r) => good.includes(r.status) });
  return answer;
}

export default function () {
  const token = tokens.people[(__VU - 1) % tokens.people.length];
  group("visit", () => {
    const own = call("own profile", "GET", "/v1/profiles/me", null, bearer(token), 200);
    const me = own.status === 200 ? own.json() : {};
    think();
    // 200 when Clerk's word on somebody new has come in between.
    call("own profile unchanged", "GET", "/v1/profiles/me", null, Object.assign({ "If-None-Match": own.headers.Etag || "" }, bearer(token)), [304, 200]);
    if (Math.random() < 0.3) {
      think();
      const place = `place ${__VU}-${__ITER}`;
      const changed = call("change", "PATCH", "/v1/profiles/me", JSON.stringify({ location: place }), Object.assign({}, json, bearer(token)), 200);
      check(changed, { "the change is in the answer": (r) => r.status !== 200 || r.json("location") === place });
    }
    if (me.handle) {
      think();
      call("public profile", "GET", `/v1/profiles/${me.handle}`, null, {}, 200);
      call("public profiles", "GET", `/v1/profiles?handles=${me.handle},nobody_here`, null, {}, 200);
    }
    if (Math.random() < 0.2) call("handle", "GET", `/v1/handles/free_${__VU}_${__ITER}`, null, bearer(token), 200);
    if (Math.random() < 0.2) call("preferences", "GET", "/v1/profiles/me/preferences", null, bearer(token), 200);
    if (Math.random() < 0.02) call("search", "GET", "/v1/admin/profiles?q=a&limit=20", null, bearer(tokens.admin), 200);
  });
  think();
}

export function handleSummary(data) {
  const text = textSummary(data, shape, routes);
  if (!__ENV.REPORT) return { stdout: text };
  return {
    stdout: text,
    [`${__ENV.REPORT}/${shape}.txt`]: text,
    [`${__ENV.REPORT}/${shape}.json`]: JSON.stringify(data, null, 1),
    [`${__ENV.REPORT}/${shape}.html`]: htmlReport(data, shape, routes),
  };
}
