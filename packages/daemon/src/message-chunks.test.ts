import { expect, test } from "vitest";
import { messageChunks } from "./message-chunks.ts";

test("bytes are cut at 64 KiB, in order and whole", () => {
  const bytes = Buffer.from(Array.from({ length: 150_000 }, (_, i) => i % 251));
  const chunks = [...messageChunks(bytes)];
  expect(chunks.map(({ length }) => length)).toEqual([65_536, 65_536, 18_928]);
  expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  expect([...messageChunks(new Uint8Array())]).toEqual([]);
});
