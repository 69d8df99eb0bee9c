import type { ServiceImpl } from "@connectrpc/connect";
import type { HostService } from "@wrenn/contracts/host";
import { timeRulesOf } from "../time-rules/time-rules.ts";
import type { CapsuleCommand } from "./capsule.ts";
import { toMessage } from "./message.ts";
import type { CapsuleService } from "./service.ts";

type Routes = Pick<
  ServiceImpl<typeof HostService>,
  | "updateCapsule"
  | "touchCapsule"
  | "createCapsule"
  | "destroyCapsule"
  | "listCapsules"
  | "pauseCapsule"
  | "resumeCapsule"
>;

/** @param epoch new at every start of the agent. */
export function capsuleRoutes(capsules: CapsuleService, epoch: string): Routes {
  return {
    async createCapsule(request) {
      const { template, vcpus, memoryMib, diskMib } = request;
      const size = { vcpus, memoryMib };
      const timeRules = timeRulesOf(request.timeRules);
      const asked = { ...toCommand(request), template, size, diskMib, timeRules };
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
