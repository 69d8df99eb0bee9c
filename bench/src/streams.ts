import { setTimeout as sleep } from "node:timers/promises";
import type { Api } from "@wrenn/test/support/api";
import { timed } from "./statistics.ts";

/**
 * The stream that is measured is a file's: `POST /exec` answers when the command has ended, with at most 8 MiB of
 * its output, so no client can be streamed 256 MiB of it yet. A file takes the same way, guest agent, host agent and
 * control plane with back-pressure on each hop, and every byte of it can be counted. Output of a command is measured
 * as far as it goes: the control plane takes all of it and keeps the beginning.
 */
const zeros = "/root/zeros";

/** How slow the slow reader is while the quick one reads: some 5 MB/s. */
const slowPauseMs = 50;
const slowPieceBytes = 256 * 1024;

/** Makes the file. It has no blocks, so reading it costs the guest no disk. */
export async function makeZeros(api: Api, id: string, size: number): Promise<void> {
  await api.exec(id, { cmd: "truncate", args: ["-s", String(size), zeros] });
}

/** Streams the file to one client as fast as it goes while another dawdles over its own stream of it. */
export async function readBesideSlowReader(
  api: Api,
  id: string,
  size: number,
): Promise<{ mbPerSecond: number; lostBytes: number }> {
  const hurry = new AbortController();
  const slow = readSlowly(await openZeros(api, id), hurry.signal);
  // A failure of the slow one is told by the await below, after the quick one.
  slow.catch(() => {});
  const quick = await timed(async () => await count(await openZeros(api, id)));
  hurry.abort();
  const lost = size - quick.value + (size - (await slow));
  return { mbPerSecond: size / 1e6 / (quick.ms / 1000), lostBytes: lost };
}

/** Has a command write as much, and answers how fast the control plane took it. */
export async function drainOutput(api: Api, id: string, size: number): Promise<number> {
  const { ms, value } = await timed(() =>
    api.exec(id, { cmd: "head", args: ["-c", String(size), "/dev/zero"], timeout_sec: 120 }),
  );
  if (value.exit_code !== 0 || !value.truncated) throw new Error("head did not write what it should");
  return size / 1e6 / (ms / 1000);
}

async function openZeros(api: Api, id: string): Promise<ReadableStream<Uint8Array>> {
  const response = await api.call("POST", `/v1/capsules/${id}/files/read`, { path: zeros });
  if (response.status !== 200 || !response.body) throw new Error(`read answered ${response.status}`);
  return response.body;
}

async function count(stream: ReadableStream<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  return bytes;
}

async function readSlowly(stream: ReadableStream<Uint8Array>, hurry: AbortSignal): Promise<number> {
  let [bytes, sincePause] = [0, 0];
  for await (const chunk of stream) {
    bytes += chunk.length;
    sincePause += chunk.length;
    if (sincePause < slowPieceBytes || hurry.aborted) continue;
    sincePause = 0;
    await sleep(slowPauseMs, undefined, { signal: hurry }).catch(() => {});
  }
  return bytes;
}
