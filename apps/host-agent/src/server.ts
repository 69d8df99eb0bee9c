import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2Session,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import {
  type ConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { WrennError } from "@wrenn/contracts";
import { HostService } from "@wrenn/contracts/host";
import { type ListenAddress, type Logger, listenError } from "@wrenn/daemon";
import { observeCalls } from "./calls.ts";
import { capsuleRoutes } from "./capsules/routes.ts";
import type { CapsuleService } from "./capsules/service.ts";
import { Connections } from "./connections.ts";
import { execRoutes } from "./exec/routes.ts";
import { fileRoutes } from "./files/routes.ts";
import { hostRoutes } from "./host/routes.ts";
import type { AgentMetrics } from "./metrics/metrics.ts";
import { controlPlaneName, type HostIdentity } from "./registration/identity.ts";
import type { TemplateStore } from "./templates/template-store.ts";
import type { Vmm } from "./vmm/vmm.ts";

export interface ServerOptions {
  readonly capsules: CapsuleService;
  readonly templates: TemplateStore;
  readonly vmm: Vmm;
  readonly epoch: string;
  readonly metrics: AgentMetrics;
  readonly logger: Logger;
}

export interface AgentServer extends AsyncDisposable {
  readonly port: number;
  /** Serves with these credentials from the next connection on; those that are open stay open. */
  useIdentity(identity: HostIdentity): void;
}

/** Set when the peer's certificate is the control plane's. */
const fromControlPlane = createContextKey(false);

/**
 * The agent's one port: Connect over HTTP/2 over TLS 1.3, for the control plane. Whoever has no certificate of the
 * platform's authority does not get past the handshake, which also fails until there is an identity; whoever has
 * another certificate of it, as other hosts do, gets an error.
 */
export async function serve(address: ListenAddress, options: ServerOptions): Promise<AgentServer> {
  const { logger } = options;
  const trusted = new WeakSet<Http2Session>();
  const handler = connectNodeAdapter({
    routes: routesOf(options),
    grpc: false,
    grpcWeb: false,
    acceptCompression: [],
    interceptors: [observeCalls(logger, options.metrics), requireControlPlane],
    contextValues: (request) => {
      const { session } = (request as Http2ServerRequest).stream;
      return createContextValues().set(fromControlPlane, session !== undefined && trusted.has(session));
    },
  });
  const server = createSecureServer(
    { ...tlsVersion, requestCert: true, rejectUnauthorized: true, handshakeTimeout },
    handler,
  );
  const connections = new Connections(server);
  server.on("session", (session) => {
    if (isControlPlane(session.socket as TLSSocket)) trusted.add(session);
  });
  server.on("tlsClientError", (error, socket) => {
    logger.debug({ err: error, peer: socket.remoteAddress }, "a connection was refused");
  });
  const { port } = await listen(server, address);
  return {
    port,
    useIdentity: (identity) => server.setSecureContext(secureContext(identity)),
    [Symbol.asyncDispose]: () => connections.close(),
  };
}

function routesOf({ capsules, templates, vmm, epoch }: ServerOptions): (router: ConnectRouter) => void {
  return (router) => {
    router.service(HostService, {
      ...hostRoutes(vmm, templates, epoch),
      ...capsuleRoutes(capsules, epoch),
      ...execRoutes(capsules),
      ...fileRoutes(capsules),
    });
  };
}

/** A peer that says nothing is not waited for. */
const handshakeTimeout = 10_000;

const tlsVersion = { minVersion: "TLSv1.3" } as const;

function secureContext({ keyPem, certificatePem, caCertificatePem }: HostIdentity): SecureContextOptions {
  return { ...tlsVersion, key: keyPem, cert: certificatePem, ca: caCertificatePem };
}

/** The name as it stands among the alternative names: no wildcard, no subject. */
const exactly = { subject: "never", wildcards: false } as const;

/** The handshake has verified the chain; what is left is whose certificate it is. */
function isControlPlane(socket: TLSSocket): boolean {
  const certificate = socket.getPeerX509Certificate();
  return socket.authorized && certificate?.checkHost(controlPlaneName, exactly) !== undefined;
}

const requireControlPlane: Interceptor = (next) => async (request) => {
  if (request.contextValues.get(fromControlPlane)) return await next(request);
  throw new WrennError(
    "identity_mismatch",
    "this port is for the control plane, whose certificate this is not",
  );
};

async function listen(server: Http2SecureServer, address: ListenAddress): Promise<AddressInfo> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ ...(address.host === "" ? {} : { host: address.host }), port: address.port }, resolve);
  await promise.catch((error: unknown) => {
    throw listenError(address, "WRENN_HOST_LISTEN_ADDR", error);
  });
  return server.address() as AddressInfo;
}
