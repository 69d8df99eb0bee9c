#!/usr/bin/env node
import { runMain } from "@wrenn/daemon";
import { Command } from "commander";
import { demo } from "./commands/demo.ts";
import { type DoctorOptions, doctor } from "./commands/doctor.ts";
import { hello } from "./commands/hello.ts";
import { images } from "./commands/images.ts";
import { up } from "./commands/up.ts";

const program = new Command("wrenn")
  .description("A computer for every agent, user or job")
  .option("--version", "output the version number");
let exitCode = 0;

const commands = [
  { name: "up", summary: "run the whole platform on this machine, in the foreground", run: up },
  { name: "demo", summary: "start the platform, run a hello capsule, tear everything down", run: demo },
  {
    name: "hello",
    summary: "run a hello capsule on the platform at WRENN_CP_URL, with WRENN_API_KEY",
    run: hello,
  },
  { name: "images", summary: "make kernel and root file system where absent or outdated", run: images },
];
for (const { name, summary, run } of commands) {
  program
    .command(name)
    .description(summary)
    .action(async () => {
      exitCode = await run();
    });
}
program
  .command("doctor")
  .description("say what this machine has and lacks, and what to do about it")
  .option("--json", "print the findings as JSON")
  .action(async (options: DoctorOptions) => {
    exitCode = await doctor(options);
  });

void runMain(async () => {
  await program.parseAsync();
  return exitCode;
});
