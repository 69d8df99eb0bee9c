import type { Api } from "../../support/api.ts";

/**
 * A process that holds random bytes in memory of its own, and answers what it is asked through a pair of pipes: the digest
 * of those bytes, or fresh ones of the kernel. It counts the questions, so one that was started again is found out.
 */
const holder = `
use strict;
my ($mib, $getrandom) = @ARGV;
my ($data, $count) = ("", 0);
sub refill { open my $in, "<", "/dev/urandom" or die; read $in, $data, $mib * 1048576; }
refill();
for (;;) {
  open my $ask, "<", "/run/ask" or die;
  chomp(my $question = <$ask>);
  close $ask;
  $count++;
  refill() if $question eq "refill";
  my $answer;
  if ($question eq "random") {
    my $bytes = "\\0" x 64;
    die if syscall($getrandom + 0, $bytes, 64, 0) != 64;
    $answer = unpack("H*", $bytes);
  } else {
    open my $sum, "|-", "sha256sum > /run/sum" or die;
    print $sum $data;
    close $sum or die;
    open my $in, "<", "/run/sum" or die;
    $answer = "$$ $count " . substr(<$in>, 0, 64);
  }
  open my $out, ">", "/run/answer" or die;
  print $out "$answer\\n";
  close $out;
}
`;

/** What a guest has that must never change by itself. */
export interface GuestState {
  /** SHA-256 of a file in memory, of one on the disk read past the cache, and of a process's own memory. */
  readonly memory: string;
  readonly disk: string;
  readonly held: string;
  readonly holderPid: number;
  /** How often the process was asked. */
  readonly asked: number;
}

/** Numbers of getrandom(2), as `uname -m` names the machine. */
const getrandom = "case $(uname -m) in x86_64) nr=318;; *) nr=278;; esac";

/** A capsule as a test works in it. */
export class Guest {
  readonly id: string;
  readonly #api: Api;

  constructor(api: Api, id: string) {
    this.#api = api;
    this.id = id;
  }

  /** Runs a line of shell and answers what it prints. A line that fails is an error. */
  async sh(line: string): Promise<string> {
    const { exit_code, stdout, stderr } = await this.#api.shell(this.id, line);
    if (exit_code !== 0) throw new Error(`${line} ended with ${exit_code}: ${stderr || stdout}`);
    return stdout;
  }

  /** Starts the process that holds `mib` MiB, and writes the patterns. */
  async prepare(mib: number): Promise<void> {
    const start = `${getrandom}; setsid perl /run/holder.pl ${mib} $nr < /dev/null > /dev/null 2>&1 &`;
    await this.sh(`mkfifo /run/ask /run/answer; cat > /run/holder.pl <<'END'\n${holder}\nEND\n${start}`);
    await this.rewrite(mib);
  }

  /** Other patterns everywhere. */
  async rewrite(mib: number): Promise<void> {
    await this.sh(
      `set -e; dd if=/dev/urandom of=/dev/shm/pattern bs=1M count=${mib} iflag=fullblock status=none
      dd if=/dev/urandom of=/root/pattern bs=1M count=${mib} iflag=fullblock conv=fsync status=none
      echo refill > /run/ask; cat /run/answer`,
    );
  }

  async state(): Promise<GuestState> {
    const text = await this.sh(
      `set -e; sha256sum < /dev/shm/pattern
      dd if=/root/pattern bs=1M iflag=direct status=none | sha256sum
      echo sum > /run/ask; cat /run/answer`,
    );
    const [memory = "", disk = "", answer = ""] = text.trim().split("\n");
    const [holderPid, asked, held = ""] = answer.split(" ");
    return {
      ...{ memory: memory.slice(0, 64), disk: disk.slice(0, 64), held },
      ...{ holderPid: Number(holderPid), asked: Number(asked) },
    };
  }

  /** 64 bytes that the process that was running before gets of its kernel, in hex. */
  async heldRandom(): Promise<string> {
    return (await this.sh("echo random > /run/ask; cat /run/answer")).trim();
  }
}

/** What the state must be when the process is asked next, and nothing else has happened. */
export function askedAgain(state: GuestState): GuestState {
  return { ...state, asked: state.asked + 1 };
}
