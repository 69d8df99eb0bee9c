import { Signal } from "@wrenn/contracts/process";
import { Followed } from "./followed.ts";
import type { Guest } from "./guest.ts";

/**
 * What the service does with each connection, in Perl, which every guest has; `$c` is the connection, `$SIG{CHLD}` takes
 * care of the processes that serve it.
 */
const behaviours = {
  /** Sends back what it gets, and ends when that ends. */
  echo: "my $b; while (sysread($c, $b, 65536)) { write_all($c, $b) }",
  /** Reads to the end, then says how much that was. */
  count: "my ($n, $b) = (0); while (my $r = sysread($c, $b, 65536)) { $n += $r } write_all($c, qq($n\\n))",
  /** Says something and ends its direction, then reads to the end, and tells by its own output how much that was. */
  endsFirst:
    "my ($n, $b) = (0); write_all($c, qq(bye\\n)); shutdown($c, 1); " +
    "while (my $r = sysread($c, $b, 65536)) { $n += $r } print qq(read $n\\n)",
  /** Never reads. */
  deaf: "sleep 1000",
  /** Takes what comes first and resets the connection. */
  resets: "my $b; sysread($c, $b, 1); setsockopt($c, SOL_SOCKET, SO_LINGER, pack(qq(ii), 1, 0)); close $c",
  /** Tells by its own output how its connection ends. */
  witness:
    "my ($r, $b); do { $r = sysread($c, $b, 65536) } while ($r); print defined $r ? qq(end\\n) : qq(reset\\n)",
} as const;

export type Behaviour = keyof typeof behaviours;

/** A program in the guest that listens on a port; it ends with the stack. */
export interface TcpService {
  readonly port: number;
  /** What it prints. */
  readonly followed: Followed;
}

/** Starts a service that listens on one address of the guest. */
export async function startService(
  stack: AsyncDisposableStack,
  guest: Guest,
  behaviour: Behaviour,
  address = "127.0.0.1",
): Promise<TcpService> {
  const script = `
    use IO::Socket::IP; use Socket qw(:DEFAULT :addrinfo); $| = 1; $SIG{CHLD} = "IGNORE"; $SIG{PIPE} = "IGNORE";
    sub write_all { my ($c, $b) = @_; while (length $b) { my $w = syswrite($c, $b) // return; substr($b, 0, $w, "") } }
    my $l = IO::Socket::IP->new(LocalHost => "${address}", LocalPort => 0, GetAddrInfoFlags => AI_NUMERICHOST, Listen => 256, V6Only => 1) or die $@;
    setsockopt($l, SOL_SOCKET, SO_RCVBUF, pack("i", 16384)) if ${behaviour === "deaf" ? 1 : 0};
    print "port ", $l->sockport, "\\n";
    while (my $c = $l->accept) {
      if (!fork) { close $l; ${behaviours[behaviour]}; exit }
      close $c;
    }`;
  const process = { cmd: "/usr/bin/perl", args: ["-e", script] };
  const followed = new Followed(guest.processes.start({ process, stdin: false }));
  const pid = await followed.pid;
  stack.defer(async () => {
    const process = { selector: { case: "pid" as const, value: pid } };
    await guest.processes.sendSignal({ process, signal: Signal.SIGKILL }).catch(() => {});
    await followed.ended;
  });
  await followed.prints("stdout", "\n");
  return { port: Number(/^port (\d+)$/m.exec(followed.text("stdout"))?.[1]), followed };
}
