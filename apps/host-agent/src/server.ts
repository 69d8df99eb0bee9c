import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { toConnectError, WrennError } from "@wrenn/contracts";
import { HostService } from "@wrenn/contracts/host";
import { type ListenAddress, type Logger, listenError } from "@wrenn/daemon";
import { capsuleRoutes } from "./capsules/routes.ts";
import type { CapsuleService } from "./capsules/service.ts";
import { execRoutes } from "./exec/routes.ts";
import { fileRoutes } from "./files/routes.ts";
import { carriesToken } from "./host/host-token.ts";
import { hostRoutes } from "./host/routes.ts";
import type { TemplateStore } from "./templates/template-store.ts";
import type { Vmm } from "./vmm/vmm.ts";

export interface ServerOptions {
  readonly capsules: CapsuleService;
  readonly templates: TemplateStore;
  readonly vmm: Vmm;
  readonly epoch: string;
  readonly token: string;
  readonly logger: Logger;
}

/** The agent's one port: Connect over HTTP/2, for whoever carries the host token. */
export async function serve(
  address: ListenAddress,
  options: ServerOptions,
): Promise<{ port: number } & AsyncDisposable> {
  const { capsules, templates, vmm, epoch } = options;
  const routes = (router: ConnectRouter) => {
    router.service(HostService, {
      ...hostRoutes(vmm, templates, epoch),
      ...capsuleRoutes(capsules, epoch),
      ...execRoutes(capsules),
      ...fileRoutes(capsules),
    });
  };
  const handler = connectNodeAdapter({
    routes,
    grpc: false,
    grpcWeb: false,
    acceptCompression: [],
    interceptors: [mapErrors(options.logger), requireToken(options.token)],
  });
  const server = createServer(handler);
  const { port } = await listen(server, address);
  const sessions = new Set<{ close(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });
  const dispose = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const session of sessions) session.close();
    await closed;
  };
  return { port, [Symbol.asyncDispose]: dispose };
}

async function listen(server: Http2Server, address: ListenAddress): Promise<AddressInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host: address.host, port: address.port }, resolve);
  await promise.catch((error: unknown) => {
    throw listenError(address, "WRENN_HOST_LISTEN_ADDR", error);
  });
  return server.address() as AddressInfo;
}

function requireToken(token: string): Interceptor {
  return (next) => async (request) => {
    if (carriesToken(request.header.get("authorization"), token)) return await next(request);
    throw new WrennError("unauthorized", "the host token is missing or wrong");
  };
}

/** The one place where errors become Connect's; what is not in the catalogue is a defect and goes to the log. */
function mapErrors(logger: Logger): Interceptor {
  const mapped = (error: unknown, method: string) => {
    if (!(error instanceof WrennError)) logger.error({ err: error, method }, "call failed");
    return toConnectError(error);
  };
  return (next) => async (request) => {
    const method = request.method.name;
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: mapStream(response.message, (error) => mapped(error, method)) };
    } catch (error) {
      throw mapped(error, method);
    }
  };
}

async function* mapStream<T>(
  messages: AsyncIterable<T>,
  mapped: (error: unknown) => Error,
): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw mapped(error);
  }
}
