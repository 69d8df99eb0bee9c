import type { Guest } from "@wrenn/test/guest-agent/guest";

/** clock_gettime(2) by its number, as the smallest Perl there is has no module for it. */
const numbers = { x64: 228, arm64: 113 };

const program = (call: number): string => `
  my ($samples, @command) = @ARGV;
  my $time = "\\0" x 16;
  sub now { syscall(${call}, 1, $time); my ($s, $ns) = unpack("q2", $time); $s * 1e3 + $ns / 1e6 }
  for (1 .. $samples) {
    my $begun = now();
    my $pid = fork;
    if (!$pid) { exec @command; exit 127 }
    waitpid $pid, 0;
    print now() - $begun, "\\n";
  }`;

/** Times fork, exec, the program's run and wait in a guest, by a program that does nothing else. @returns milliseconds. */
export async function forkAndExec(guest: Guest, command: string, samples: number): Promise<number[]> {
  const call = process.arch === "arm64" ? numbers.arm64 : numbers.x64;
  const line = `perl -e '${program(call)}' ${samples} ${command}`;
  return (await guest.output(line, { user: "root" })).trim().split("\n").map(Number);
}
