import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type ListenAddress, type Logger, listenError, wrennVersion } from "@wrenn/daemon";
import type { AgentMetrics } from "./metrics.ts";

export interface MetricsServerOptions {
  readonly metrics: AgentMetrics;
  /** What is still missing before this host can take capsules; empty when nothing is. */
  readonly missing: () => string[];
  readonly logger: Logger;
}

/**
 * The port for an operator's monitoring: `/metrics`, `/health` (the process answers) and `/ready` (the control plane
 * knows this host, and slots are made). It tells nothing of what is in a capsule and takes nothing.
 */
export async function serveMetrics(
  address: ListenAddress,
  options: MetricsServerOptions,
): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?", 1)[0];
    answer(request.method, path, response, options).catch((error: unknown) => {
      options.logger.error({ err: error }, "metrics request failed");
      response.destroy();
    });
  });
  // An operator's port, not a public one: nobody needs many connections, or a long time to ask.
  server.maxConnections = 64;
  server.requestTimeout = 10_000;
  const port = await listen(server, address);
  options.logger.info({ port }, "metrics are served");
  return {
    port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  method: string | undefined,
  path: string | undefined,
  response: ServerResponse,
  { metrics, missing }: MetricsServerOptions,
): Promise<void> {
  if (method !== "GET") return sendJson(response, 405, { status: "only GET is answered" });
  switch (path) {
    case "/metrics": {
      const body = await metrics.registry.metrics();
      response.writeHead(200, { "content-type": metrics.registry.contentType }).end(body);
      return;
    }
    case "/health":
      return sendJson(response, 200, { status: "ok", version: wrennVersion });
    case "/ready": {
      const left = missing();
      if (left.length === 0) return sendJson(response, 200, { status: "ok" });
      return sendJson(response, 503, { status: "not ready", missing: left });
    }
    default:
      return sendJson(response, 404, { status: "there are /metrics, /health and /ready" });
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

async function listen(server: Server, address: ListenAddress): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host: address.host, port: address.port }, resolve);
  await promise.catch((error: unknown) => {
    throw listenError(address, "WRENN_HOST_METRICS_ADDR", error);
  });
  return (server.address() as AddressInfo).port;
}
