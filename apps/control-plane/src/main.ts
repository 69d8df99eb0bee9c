#!/usr/bin/env node
import { makeLifetime, makeLogger, runMain } from "@wrenn/daemon";
import { readControlPlaneConfig } from "./config.ts";
import { startControlPlane } from "./start.ts";

void runMain(async () => {
  const config = readControlPlaneConfig(process.env);
  const logger = makeLogger("wrenn-cp", config.logLevel);
  const lifetime = makeLifetime(logger);
  try {
    const controlPlane = await startControlPlane(config, logger, lifetime);
    lifetime.stack.use(controlPlane);
  } catch (error) {
    if (!lifetime.signal.aborted) throw error;
  }
  return lifetime.ended;
});
