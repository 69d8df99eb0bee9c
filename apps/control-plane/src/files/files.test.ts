import { request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { toConnectError, WrennError } from "@wrenn/contracts";
import type { ErrorBody } from "@wrenn/contracts/rest";
import type { LightMyRequestResponse } from "fastify";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestControlPlane, type TestControlPlane } from "../testing/control-plane.ts";
import { startTestPostgres, type TestPostgres } from "../testing/postgres.ts";

let postgres: TestPostgres;
let cp: TestControlPlane;
let id: string;
let url: string;
beforeAll(async () => {
  postgres = await startTestPostgres();
  cp = await startTestControlPlane(postgres);
  await cp.api.listen({ host: "127.0.0.1", port: 0 });
  url = `http://127.0.0.1:${(cp.api.server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await cp[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});
beforeEach(async () => {
  id = await cp.runningCapsule();
});

/**
 * Node 24 forgets to give back the session's memory for a longer write that is cut off, until the session refuses
 * every stream with ENHANCE_YOUR_CALM. Agents send chunks of this size at most.
 */
const maxAgentChunk = 64 * 1024;
const mebibyte = Buffer.alloc(1024 * 1024, "x");

describe("reading", () => {
  const read = (path = "/f") => cp.request("POST", `/v1/capsules/${id}/files/read`, { path });

  test("answers the bytes of the file", async () => {
    const bytes = Buffer.from([0, 0xff, 10, 13]);
    cp.agent.answers = {
      async *readFile() {
        yield { chunk: bytes };
        yield { chunk: new Uint8Array() };
        yield { chunk: bytes };
      },
    };
    const response = await read();
    expect(response.statusCode).toBe(200);
    expect(response.headers["content-type"]).toBe("application/octet-stream");
    expect(response.rawPayload).toEqual(Buffer.concat([bytes, bytes]));
  });

  test("an empty file is an empty answer", async () => {
    cp.agent.answers = { async *readFile() {} };
    expect(await read()).toMatchObject({ statusCode: 200, body: "" });
  });

  test("what is wrong before the first byte has its own status", async () => {
    const statuses = { not_found: 404, invalid_request: 400, forbidden: 403 } as const;
    for (const [code, status] of Object.entries(statuses)) {
      cp.agent.answers = {
        // biome-ignore lint/correctness/useYield: it fails before its first message
        async *readFile() {
          throw toConnectError(new WrennError(code as keyof typeof statuses, "said by the guest"));
        },
      };
      const response = await read();
      expect(response.statusCode).toBe(status);
      expect(response.json()).toMatchObject({ error: { code, message: "said by the guest" } });
    }
  });

  test("an error in the middle cuts the answer, so that nobody takes it for whole", async () => {
    cp.agent.answers = {
      async *readFile() {
        yield { chunk: mebibyte };
        throw toConnectError(new WrennError("agent_error", "the guest is gone"));
      },
    };
    const response = await fetch(`${url}/v1/capsules/${id}/files/read`, {
      method: "POST",
      headers: { "x-api-key": cp.apiKey, "content-type": "application/json" },
      body: JSON.stringify({ path: "/f" }),
    });
    expect(response.status).toBe(200);
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  test("a client that leaves ends the reading", async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    cp.agent.answers = {
      async *readFile(_request, context) {
        context.signal.addEventListener("abort", () => resolve());
        for (;;) yield { chunk: mebibyte.subarray(0, maxAgentChunk) };
      },
    };
    const controller = new AbortController();
    const response = await fetch(`${url}/v1/capsules/${id}/files/read`, {
      method: "POST",
      headers: { "x-api-key": cp.apiKey, "content-type": "application/json" },
      body: JSON.stringify({ path: "/f" }),
      signal: controller.signal,
    });
    await response.body?.getReader().read();
    controller.abort();
    await aborted;
  });
});

describe("writing", () => {
  let written: { path: string; bytes: Buffer };
  beforeEach(() => {
    cp.agent.answers = {
      async writeFile(parts) {
        written = { path: "", bytes: Buffer.alloc(0) };
        for await (const { part } of parts) {
          if (part.case === "target") written.path = part.value.path;
          if (part.case === "chunk") written.bytes = Buffer.concat([written.bytes, part.value]);
        }
        return { path: written.path };
      },
    };
  });

  const fieldOf = (response: LightMyRequestResponse) => response.json<ErrorBody>().error.field;
  const file = (content: string) => new Blob([content]);
  async function write(parts: [string, string | Blob][], query = ""): Promise<LightMyRequestResponse> {
    const form = new FormData();
    for (const [name, value] of parts) form.append(name, value);
    const body = new Response(form);
    return cp.inject({
      method: "POST",
      url: `/v1/capsules/${id}/files/write${query}`,
      headers: { "x-api-key": cp.apiKey, "content-type": body.headers.get("content-type") ?? "" },
      payload: Buffer.from(await body.arrayBuffer()),
    });
  }

  test("writes the part file to the part path", async () => {
    const response = await write([
      ["path", "/tmp/ü"],
      ["other", "ignored"],
      ["file", file("content")],
    ]);
    expect(response.statusCode).toBe(204);
    expect(written).toEqual({ path: "/tmp/ü", bytes: Buffer.from("content") });
  });

  test("takes the path from the query too, a file without a file name, and an empty one", async () => {
    expect((await write([["file", file("1")]], "?path=/q")).statusCode).toBe(204);
    expect(written).toEqual({ path: "/q", bytes: Buffer.from("1") });
    expect(
      (
        await write([
          ["path", "/p"],
          ["file", "plain"],
        ])
      ).statusCode,
    ).toBe(204);
    expect(written).toEqual({ path: "/p", bytes: Buffer.from("plain") });
    expect(
      (
        await write([
          ["path", "/e"],
          ["file", file("")],
        ])
      ).statusCode,
    ).toBe(204);
    expect(written).toEqual({ path: "/e", bytes: Buffer.alloc(0) });
  });

  test("a part that is missing, late or wrong is named, and nothing is written", async () => {
    written = { path: "untouched", bytes: Buffer.alloc(0) };
    const wrong: [[string, string | Blob][], string][] = [
      [
        [
          ["file", file("x")],
          ["path", "/late"],
        ],
        "path",
      ],
      [[["file", file("x")]], "path"],
      [
        [
          ["path", ""],
          ["file", file("x")],
        ],
        "path",
      ],
      [[["path", "/p"]], "file"],
      [[], "path"],
      [
        [
          ["path", "/a\0b"],
          ["file", file("x")],
        ],
        "path",
      ],
      [
        [
          ["path", "/".repeat(20_000)],
          ["file", file("x")],
        ],
        "path",
      ],
    ];
    for (const [index, [parts, field]] of wrong.entries()) {
      const response = await write(parts);
      expect(response.statusCode, `request ${index}`).toBe(400);
      expect(fieldOf(response), `request ${index}`).toBe(field);
    }
    expect(written.path).toBe("untouched");
  });

  test("another body is 415, a broken one 400", async () => {
    const send = (contentType: string, payload: string) =>
      cp.inject({
        method: "POST",
        url: `/v1/capsules/${id}/files/write`,
        headers: { "x-api-key": cp.apiKey, "content-type": contentType },
        payload,
      });
    expect((await send("application/json", "{}")).statusCode).toBe(415);
    expect((await send("multipart/form-data", "x")).statusCode).toBe(400);
    expect((await send("multipart/form-data; boundary=b", "--b\r\nbroken")).statusCode).toBe(400);
  });

  test("what the host refuses is the answer, however much is still to come", async () => {
    cp.agent.answers.writeFile = () => {
      throw toConnectError(new WrennError("no_space", "the disk of the capsule is full"));
    };
    const parts: [string, Blob][] = [["file", new Blob([Buffer.alloc(16 * mebibyte.length)])]];
    const response = await write(parts, "?path=/big");
    expect(response.statusCode).toBe(507);
  });

  /** An upload of unknown length whose file has begun. */
  function beginUpload() {
    const headers = { "x-api-key": cp.apiKey, "content-type": "multipart/form-data; boundary=b" };
    const client = httpRequest(`${url}/v1/capsules/${id}/files/write?path=/f`, { method: "POST", headers });
    const answered = new Promise<number | undefined>((resolve) => {
      client.on("response", (response) => resolve(response.resume().statusCode));
    });
    const left = new Promise<void>((resolve) => client.on("error", () => {}).on("close", resolve));
    client.write('--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n');
    return { client, answered, left };
  }

  test("goes no faster than the capsule takes it", async () => {
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    let taken = 0;
    cp.agent.answers.writeFile = async (parts) => {
      for await (const { part } of parts) {
        if (part.case !== "chunk") continue;
        taken += part.value.length;
        begun.resolve();
        await goOn.promise;
      }
      return {};
    };
    const { client, answered } = beginUpload();
    client.write(mebibyte);
    await begun.promise;
    let sent = 1;
    // Every buffer on the way is bounded: at some point nothing is taken any more.
    for (let stuck = 0; stuck < 200 && sent < 256; await setImmediate()) {
      if (client.writableNeedDrain) {
        stuck += 1;
        continue;
      }
      stuck = 0;
      client.write(mebibyte);
      sent += 1;
    }
    expect(sent).toBeLessThan(64);
    goOn.resolve();
    client.end("\r\n--b--\r\n");
    expect(await answered).toBe(204);
    expect(taken).toBe(sent * mebibyte.length);
  });

  test("a client that leaves ends it, and the file is not taken for whole", async () => {
    const begun = Promise.withResolvers<void>();
    const end = Promise.withResolvers<string>();
    cp.agent.answers.writeFile = async (parts) => {
      try {
        for await (const { part } of parts) if (part.case === "chunk") begun.resolve();
        end.resolve("whole");
      } catch {
        end.resolve("cut");
      }
      return {};
    };
    const { client, left } = beginUpload();
    client.write(mebibyte);
    await begun.promise;
    client.destroy();
    await left;
    expect(await end.promise).toBe("cut");
  });
});

describe("listing", () => {
  test("answers entries as clients know them", async () => {
    cp.agent.answers = {
      listDirectory: ({ path, depth }) => ({
        entries: [
          {
            name: "f",
            path: `${path}/f`,
            type: "socket",
            size: BigInt(2 ** 40),
            mode: 0o644,
            permissions: "-rw-r--r--",
            owner: "u",
            group: "g",
            modifiedAt: { seconds: 1_700_000_000n, nanos: 999_999_999 },
            symlinkTarget: String(depth),
          },
        ],
      }),
    };
    const response = await cp.request("POST", `/v1/capsules/${id}/files/list`, { path: "/d", depth: 3 });
    expect(response.json()).toEqual({
      entries: [
        {
          name: "f",
          path: "/d/f",
          type: "unknown",
          size: 2 ** 40,
          mode: 0o644,
          permissions: "-rw-r--r--",
          owner: "u",
          group: "g",
          modified_at: 1_700_000_000,
          symlink_target: "3",
        },
      ],
    });
  });

  test("a wrong request names its field", async () => {
    for (const [body, field] of [
      [{}, "path"],
      [{ path: "/", depth: -1 }, "depth"],
      [{ path: "a\0" }, "path"],
    ] as const) {
      const response = await cp.request("POST", `/v1/capsules/${id}/files/list`, body);
      expect(response.statusCode).toBe(400);
      expect(response.json()).toMatchObject({ error: { field } });
    }
  });
});
