import { toConnectError, WrennError } from "@wrenn/contracts";
import type { Capsule, ErrorBody } from "@wrenn/contracts/rest";
import { beforeEach, describe, expect, test } from "vitest";
import { shown, type TestControlPlane } from "../testing/control-plane.ts";
import type { Inject } from "../testing/host.ts";
import { LifecycleHost } from "../testing/lifecycle-host.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";

let cp: TestControlPlane;
let onHost: LifecycleHost;
let id: string;
withControlPlane((started) => {
  cp = started;
  onHost = new LifecycleHost();
  cp.agent.answers = onHost.answers;
});

async function create(body: object): Promise<void> {
  id = (await cp.request("POST", "/v1/capsules", body)).json<Capsule>().id;
}

const post = (path: string, payload?: object, via: Inject = cp.inject) =>
  via({
    method: "POST",
    url: `/v1/capsules/${id}/${path}`,
    headers: { "x-api-key": cp.apiKey },
    ...(payload && { payload }),
  });
const list = (via?: Inject) => post("files/list", { path: "/" }, via);
const resumes = () => onHost.done.filter((step) => step.startsWith("resume"));

function upload() {
  const boundary = "boundary";
  const part = (name: string, content: string) =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${content}\r\n`;
  return cp.inject({
    method: "POST",
    url: `/v1/capsules/${id}/files/write`,
    headers: { "x-api-key": cp.apiKey, "content-type": `multipart/form-data; boundary=${boundary}` },
    payload: `${part("path", "/x")}${part("file", "12345")}--${boundary}--\r\n`,
  });
}

describe("a paused capsule that does not wake up by itself", () => {
  test("is 409 and says how to have it resumed", async () => {
    await create({});
    await post("pause");
    const response = await list();
    expect(response.statusCode).toBe(409);
    expect(response.json<ErrorBody>().error).toMatchObject({
      code: "invalid_state",
      message: /"paused".*resume it, or set auto_resume/,
    });
    expect(resumes()).toEqual([]);
  });

  test("is found paused when its host has just done that", async () => {
    await create({});
    onHost.change(id, "paused", "idle_timeout");
    expect((await list()).json()).toMatchObject({ error: { code: "invalid_state", message: /"paused"/ } });
    expect(await shown(cp, id)).toMatchObject({ state: "paused", reason: "idle_timeout" });
  });
});

describe("a paused capsule that wakes up by itself", () => {
  beforeEach(() => create({ auto_resume: true }));

  test("is resumed for whoever needs it, once however many do, by however many control planes", async () => {
    await post("pause");
    onHost.delayMs = 100;
    const replica = await cp.newReplica();
    const asked = [cp.inject, replica.inject, cp.inject, replica.inject, cp.inject];
    const answers = await Promise.all(asked.map((via) => list(via)));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array(asked.length).fill(200));
    expect(resumes()).toEqual(["resume 3"]);
    expect(onHost.reached).toBe(asked.length);
  });

  test("is resumed when it is hibernated, and when it is on its way there", async () => {
    await post("pause");
    await post("hibernate");
    expect((await list()).statusCode).toBe(200);
    onHost.delayMs = 50;
    const pausing = post("pause");
    await expect.poll(async () => (await shown(cp, id)).state).toBe("pausing");
    expect((await list()).statusCode).toBe(200);
    expect((await pausing).statusCode).toBe(200);
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
  });

  test("is resumed when its host has just paused it, before anything is sent to it", async () => {
    onHost.change(id, "paused", "idle_timeout");
    expect((await list()).statusCode).toBe(200);
    onHost.change(id, "paused", "idle_timeout");
    expect((await upload()).statusCode).toBe(204);
    expect(onHost.reached).toBe(1 + 5);
    expect(resumes()).toEqual(["resume 2", "resume 3"]);
  });

  test("is waited for while its host is pausing it", async () => {
    onHost.change(id, "pausing");
    const listing = list();
    await expect.poll(() => onHost.asked).toBeGreaterThan(1);
    onHost.change(id, "paused", "idle_timeout");
    expect((await listing).statusCode).toBe(200);
  });

  test("is answered for with what keeps it from being resumed, and stays paused", async () => {
    await post("pause");
    onHost.refusals.set("resume", "host_full");
    expect((await list()).json()).toMatchObject({ error: { code: "host_full" } });
    expect(await shown(cp, id)).toMatchObject({ state: "paused" });
    onHost.refusals.set("resume", "invalid_state");
    expect((await list()).json()).toMatchObject({ error: { code: "invalid_state" } });
  });

  test("does not run a command twice that was cut off by a pause", async () => {
    let runs = 0;
    cp.agent.answers = {
      ...onHost.answers,
      exec: async function* ({ capsuleId }) {
        runs += 1;
        yield { event: { case: "started", value: { pid: 1 } } };
        onHost.change(capsuleId, "paused");
        throw toConnectError(new WrennError("invalid_state", "it is paused"));
      },
    };
    const response = await post("exec", { cmd: "once" });
    expect(response.json()).toMatchObject({ error: { code: "invalid_state", message: /"paused"/ } });
    expect(runs).toBe(1);
    expect(await shown(cp, id)).toMatchObject({ state: "paused" });
  });

  test("is not started from its disk by that when its machine has died", async () => {
    onHost.change(id, "error", "vmm_exited");
    expect((await list()).json()).toMatchObject({ error: { code: "invalid_state", message: /"error"/ } });
    expect(await shown(cp, id)).toMatchObject({ state: "error", reason: "vmm_exited" });
  });

  test("whose host is away is 503", async () => {
    await post("pause");
    await cp.agent[Symbol.asyncDispose]();
    expect((await list()).statusCode).toBe(503);
  });
});
