import type { ServiceImpl } from "@connectrpc/connect";
import type { HostService } from "@wrenn/contracts/host";
import type { CapsuleCommand } from "./capsule.ts";
import { toMessage } from "./message.ts";
import type { CapsuleService } from "./service.ts";

type Routes = Pick<
  ServiceImpl<typeof HostService>,
  "createCapsule" | "destroyCapsule" | "listCapsules" | "pauseCapsule" | "resumeCapsule"
>;

/** @param epoch new at every start of the agent. */
export function capsuleRoutes(capsules: CapsuleService, epoch: string): Routes {
  return {
    async createCapsule(request) {
      const { template, vcpus, memoryMib } = request;
      const size = { vcpus, memoryMib };
      return { capsule: toMessage(await capsules.create({ ...toCommand(request), template, size })) };
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
