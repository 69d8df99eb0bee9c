import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Setting, say } from "./setting.ts";

const controlPlaneWaitMs = 60_000;
const pollMs = 500;

/**
 * What this host's agent registers with, as an operator would get it: from the API, with the owner's key. Undefined
 * when the agent has registered before.
 */
export async function registrationToken(setting: Setting): Promise<string | undefined> {
  const registered = ["host.json", "host-token"].every((name) => existsSync(join(setting.wrennDir, name)));
  if (registered) return undefined;
  await waitForControlPlane(setting.url);
  const response = await fetch(`${setting.url}/v1/hosts`, {
    method: "POST",
    headers: { "x-api-key": await ownerKey(setting), "content-type": "application/json" },
    body: "{}",
  });
  const answer = await response.text();
  if (!response.ok) fail(`the control plane registers no host (${response.status}): ${answer}`);
  return (JSON.parse(answer) as { registration_token: string }).registration_token;
}

async function waitForControlPlane(url: string): Promise<void> {
  const ready = () =>
    fetch(`${url}/ready`).then(
      (response) => response.ok,
      () => false,
    );
  if (await ready()) return;
  say(`… waiting for the control plane at ${url}; start it with \`make dev\``);
  const deadline = performance.now() + controlPlaneWaitMs;
  while (!(await ready())) {
    if (performance.now() > deadline) fail(`there is no control plane at ${url}; start it with \`make dev\``);
    await delay(pollMs);
  }
}

async function ownerKey({ wrennDir, env }: Setting): Promise<string> {
  const path = env.WRENN_OWNER_FILE || join(wrennDir, "owner.json");
  const text = await readFile(path, "utf8").catch(() =>
    fail(`${path} cannot be read; \`make dev\` with the same WRENN_DIR makes it`),
  );
  return (JSON.parse(text) as { api_key: string }).api_key;
}

function fail(sentence: string): never {
  say(`error: ${sentence}`);
  process.exit(1);
}
