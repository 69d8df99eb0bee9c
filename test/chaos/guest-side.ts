import { createHash } from "node:crypto";
import type { Counter } from "./capsule-model.ts";

/** What is run in guests, and what it prints. All of it runs as root with a shell and coreutils. */
const diskDir = "/var/chaos";
const memoryDir = "/dev/shm/chaos";
const writtenBytes = 20_000;

/**
 * Begins to count, once: the number and what names the process are in its memory alone, and are shown in a file which
 * is memory too.
 */
export const startCounter = `mkdir ${memoryDir} || exit 0
read -r nonce </proc/sys/kernel/random/uuid; n=0
while :; do n=$((n+1)); echo "$nonce $$ $n" >${memoryDir}/counter; sleep 0.5; done`;

/** Random bytes on the disk, synced; then the token in memory. Prints the checksum, which is the acknowledgement. */
export function writeScript(token: string): string {
  return `set -e; mkdir -p ${diskDir} ${memoryDir}-kept; cd ${diskDir}
head -c ${writtenBytes} /dev/urandom >${token}; sum=$(sha256sum ${token}); sync ${token}
echo "$sum" >>sums; sync sums .
echo "$sum" >>${memoryDir}-kept/sums; echo "$sum"`;
}

/** Bytes that an upload has, decided by its token. */
export function uploadOf(token: string): { path: string; content: Uint8Array<ArrayBuffer>; sum: string } {
  const content = new Uint8Array(writtenBytes);
  for (let offset = 0, block = token; offset < writtenBytes; offset += 32) {
    const digest = createHash("sha256").update(block).digest();
    content.set(digest.subarray(0, Math.min(32, writtenBytes - offset)), offset);
    block = digest.toString("hex");
  }
  return {
    path: `${diskDir}/uploads/${token}`,
    content,
    sum: createHash("sha256").update(content).digest("hex"),
  };
}

/** Prints everything that is checked. A counter that is just being written is read again. */
export const inspectScript = `section() { echo "== $1"; }
section damaged; cd ${diskDir} 2>/dev/null && [ -e sums ] && sha256sum -c --quiet sums 2>&1
section disk; cat ${diskDir}/sums 2>/dev/null
section uploads; cd ${diskDir}/uploads 2>/dev/null && sha256sum -- * 2>/dev/null
section memory; cat ${memoryDir}-kept/sums 2>/dev/null
section counter
for try in 1 2 3 4 5 6 7 8; do
  read -r line <${memoryDir}/counter && [ -n "$line" ] && break; sleep 0.1
done 2>/dev/null
echo "$line"; set -- $line; [ -n "$2" ] && tr '\\0' ' ' <"/proc/$2/cmdline" | head -c 40; echo
section identity; hostname; cat /etc/machine-id
section time; date +%s`;

/** What a guest has. */
export interface Inspected {
  /** Lines that name files which are not what their checksum says. */
  readonly damaged: readonly string[];
  /** Checksums by token. */
  readonly disk: ReadonlyMap<string, string>;
  readonly memory: ReadonlyMap<string, string>;
  readonly counter: Counter | undefined;
  /** Whether the process that counts is still there. */
  readonly counting: boolean;
  readonly identity: string;
  /** Seconds since the epoch. */
  readonly time: number;
}

export function parseInspection(stdout: string): Inspected {
  const sections = new Map<string, string[]>();
  for (const part of stdout.split(/^== /m).slice(1)) {
    const [name = "", ...lines] = part.trimEnd().split("\n");
    sections.set(name, lines);
  }
  const section = (name: string): string[] => sections.get(name) ?? [];
  const [line = "", process] = section("counter");
  const [nonce, pid, value] = line.split(" ");
  return {
    damaged: section("damaged"),
    disk: new Map([...sums(section("disk")), ...sums(section("uploads"))]),
    memory: sums(section("memory")),
    counter: nonce && pid && value ? { nonce, pid: Number(pid), value: Number(value) } : undefined,
    counting: process !== undefined && process !== "",
    identity: section("identity").join(" "),
    time: Number(section("time")[0]),
  };
}

/** Lines of sha256sum. */
function sums(lines: readonly string[]): Map<string, string> {
  return new Map(
    lines.map((line) => {
      const [sum = "", token = ""] = line.split(/\s+/);
      return [token, sum] as const;
    }),
  );
}
