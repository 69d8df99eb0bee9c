import { readCliConfig } from "../config.ts";
import { examine } from "../doctor/examine.ts";
import { render } from "../doctor/render.ts";

export interface DoctorOptions {
  /** Prints `{"ok", "findings"}` instead of lines for people. */
  readonly json?: boolean;
}

/** `wrenn doctor`: what this machine has and lacks, and what to do about it. Installs and starts nothing. */
export async function doctor(options: DoctorOptions = {}): Promise<number> {
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  const findings = await examine(readCliConfig(process.env), process.env, interrupted.signal);
  const ok = findings.every(({ status }) => status !== "failing");
  const text = options.json
    ? `${JSON.stringify({ ok, findings }, undefined, 2)}\n`
    : render(findings, process.stdout.isTTY === true && process.env.NO_COLOR === undefined);
  await new Promise((written) => process.stdout.write(text, written));
  return ok ? 0 : 1;
}
