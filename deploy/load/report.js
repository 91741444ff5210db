// Reports of a run: a text for the terminal and for docs/performance.md (a
// Markdown table), and a page in HTML that needs nothing from anywhere.

const ms = (v) => (v === undefined ? "–" : v.toFixed(v < 10 ? 1 : 0));

function rows(data, routes) {
  const list = routes.map((name) => [name, data.metrics[`http_req_duration{name:${name}}`]]);
  list.push(["all", data.metrics.http_req_duration]);
  return list
    .filter(([, m]) => m && m.values.count > 0)
    .map(([name, m]) => {
      const v = m.values;
      return [name, String(v.count), ms(v.med), ms(v["p(90)"]), ms(v["p(95)"]), ms(v["p(99)"]), ms(v.max)];
    });
}

const head = ["route", "requests", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "max ms"];

function outline(data, shape) {
  const m = data.metrics;
  const failed = m.http_req_failed ? m.http_req_failed.values.passes : 0;
  const seconds = data.state.testRunDurationMs / 1000;
  const broken = [];
  for (const [name, metric] of Object.entries(m)) {
    for (const [rule, result] of Object.entries(metric.thresholds || {})) if (!result.ok) broken.push(`${name} ${rule}`);
  }
  return {
    title: `${shape}: ${m.http_reqs.values.count} requests in ${seconds.toFixed(0)} s (${(m.http_reqs.values.count / seconds).toFixed(1)}/s), at most ${m.vus_max.values.max} people at once, ${failed} failed`,
    verdict: broken.length ? `limits broken: ${broken.join("; ")}` : "all limits kept",
  };
}

export function textSummary(data, shape, routes) {
  const { title, verdict } = outline(data, shape);
  const table = [head, head.map((_, i) => (i ? "---:" : "---")), ...rows(data, routes)].map((r) => `| ${r.join(" | ")} |`);
  return `\n${title}\n\n${table.join("\n")}\n\n${verdict}\n`;
}

const escape = (s) => s.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

export function htmlReport(data, shape, routes) {
  const { title, verdict } = outline(data, shape);
  const line = (cells, tag) => `<tr>${cells.map((c) => `<${tag}>${escape(c)}</${tag}>`).join("")}</tr>`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(shape)}</title>
<style>body{font:16px system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}table{border-collapse:collapse}td,th{padding:.3rem .8rem;border-bottom:1px solid #ccc;text-align:right}td:first-child,th:first-child{text-align:left}</style>
<h1>${escape(shape)}</h1><p>${escape(title)}</p><table>${line(head, "th")}${rows(data, routes).map((r) => line(r, "td")).join("")}</table><p>${escape(verdict)}</p></html>`;
}
