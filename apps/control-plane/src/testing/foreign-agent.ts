import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { HostService } from "@wrenn/contracts/host";
import type { TlsMaterial } from "../authority/authority.ts";

/** What a peer answers; a test gives what it needs. */
export type Answers = Partial<ServiceImpl<typeof HostService>>;

export interface ForeignAgent extends AsyncDisposable {
  /** `IP:PORT` */
  address: string;
  answers: Answers;
  /** Shows this certificate to connections from now on, and lets in whom its authority knows; others are cut. */
  identify(identity: TlsMaterial): void;
}

/**
 * A peer that speaks the protocol of host agents and does whatever a test says: for answers that our own agent
 * cannot be made to give at the right moment. Until it has an identity, no handshake with it succeeds.
 */
export async function startForeignAgent(answers: Answers = {}): Promise<ForeignAgent> {
  const agent = { answers };
  const tls = { minVersion: "TLSv1.3", requestCert: true, rejectUnauthorized: true } as const;
  const server = createSecureServer(
    tls,
    connectNodeAdapter({
      routes: (router) =>
        router.service(
          HostService,
          dispatch(() => agent.answers),
        ),
    }),
  );
  const sessions = new Set<{ destroy(): void }>();
  const cut = () => {
    for (const session of sessions) session.destroy();
    sessions.clear();
  };
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(agent, {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    identify(identity: TlsMaterial) {
      server.setSecureContext({ ...tls, ...identity });
      cut();
    },
    async [Symbol.asyncDispose]() {
      cut();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  });
}

/** Looks the answer up at each call, so that a test can change it. */
function dispatch(answers: () => Answers): ServiceImpl<typeof HostService> {
  return new Proxy({} as ServiceImpl<typeof HostService>, {
    get: (_, name: keyof Answers) => (request: never, context: never) => {
      const answer = answers()[name] as ((request: never, context: never) => unknown) | undefined;
      if (answer) return answer(request, context);
      if (name === "describeHost") return { epoch: "1", agentVersion: "9", templates: ["minimal"] };
      throw new ConnectError(`no answer to ${name}`, Code.Unimplemented);
    },
  });
}
