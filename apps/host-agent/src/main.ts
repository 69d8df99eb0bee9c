import { announceReady, dialUrl, makeLifetime, makeLogger, onDrain, runMain } from "@wrenn/daemon";
import { runAgent } from "./agent.ts";
import { readAgentConfig } from "./config.ts";

/** Ending takes as long as what is under way: a create, at most. */
const graceMs = 60_000;

void runMain(async () => {
  const config = readAgentConfig(process.env);
  const logger = makeLogger("wrenn-agent", config.logLevel);
  const lifetime = makeLifetime(logger, graceMs);
  try {
    const { port, drain } = await runAgent(config, lifetime, logger);
    onDrain(async () => {
      await drain().catch((err: unknown) => logger.error({ err }, "not every capsule could be ended"));
      lifetime.end("the host is drained");
    });
    announceReady(dialUrl({ host: config.listen.host, port }));
  } catch (error) {
    lifetime.end("the agent did not start");
    await lifetime.ended;
    throw error;
  }
  return await lifetime.ended;
});
