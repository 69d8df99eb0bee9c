import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { registrationToken } from "./registration-token.ts";
import { readSetting, root, type Setting, say } from "./setting.ts";
import { watch } from "./watch.ts";

/** Kernel and root file system, where absent or outdated; its own output says what it does. */
async function ensureImages({ env }: Setting): Promise<void> {
  const child = spawn(process.execPath, [join(root, "apps/cli/src/main.ts"), "images"], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  const [code] = await once(child, "exit");
  if (code !== 0) process.exit(code ?? 1);
}

/** `make dev-agent`: the agent from source, registered with the control plane of `make dev`. */
const setting = readSetting();
await ensureImages(setting);
const token = await registrationToken(setting);
// The agent knows a token that it has registered with: a reload does not use it twice.
const env = token === undefined ? setting.env : { ...setting.env, WRENN_REGISTRATION_TOKEN: token };
say(`Host agent from source; a change to what it imports restarts it, and its capsules run on.

  Data           ${setting.wrennDir} (WRENN_DIR)
  Control plane  ${setting.url}
  Stop           Ctrl-C
`);
process.exitCode = await watch("apps/host-agent/src/main.ts", env);
