import { createHash } from "node:crypto";

/** SHA-256 of what a request asks for. The order of a body's fields makes no difference. */
export function requestHash(request: { method: string; url: string; body?: unknown }): Buffer {
  const { method, url, body } = request;
  return createHash("sha256")
    .update(JSON.stringify([method, url, sorted(body ?? null)]))
    .digest();
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return fields.map(([name, field]) => [name, sorted(field)]);
}
