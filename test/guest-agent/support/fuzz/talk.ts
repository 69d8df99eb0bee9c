import { connect } from "node:net";

/** Longer than any answer takes; whoever is silent for as long has forgotten the request. */
const silenceMs = 20_000;
/** What a request that is no request gets to be answered in, before its sender ends it. */
const patienceMs = 20;

/** How a conversation comes to its end. */
export interface Ending {
  /** The bytes may be half a request, for which an agent waits as long as the client does. */
  readonly hangUp?: boolean;
}

/**
 * Sends bytes, each character one, over a connection of its own, and answers what came back until the agent closed it,
 * or until an answer that may be without end had begun. Fails when the agent does neither.
 */
export async function talk(baseUrl: string, text: string, { hangUp = false }: Ending = {}): Promise<string> {
  const { hostname, port } = new URL(baseUrl);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let answer = "";
  socket.setEncoding("latin1").on("data", (piece: string) => {
    answer += piece;
    if (isStream(answer)) socket.destroy();
  });
  // The agent may close while it is still being written to, and it may have answered before.
  socket.on("error", () => {});
  let silent = false;
  socket.setTimeout(silenceMs, () => {
    silent = true;
    socket.destroy();
  });
  socket.write(text, "latin1");
  const patience = hangUp ? setTimeout(() => socket.end(), patienceMs) : undefined;
  await new Promise((resolve) => socket.once("close", resolve));
  clearTimeout(patience);
  if (silent) throw new Error("neither an answer nor an end");
  return answer;
}

/** Whether the first message of a stream, which may have no end, is there. */
function isStream(answer: string): boolean {
  const [head = "", body = ""] = answer.split(/\r\n\r\n(.*)/s);
  const [line, size = ""] = /^([0-9a-f]+)\r\n/i.exec(body) ?? [""];
  const isWhole = size !== "" && body.length >= line.length + Number.parseInt(size, 16);
  return isWhole && /^content-type: application\/(connect|grpc)/im.test(head);
}
