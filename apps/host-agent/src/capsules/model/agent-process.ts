import { newId, WrennError } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { Journal, type JournalObserver } from "../../journal/journal.ts";
import { layoutOf, makeDirectories } from "../../layout.ts";
import { AgentMetrics } from "../../metrics/metrics.ts";
import { ChangeLog } from "../../reports/change-log.ts";
import { TemplateStore } from "../../templates/template-store.ts";
import { roomyHost } from "../../testing/roomy-host.ts";
import { SimulatedDriver } from "../../vmm/simulated/simulated-driver.ts";
import { openCapsules } from "../open-capsules.ts";
import type { CapsuleService } from "../service.ts";
import type { Answer, Call, Calls, Fault, Seen } from "./calls.ts";

/**
 * An agent without a network: the capsules of one directory, on simulated machines, at the command of whoever forked
 * this process. So it can be ended as a crash ends it, at any step.
 */
let capsules: CapsuleService | undefined;
let life = new AsyncDisposableStack();
let fault: Fault | undefined;

/** Ends this process at the step that the command under way names, counted from its first. */
const crash: JournalObserver = (when) => {
  if (!fault || when !== fault.when) return;
  if (fault.step === 0) process.kill(process.pid, "SIGKILL");
  fault = { ...fault, step: fault.step - 1 };
};

async function open({ dir, envdBinary, epoch }: Parameters<Calls["open"]>[0]): Promise<void> {
  const logger = makeLogger("model", "silent");
  const layout = layoutOf(dir);
  await makeDirectories(layout);
  const journal = new Journal(layout.journal, logger, crash);
  const contents = await journal.load();
  const parts = {
    ...{ layout, journal, logger, slots: undefined, signal: new AbortController().signal },
    vmm: new SimulatedDriver(envdBinary),
    changes: new ChangeLog(epoch),
    metrics: new AgentMetrics(),
    templates: new TemplateStore(layout.images),
    ...roomyHost(dir),
  };
  life = new AsyncDisposableStack();
  capsules = await openCapsules(parts, contents, life);
}

function service(): CapsuleService {
  if (!capsules) throw new Error("the agent is not open");
  return capsules;
}

function see(): Seen[] {
  return service()
    .list()
    .map(({ id, state, generation, revision, reason, machine }) => {
      return { id, state, generation, revision, reason, pid: machine?.process.pid };
    });
}

/** A name that no other command has: what an operation has left is told by it. */
const newOperation = () => newId("operation");

const calls: Calls = {
  open,
  async close() {
    await life.disposeAsync();
    capsules = undefined;
  },
  async see() {
    return see();
  },
  async snapshots() {
    return (await service().listSnapshots()).map(({ manifest }) => manifest.id);
  },
  async create(command) {
    const size = { vcpus: 1, memoryMib: 256 };
    await service().create({ ...command, size, operation: newOperation(), template: "minimal" });
  },
  async destroy({ id, generation }) {
    await service().destroy({ id, operation: newOperation(), generation });
  },
  async pause({ id, generation }) {
    await service().pause({ id, operation: newOperation(), generation });
  },
  async resume({ id, generation }) {
    await service().resume({ id, operation: newOperation(), generation, fromDisk: false });
  },
  async resumeFromDisk({ id, generation }) {
    await service().resume({ id, operation: newOperation(), generation, fromDisk: true });
  },
  async hibernate({ id, generation }) {
    await service().hibernate({ id, operation: newOperation(), generation });
  },
  async fork({ children, ...command }) {
    const operation = newOperation();
    const asked = children.map((id) => ({ id, operation, generation: 1 }));
    await service().fork({ ...command, operation, children: asked });
  },
  async snapshot(command) {
    await service().snapshot({ ...command, operation: newOperation() });
  },
  async deleteSnapshot(snapshot) {
    await service().deleteSnapshot(snapshot);
  },
};

async function answer({ id, name, argument, fault: given }: Call): Promise<Answer> {
  fault = given;
  try {
    return { id, value: await calls[name](argument as never) };
  } catch (error) {
    const code = error instanceof WrennError ? error.code : "unexpected";
    return { id, error: { code, message: error instanceof Error ? (error.stack ?? "") : String(error) } };
  } finally {
    fault = undefined;
  }
}

process.on("message", (call: Call) => {
  void answer(call).then((result) => process.send?.(result));
});
// Without whoever forked it, it is of no use.
process.on("disconnect", () => process.exit());
process.send?.("ready");
