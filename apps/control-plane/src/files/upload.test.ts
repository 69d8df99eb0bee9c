import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { receiveUpload } from "./upload.ts";

const boundary = "----part";

/** A body whose file has begun, and that is not at its end. */
function begun(): PassThrough & IncomingMessage {
  const body = Object.assign(new PassThrough(), {
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
  });
  body.write(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nsome of it`);
  return body as unknown as PassThrough & IncomingMessage;
}

test("a body that ends early ends the content of its file with an error, also when nobody reads yet", async () => {
  const body = begun();
  const { content } = await receiveUpload(body, "/file");
  body.end();
  await setImmediate();
  const read = async () => {
    for await (const _ of content);
  };
  await expect(read()).rejects.toThrow(/early/);
});

test("a body that ends early after its content was given up is nobody's error", async () => {
  const body = begun();
  const { content } = await receiveUpload(body, "/file");
  content.destroy();
  body.end();
  await setImmediate();
  await setImmediate();
  expect(content.destroyed).toBe(true);
});
