import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { toConnectError, WrennError } from "@wrenn/contracts";
import { HostService } from "@wrenn/contracts/host";

/** What a peer answers; a test gives what it needs. */
export type Answers = Partial<ServiceImpl<typeof HostService>>;

export interface ForeignAgent extends AsyncDisposable {
  url: string;
  /** Token that it asks for from now on. */
  token: string;
  answers: Answers;
}

/**
 * A peer that speaks the protocol of host agents and does whatever a test says: for answers that our own agent
 * cannot be made to give at the right moment.
 */
export async function startForeignAgent(answers: Answers = {}): Promise<ForeignAgent> {
  const agent = { token: "t".repeat(64), answers };
  const server = createServer(
    connectNodeAdapter({
      routes: (router) =>
        router.service(
          HostService,
          dispatch(() => agent.answers),
        ),
      interceptors: [
        (next) => async (request) => {
          if (request.header.get("authorization") === `Bearer ${agent.token}`) return next(request);
          throw toConnectError(new WrennError("unauthorized", "wrong token"));
        },
      ],
    }),
  );
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(agent, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
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
