import { announceReady, makeLifetime, makeLogger, onDrain, wrennVersion } from "@wrenn/daemon";
import { runAgent } from "./agent.ts";
import { readArguments, usage } from "./arguments.ts";
import { readAgentConfig } from "./config.ts";
import type { JournalObserver } from "./journal/journal.ts";
import { probe } from "./probe/probe.ts";

/** Ending takes as long as what is under way: a create, at most. */
const graceMs = 60_000;
/** How long a supervisor waits for the control plane to know this host. Without one the agent serves as well. */
const firstReportMs = 10_000;

/**
 * `wrenn-agent`, from its arguments to its end.
 *
 * @param observe is told of each step of an operation.
 * @returns the exit code.
 */
export async function agentProgram(observe?: JournalObserver): Promise<number> {
  const given = await readArguments(process.argv.slice(2), process.stdin);
  if (given.help || given.version) {
    process.stdout.write(given.help ? usage : `${wrennVersion}\n`);
    return 0;
  }
  const config = readAgentConfig(process.env, given);
  if (given.probe) return await probe(config);
  // Not for the programs that this one starts.
  delete process.env.WRENN_REGISTRATION_TOKEN;
  const logger = makeLogger("wrenn-agent", config.logLevel);
  const lifetime = makeLifetime(logger, graceMs);
  try {
    const { port, reported, drain } = await runAgent(config, lifetime, logger, observe);
    onDrain(async (how) => {
      await drain(how).catch((err: unknown) => logger.error({ err }, "not every capsule could be ended"));
      lifetime.end("the host is drained");
    });
    await reported(firstReportMs);
    announceReady(`https://127.0.0.1:${port}`);
  } catch (error) {
    const wasToldToEnd = lifetime.signal.aborted;
    lifetime.end("the agent did not start");
    const code = await lifetime.ended;
    if (!wasToldToEnd) throw error;
    return code;
  }
  return await lifetime.ended;
}
