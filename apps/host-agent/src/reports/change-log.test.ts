import type { CapsuleState } from "@wrenn/contracts";
import type { ReportedCapsule } from "@wrenn/contracts/rest";
import { expect, test, vi } from "vitest";
import { ChangeLog } from "./change-log.ts";

function capsule(id: string, state: CapsuleState, revision = 1): ReportedCapsule {
  return { id, state, generation: 1, revision, versions: {} };
}

test("begins empty, at revision 0 of its epoch", () => {
  const log = new ChangeLog(7);
  expect(log).toMatchObject({ epoch: 7, revision: 0 });
  expect(log.all()).toEqual([]);
  expect(log.since(0)).toEqual([]);
});

test("answers the newest state of each capsule that changed after a revision, once", () => {
  const log = new ChangeLog(1);
  log.record(capsule("a", "starting"));
  log.record(capsule("b", "starting"));
  const seen = log.revision;
  log.record(capsule("a", "running", 2));
  log.record(capsule("a", "error", 3));
  expect(log.since(seen)).toEqual([capsule("a", "error", 3)]);
  expect(log.since(log.revision)).toEqual([]);
  expect(log.all()).toEqual(expect.arrayContaining([capsule("a", "error", 3), capsule("b", "starting")]));
  expect(log.all()).toHaveLength(2);
});

test("keeps a stopped capsule until a revision that includes its stop is acknowledged", () => {
  const log = new ChangeLog(1);
  log.record(capsule("a", "running"));
  const before = log.revision;
  log.record(capsule("a", "stopped", 2));
  log.acknowledge(before);
  expect(log.since(before)).toEqual([capsule("a", "stopped", 2)]);
  log.acknowledge(log.revision);
  expect(log.all()).toEqual([]);
});

test("an acknowledgement forgets no capsule that is there, nor one that was created anew", () => {
  const log = new ChangeLog(1);
  log.record(capsule("a", "stopped"));
  const acknowledged = log.revision;
  log.record(capsule("a", "starting", 2));
  log.record(capsule("b", "error"));
  log.acknowledge(acknowledged);
  log.acknowledge(log.revision);
  expect(log.all().map(({ id }) => id)).toEqual(["a", "b"]);
});

test("tells each listener of each change until its registration ends", () => {
  const log = new ChangeLog(1);
  const listener = vi.fn();
  const registrations = [log.onChange(listener), log.onChange(listener)];
  log.record(capsule("a", "starting"));
  expect(listener).toHaveBeenCalledTimes(2);
  registrations[0]?.[Symbol.dispose]();
  log.record(capsule("a", "running", 2));
  expect(listener).toHaveBeenCalledTimes(3);
  registrations[1]?.[Symbol.dispose]();
  log.record(capsule("a", "error", 3));
  expect(listener).toHaveBeenCalledTimes(3);
});
