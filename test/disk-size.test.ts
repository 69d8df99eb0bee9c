import type { Capsule } from "@wrenn/contracts/rest";
import { expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import "./support/provided.ts";

const api = new Api(inject("platform"));

/** MiB of the root file system, as the guest sees it. */
async function diskMib(id: string): Promise<number> {
  return Number((await api.shell(id, "df --output=size -BM / | tail -1 | tr -dc 0-9")).stdout);
}

test("a larger disk than the template's is there from the first command on, also after a pause", async () => {
  await using stack = new AsyncDisposableStack();
  const plain = await api.capsule(stack);
  const plainMib = await diskMib(plain.id);
  const wanted = 2 * Math.ceil(plainMib / 1024) * 1024;

  const large = await api.capsule(stack, { disk_size_mb: wanted });
  expect(large.disk_size_mb).toBe(wanted);
  // The file system keeps some of it for itself.
  expect(await diskMib(large.id)).toBeGreaterThan(wanted * 0.9);
  const more = (plainMib + 256) * 1024 * 1024;
  await api.shell(large.id, `fallocate -l ${more} /root/more && echo kept >/root/kept; sync`);
  for (const command of ["pause", "resume"]) {
    expect((await api.call("POST", `/v1/capsules/${large.id}/${command}`)).status).toBe(200);
  }
  expect(await diskMib(large.id)).toBeGreaterThan(wanted * 0.9);
  const { stdout } = await api.shell(large.id, "stat -c %s /root/more; cat /root/kept");
  expect(stdout).toBe(`${more}\nkept\n`);
  const shown = (await (await api.call("GET", `/v1/capsules/${large.id}`)).json()) as Capsule;
  expect(shown.disk_size_mb).toBe(wanted);
  expect(await diskMib(plain.id)).toBe(plainMib);
});

test("a smaller one is refused, and named", async () => {
  const response = await api.call("POST", "/v1/capsules", { disk_size_mb: 1 });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    error: { code: "invalid_request", field: "disk_size_mb" },
  });
});
