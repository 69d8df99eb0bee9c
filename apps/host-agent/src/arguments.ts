import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { WrennError } from "@wrenn/contracts";

/** What the command line of the agent says. */
export interface AgentArguments {
  /** Says what this machine has and lacks instead of serving. */
  readonly probe?: boolean | undefined;
  /** Registration token. */
  readonly register?: string | undefined;
  /** `IP:PORT`. */
  readonly address?: string | undefined;
  readonly help?: boolean | undefined;
  readonly version?: boolean | undefined;
}

export const usage = `Usage: wrenn-agent [--register TOKEN|-] [--address IP:PORT]
       wrenn-agent probe

  --register TOKEN   register this host with the control plane at WRENN_CP_URL, once; - reads the token from
                     standard input, and WRENN_REGISTRATION_TOKEN holds it where arguments can be seen by others
  --address IP:PORT  where the control plane reaches this agent; default: the address it listens on
  probe              print what this machine has and lacks, as JSON for \`wrenn doctor\`
  --help, --version
`;

const options = {
  register: { type: "string" },
  address: { type: "string" },
  help: { type: "boolean" },
  version: { type: "boolean" },
} as const;

/** @throws {WrennError} `config_invalid` for what is no argument of ours. */
export async function readArguments(args: string[], stdin: NodeJS.ReadableStream): Promise<AgentArguments> {
  if (args[0] === "probe") return { ...parse(args.slice(1)), probe: true };
  const values = parse(args);
  if (values.register !== "-") return values;
  return { ...values, register: (await text(stdin)).trim() };
}

function parse(args: string[]): AgentArguments {
  try {
    return parseArgs({ args, options, allowPositionals: false }).values;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split(/[.\n]/, 1)[0] : "arguments are malformed";
    throw new WrennError("config_invalid", `${reason}; see wrenn-agent --help`, { cause });
  }
}
