import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { eachSdk, type Sandbox } from "./support/e2b.ts";
import { eachTarget } from "./support/targets.ts";

const bytes = randomBytes(3_000_000);

/** A directory of its own for each test. */
async function scratch(sandbox: Sandbox): Promise<string> {
  const dir = `/tmp/e2b-${randomBytes(6).toString("hex")}`;
  expect(await sandbox.files.makeDir(dir)).toBe(true);
  return dir;
}

function streamOf(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

eachTarget((guest) => {
  eachSdk(guest, (sandbox, sdk) => {
    test("what is written is read, in every form", async () => {
      const { files } = sandbox();
      const dir = await scratch(sandbox());
      const path = `${dir}/new/ünïcode "name" %41 +.txt`;
      expect(await files.write(path, "hello é")).toMatchObject({ path, type: "file" });
      expect(await files.read(path)).toBe("hello é");
      await files.write(path, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
      expect(Buffer.from(await files.read(path, { format: "bytes" })).equals(bytes)).toBe(true);
      await files.write(path, new Blob([bytes]));
      const blob = await files.read(path, { format: "blob" });
      expect(Buffer.from(await blob.arrayBuffer()).equals(bytes)).toBe(true);
      await files.write(path, streamOf([bytes, bytes]));
      const read: Uint8Array[] = [];
      for await (const chunk of await files.read(path, { format: "stream" })) read.push(chunk);
      expect(Buffer.concat(read).equals(Buffer.concat([bytes, bytes]))).toBe(true);
      await files.write(path, "");
      expect(await files.read(path)).toBe("");
    });

    test("uploads as a form, as plain bytes and compressed, and compressed downloads", async () => {
      const { files } = sandbox();
      const path = `${await scratch(sandbox())}/file`;
      for (const options of [{ useOctetStream: false }, { useOctetStream: true }, { gzip: true }]) {
        await files.write(path, new Blob([bytes]), options);
        for (const gzip of [false, true]) {
          const read = await files.read(path, { format: "bytes", gzip });
          expect(Buffer.from(read).equals(bytes), JSON.stringify({ options, gzip })).toBe(true);
        }
      }
    });

    test("several files at once", async () => {
      const { files } = sandbox();
      const dir = await scratch(sandbox());
      const paths = ["a", "b/c", "d e"].map((name) => `${dir}/${name}`);
      const written = await files.writeFiles(paths.map((path) => ({ path, data: `of ${path}` })));
      expect(written.map(({ path }) => path)).toEqual(paths);
      for (const path of paths) expect(await files.read(path)).toBe(`of ${path}`);
    });

    test("metadata is kept with the file", async () => {
      const { files } = sandbox();
      const path = `${await scratch(sandbox())}/file`;
      const metadata = { "author-name": "someone", purpose: "a test" };
      expect((await files.write(path, "x", { metadata })).metadata).toEqual(metadata);
      expect((await files.getInfo(path)).metadata).toEqual(metadata);
    });

    test("directories: made, listed, told apart, renamed, removed", async () => {
      const { files } = sandbox();
      const dir = await scratch(sandbox());
      expect(await files.makeDir(`${dir}/a/b`)).toBe(true);
      expect(await files.makeDir(`${dir}/a/b`)).toBe(false);
      await files.write(`${dir}/a/file`, "12345");
      const list = async (depth: number) =>
        (await files.list(dir, { depth })).map(({ path }) => path.slice(dir.length));
      expect(await list(1)).toEqual(["/a"]);
      expect(await list(2)).toEqual(["/a", "/a/b", "/a/file"]);
      expect(await files.getInfo(`${dir}/a/file`)).toMatchObject({
        name: "file",
        type: "file",
        size: 5,
        mode: 0o644,
      });
      expect(await files.getInfo(`${dir}/a`)).toMatchObject({ type: "dir", permissions: "drwxr-xr-x" });
      expect(await files.rename(`${dir}/a`, `${dir}/z/y`)).toMatchObject({ path: `${dir}/z/y`, type: "dir" });
      expect([await files.exists(`${dir}/a`), await files.exists(`${dir}/z/y/file`)]).toEqual([false, true]);
      await files.remove(`${dir}/z`);
      await files.remove(`${dir}/z`);
      expect(await list(1)).toEqual([]);
    });

    test("files are a user's own", async ({ skip }) => {
      skip(!guest().options.otherUsers, "without root there is one user");
      const { files } = sandbox();
      await files.write("mine", "x", { user: "user" });
      expect(await files.getInfo("mine", { user: "user" })).toMatchObject({
        path: "/home/user/mine",
        owner: "user",
      });
      await files.write("/root/secret", "x", { user: "root" });
      await expect(files.read("/root/secret", { user: "user" })).rejects.toThrow(sdk.SandboxError);
      await files.remove("mine", { user: "user" });
    });

    test("what is missing is not found, and a directory is no file", async () => {
      const { files } = sandbox();
      const dir = await scratch(sandbox());
      await expect(files.read(`${dir}/no`)).rejects.toThrow(sdk.NotFoundError);
      await expect(files.list(`${dir}/no`)).rejects.toThrow(sdk.NotFoundError);
      await expect(files.getInfo(`${dir}/no`)).rejects.toThrow(sdk.NotFoundError);
      await expect(files.rename(`${dir}/no`, `${dir}/x`)).rejects.toThrow(sdk.NotFoundError);
      await expect(files.read(dir)).rejects.toThrow(sdk.InvalidArgumentError);
      await expect(files.write(dir, "x")).rejects.toThrow(sdk.InvalidArgumentError);
    });

    test("signed URLs work without a token, for what they were signed and until they expire", async () => {
      const path = `${await scratch(sandbox())}/signed file`;
      const options = { user: "root", useSignatureExpiration: 60 };
      const form = new FormData();
      form.append("file", new Blob(["by URL"]));
      const upload = await sandbox().uploadUrl(path, options);
      expect((await fetch(upload, { method: "POST", body: form })).status).toBe(200);
      const download = await sandbox().downloadUrl(path, options);
      expect(await (await fetch(download)).text()).toBe("by URL");
      for (const rest of [{ user: "root" }, {}])
        expect(await (await fetch(await sandbox().downloadUrl(path, rest))).text()).toBe("by URL");

      const other = new URL(download);
      other.searchParams.set("path", "/etc/passwd");
      const later = new URL(download);
      later.searchParams.set("signature_expiration", `${Math.floor(Date.now() / 1000) + 6000}`);
      const unsigned = new URL(download);
      unsigned.searchParams.delete("signature");
      for (const url of [other, later, unsigned]) expect((await fetch(url)).status, url.search).toBe(401);
      expect((await fetch(download, { method: "POST", body: form })).status).toBe(401);
      const expired = await fetch(
        await sandbox().downloadUrl(path, { ...options, useSignatureExpiration: -1 }),
      );
      expect([expired.status, await expired.json()]).toEqual([
        401,
        { code: 401, message: "signature is already expired" },
      ]);
    });
  });
});
