// Calls a running API through the generated types and ends with a status other
// than 0 when anything is not as the document says.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
}

const api = (token?: string) =>
  createClient<paths>({
    baseUrl: setting("API_URL"),
    querySerializer: { array: { style: "form", explode: false } }, // handles=a,b
    headers: token ? { Authorization: `Bearer ${token}` } : {},
  });
const me = api(setting("TOKEN"));
const admin = api(setting("ADMIN_TOKEN"));
const anyone = api();

// step names what is tried, so that a failure tells where it was.
async function step(name: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
    console.log(`ok    ${name}`);
  } catch (error) {
    process.exitCode = 1;
    console.error(`FAIL  ${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

// must gives the data of an answer of success.
function must<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  assert.ok(answer.response.ok && answer.data !== undefined, `${answer.response.status} ${JSON.stringify(answer.error)}`);
  return answer.data;
}

let profile: components["schemas"]["OwnProfile"];
let etag = "";

await step("own profile", async () => {
  const answer = await me.GET("/v1/profiles/me");
  profile = must(answer);
  etag = answer.response.headers.get("ETag") ?? "";
  assert.equal(etag, `"v${profile.version}"`);
});

await step("patch with If-Match", async () => {
  const answer = await me.PATCH("/v1/profiles/me", {
    params: { header: { "If-Match": etag } },
    body: { display_name: `Client ${profile.version}`, links: [{ label: "Notes", url: "https://example.org/notes" }], bio: null },
  });
  assert.equal(must(answer).version, profile.version + 1);
});

await step("stale If-Match is 412", async () => {
  const answer = await me.PATCH("/v1/profiles/me", { params: { header: { "If-Match": etag } }, body: { bio: "late" } });
  assert.equal(answer.response.status, 412);
  assert.equal(answer.error?.code, "precondition-failed");
});

await step("a 422 is narrowed by its code", async () => {
  const { error } = await me.PATCH("/v1/profiles/me", { body: { handle: "admin" } });
  assert.ok(error?.code === "validation-failed", JSON.stringify(error));
  const first: components["schemas"]["FieldError"] | undefined = error.errors[0]; // only this kind of problem has errors
  assert.equal(first?.pointer, "/handle");
  assert.equal(first?.code, "reserved");
});

await step("public read", async () => {
  const answer = await anyone.GET("/v1/profiles/{handle}", { params: { path: { handle: profile.handle } } });
  assert.equal(must(answer).id, profile.id);
  assert.ok(!("email" in must(answer)));
});

await step("batch", async () => {
  const page = must(await anyone.GET("/v1/profiles", { params: { query: { handles: [profile.handle, "nobody_at_all"] } } }));
  assert.deepEqual(page.data.map((p) => p.handle), [profile.handle]);
  assert.equal(page.next_cursor, null);
});

await step("handle", async () => {
  const taken = must(await anyone.GET("/v1/handles/{handle}", { params: { path: { handle: profile.handle } } }));
  assert.equal(taken.available, false);
  assert.equal(taken.reason, "taken");
});

await step("preferences", async () => {
  const read = await me.GET("/v1/profiles/me/preferences");
  const before = must(read);
  const theme = before.theme === "dark" ? "light" : "dark";
  const after = must(
    await me.PATCH("/v1/profiles/me/preferences", {
      params: { header: { "If-Match": read.response.headers.get("ETag") ?? "" } },
      body: { theme, email_notifications: { digest: true } },
    }),
  );
  assert.equal(after.theme, theme);
  assert.equal(after.email_notifications.digest, true);
  assert.equal(after.version, before.version + 1);
});

await step("list with a cursor", async () => {
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const query: { limit: number; cursor?: string } = cursor === null ? { limit: 1 } : { limit: 1, cursor };
    const page: components["schemas"]["AuditEventPage"] = must(await me.GET("/v1/profiles/me/activity", { params: { query } }));
    seen.push(...page.data.map((e) => e.id));
    cursor = page.next_cursor;
  } while (cursor !== null && seen.length < 1000);
  assert.ok(seen.length >= 2, `${seen.length} events`);
  assert.equal(new Set(seen).size, seen.length);
});

await step("admin list", async () => {
  const page = must(await admin.GET("/v1/admin/profiles", { params: { query: { q: profile.handle, status: "active", sort: "handle" } } }));
  assert.ok(page.data.some((p) => p.id === profile.id && p.suspended_reason === null));
  const refused = await me.GET("/v1/admin/profiles");
  assert.equal(refused.response.status, 403);
  assert.equal(refused.error?.code, "forbidden");
});
