import { announceReady, dialUrl, makeLifetime, makeLogger, runMain } from "@wrenn/daemon";
import { runAgent } from "./agent.ts";
import { readAgentConfig } from "./config.ts";

await runMain(async () => {
  const config = readAgentConfig(process.env);
  const logger = makeLogger("wrenn-agent", config.logLevel);
  const lifetime = makeLifetime(logger, 60_000);
  try {
    const port = await runAgent(config, lifetime, logger);
    announceReady(dialUrl({ host: config.listen.host, port }));
  } catch (error) {
    lifetime.end("the agent did not start");
    await lifetime.ended;
    throw error;
  }
  return await lifetime.ended;
});
