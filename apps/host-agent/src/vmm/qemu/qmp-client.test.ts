import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { afterEach, beforeEach, expect, test } from "vitest";
import { QmpClient } from "./qmp-client.ts";

let stack: AsyncDisposableStack;
let monitor: Socket;
let client: Socket;
let commands: Interface;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const path = join(tmpdir(), `wrenn-qmp-${process.pid}-${Math.random()}`);
  const server = createServer().listen(path);
  stack.defer(() => void server.close());
  await once(server, "listening");
  client = connect(path);
  [monitor] = (await once(server, "connection")) as [Socket];
  stack.defer(() => void monitor.destroy());
  stack.defer(() => void client.destroy());
  commands = createInterface({ input: monitor });
});
afterEach(() => stack.disposeAsync());

async function opened(): Promise<QmpClient> {
  const opening = QmpClient.open(client);
  monitor.write('{"QMP":{"version":{}}}\n');
  const { execute, id } = await nextCommand();
  expect(execute).toBe("qmp_capabilities");
  monitor.write(`${JSON.stringify({ return: {}, id })}\n`);
  return await opening;
}

async function nextCommand(): Promise<{ execute: string; id: number }> {
  const [line] = (await once(commands, "line")) as [string];
  return JSON.parse(line);
}

test("answers find their commands, whatever their order", async () => {
  const qmp = await opened();
  const both = Promise.all([qmp.execute("first"), qmp.execute("second")]);
  monitor.write('{"return":2,"id":3}\n{"event":"STOP"}\n{"return":1,"id":2}\n');
  expect(await both).toEqual([1, 2]);
});

test("a refusal carries QEMU's reason", async () => {
  const qmp = await opened();
  const refused = qmp.execute("x");
  monitor.write('{"error":{"class":"GenericError","desc":"no such node"},"id":2}\n');
  await expect(refused).rejects.toMatchObject({ code: "agent_error", message: "QEMU refused: no such node" });
});

test("events reach their listeners until they are taken off", async () => {
  const qmp = await opened();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const off = qmp.on("MIGRATION", resolve);
  monitor.write('{"event":"OTHER","data":{}}\n{"event":"MIGRATION","data":{"status":"completed"}}\n');
  expect(await promise).toEqual({ status: "completed" });
  off();
});

test("commands under way fail when the monitor goes, and so do later ones", async () => {
  const qmp = await opened();
  const pending = expect(qmp.execute("x")).rejects.toThrow();
  monitor.destroy();
  await pending;
  await expect(qmp.execute("y")).rejects.toThrow();
});

test("what is not QMP ends the connection", async () => {
  const qmp = await opened();
  const pending = expect(qmp.execute("x")).rejects.toThrow("not QMP");
  monitor.write("hello\n");
  await pending;
});
