import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { WrennError } from "@wrenn/contracts";
import type { ExecEventSchema, ExecRequest, HostService } from "@wrenn/contracts/host";
import type { ProcessEvent } from "@wrenn/contracts/process";
import { messageChunks } from "@wrenn/daemon";
import type { CapsuleService } from "../capsules/service.ts";
import { asUser } from "../guest/guest-agent.ts";
import { fromGuestError } from "../guest/guest-error.ts";

type ExecEvent = MessageInitShape<typeof ExecEventSchema>;

/** Runs programs in capsules. The guest agent holds the process; this relays its events with back-pressure. */
export function execRoutes(capsules: CapsuleService): Pick<ServiceImpl<typeof HostService>, "exec"> {
  return {
    exec: (request, context) => exec(capsules, request, context),
  };
}

async function* exec(
  capsules: CapsuleService,
  request: ExecRequest,
  context: HandlerContext,
): AsyncIterable<ExecEvent> {
  using use = capsules.get(request.capsuleId).use();
  const process = {
    cmd: request.cmd,
    args: request.args,
    envs: request.envs,
    ...(request.cwd === undefined ? {} : { cwd: request.cwd }),
  };
  const tag = request.tag === undefined ? {} : { tag: request.tag };
  const stream = use.guest.processes.start(
    { process, stdin: false, ...tag },
    { headers: startHeaders(request), signal: context.signal },
  );
  let ended = false;
  try {
    for await (const { event } of stream) {
      if (!event) continue;
      ended = event.event.case === "end";
      yield* toExecEvents(event);
    }
  } catch (error) {
    throw fromGuestError(error);
  }
  if (!ended) throw new WrennError("agent_error", `the stream of ${request.cmd} ended before the process`);
}

/** The guest agent, not this stream, keeps the time: it ends the process group whoever still listens. */
function startHeaders(request: ExecRequest): Record<string, string> {
  const headers = asUser(request.user);
  return request.timeoutMs === 0n
    ? headers
    : { ...headers, "connect-timeout-ms": request.timeoutMs.toString() };
}

function* toExecEvents({ event }: ProcessEvent): Iterable<ExecEvent> {
  switch (event.case) {
    case "start":
      yield { event: { case: "started", value: { pid: event.value.pid } } };
      return;
    case "data": {
      const { output } = event.value;
      if (output.case !== "stdout" && output.case !== "stderr") return;
      for (const value of messageChunks(output.value)) yield { event: { case: output.case, value } };
      return;
    }
    case "end": {
      const { exitCode, signal = 0 } = event.value;
      yield { event: { case: "ended", value: { exitCode, signal } } };
      return;
    }
  }
}
