import { readSetting, say } from "./setting.ts";
import { watch } from "./watch.ts";

/** `make dev`: the control plane from source, with a PostgreSQL of its own. */
const setting = readSetting();
say(`Control plane from source; a change to what it imports restarts it.

  API     ${setting.url}
  Docs    ${setting.url}/docs
  Data    ${setting.wrennDir} (WRENN_DIR)
  Key     ${setting.wrennDir}/owner.json
  Agent   make dev-agent, in another terminal
  Stop    Ctrl-C
`);
process.exitCode = await watch("apps/control-plane/src/main.ts", setting.env);
