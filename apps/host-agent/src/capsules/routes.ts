import type { ServiceImpl } from "@connectrpc/connect";
import type { HostService } from "@wrenn/contracts/host";
import { timeRulesOf } from "../time-rules/time-rules.ts";
import type { CapsuleCommand } from "./capsule.ts";
import { toMessage } from "./message.ts";
import type { CapsuleService } from "./service.ts";
import { toSnapshotMessage } from "./snapshot-message.ts";

type Routes = Pick<
  ServiceImpl<typeof HostService>,
  | "updateCapsule"
  | "touchCapsule"
  | "createCapsule"
  | "destroyCapsule"
  | "listCapsules"
  | "pauseCapsule"
  | "resumeCapsule"
  | "hibernateCapsule"
  | "snapshotCapsule"
  | "forkCapsule"
  | "listSnapshots"
  | "deleteSnapshot"
>;

/** @param epoch new at every start of the agent. */
export function capsuleRoutes(capsules: CapsuleService, epoch: string): Routes {
  return {
    async createCapsule(request) {
      const { template, vcpus, memoryMib, diskMib, snapshotId: snapshot } = request;
      const size = { vcpus, memoryMib };
      const timeRules = timeRulesOf(request.timeRules);
      const asked = { ...toCommand(request), template, size, diskMib, timeRules, snapshot };
      return { capsule: toMessage(await capsules.create(asked)) };
    },
    async destroyCapsule(request) {
      await capsules.destroy(toCommand(request));
      return {};
    },
    listCapsules() {
      return { epoch, capsules: capsules.list().map(toMessage) };
    },
    async pauseCapsule(request) {
      return { capsule: toMessage(await capsules.pause(toCommand(request))) };
    },
    async updateCapsule({ capsuleId, timeRules }) {
      return { capsule: toMessage(await capsules.changeTimeRules(capsuleId, timeRulesOf(timeRules))) };
    },
    touchCapsule({ capsuleId }) {
      capsules.touch(capsuleId);
      return {};
    },
    async resumeCapsule(request) {
      const { fromDisk } = request;
      return { capsule: toMessage(await capsules.resume({ ...toCommand(request), fromDisk })) };
    },
    async hibernateCapsule(request) {
      return { capsule: toMessage(await capsules.hibernate(toCommand(request))) };
    },
    async snapshotCapsule(request) {
      const { snapshotId: snapshot } = request;
      const capsule = await capsules.snapshot({ ...toCommand(request), snapshot });
      const described = await capsules.describeSnapshot(snapshot);
      return { capsule: toMessage(capsule), snapshot: toSnapshotMessage(described) };
    },
    async forkCapsule(request) {
      const command = toCommand(request);
      const { operation } = command;
      const children = request.children.map(({ capsuleId: id, generation, timeRules }) => {
        return { id, operation, generation: Number(generation), timeRules: timeRulesOf(timeRules) };
      });
      const copies = await capsules.fork({ ...command, children });
      return { capsule: toMessage(capsules.get(command.id)), children: copies.map(toMessage) };
    },
    async listSnapshots() {
      return { snapshots: (await capsules.listSnapshots()).map(toSnapshotMessage) };
    },
    async deleteSnapshot(request) {
      await capsules.deleteSnapshot(request.snapshotId);
      return {};
    },
  };
}

interface CommandMessage {
  readonly capsuleId: string;
  readonly generation: bigint;
  readonly operationId: string;
}

function toCommand({ capsuleId, operationId, generation }: CommandMessage): CapsuleCommand {
  return { id: capsuleId, operation: operationId, generation: Number(generation) };
}
