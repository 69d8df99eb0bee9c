import type { ServiceImpl } from "@connectrpc/connect";
import type { HostService } from "@wrenn/contracts/host";
import { toMessage } from "./message.ts";
import type { CapsuleService } from "./service.ts";

type Routes = Pick<ServiceImpl<typeof HostService>, "createCapsule" | "destroyCapsule" | "listCapsules">;

/** @param epoch new at every start of the agent. */
export function capsuleRoutes(capsules: CapsuleService, epoch: string): Routes {
  return {
    async createCapsule(request) {
      const capsule = await capsules.create({
        id: request.capsuleId,
        operation: request.operationId,
        generation: Number(request.generation),
        template: request.template,
        size: { vcpus: request.vcpus, memoryMib: request.memoryMib },
      });
      return { capsule: toMessage(capsule) };
    },
    async destroyCapsule(request) {
      await capsules.destroy(request.capsuleId, request.operationId, Number(request.generation));
      return {};
    },
    listCapsules() {
      return { epoch, capsules: capsules.list().map(toMessage) };
    },
  };
}
