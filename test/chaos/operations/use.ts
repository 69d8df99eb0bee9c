import type { ExecResult } from "@wrenn/contracts/rest";
import type { CapsuleModel } from "../capsule-model.ts";
import type { Client } from "../client.ts";
import { uploadOf, writeScript } from "../guest-side.ts";
import type { PlannedOperation } from "../schedule.ts";

/** Whether a request that needs the guest has to succeed: it runs, or is made to. */
function reachable(capsule: CapsuleModel): boolean {
  if (capsule.surely("running")) return true;
  return capsule.presence === "there" && capsule.resumesItself && !capsule.may("error");
}

/** A command that writes to disk and memory, and answers when the disk has it. */
export async function write(
  client: Client,
  { name }: PlannedOperation,
  capsule: CapsuleModel,
): Promise<void> {
  const path = `/v1/capsules/${capsule.id}/exec`;
  const body = { cmd: "/bin/sh", args: ["-c", writeScript(name)], user: "root" };
  const legal = reachable(capsule);
  capsule.disk.begun.add(name);
  capsule.memory.begun.add(name);
  wakes(capsule);
  const { verdict, answer, underWay } = await client.ask(
    { name, method: "POST", path, body, success: 200, legal },
    capsule,
  );
  if (verdict !== "done") return;
  capsule.arrived(underWay, "running");
  const { exit_code, stdout, stderr } = answer.body as ExecResult;
  const sum = stdout.split(" ")[0] ?? "";
  if (exit_code !== 0) client.model.violated(`${name}: writing ended with ${exit_code}: ${stderr}`);
  else keep(capsule, name, sum, ["disk", "memory"]);
}

/** A file of known content. */
export async function upload(
  client: Client,
  { name }: PlannedOperation,
  capsule: CapsuleModel,
): Promise<void> {
  const { path, content, sum } = uploadOf(name);
  const body = new FormData();
  body.set("path", path);
  body.set("file", new Blob([content]), name);
  const legal = reachable(capsule);
  capsule.disk.begun.add(name);
  wakes(capsule);
  const route = `/v1/capsules/${capsule.id}/files/write`;
  const { verdict, underWay } = await client.ask(
    { name, method: "POST", path: route, body, success: 204, legal },
    capsule,
  );
  if (verdict !== "done") return;
  capsule.arrived(underWay, "running");
  keep(capsule, name, sum, ["disk"]);
}

/** What needs the guest may resume it, whatever becomes of the request. */
function wakes(capsule: CapsuleModel): void {
  if ([...capsule.rules.values()].some(({ auto_resume }) => auto_resume)) capsule.states.add("running");
}

function keep(capsule: CapsuleModel, token: string, sum: string, where: ("disk" | "memory")[]): void {
  for (const part of where) capsule[part].acknowledged.set(token, sum);
}
