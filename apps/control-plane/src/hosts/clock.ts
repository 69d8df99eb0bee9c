/** By how much clocks may differ: certificates are backdated by an hour, and times in reports are the host's. */
const allowedMs = 5 * 60_000;

/** What is wrong with a host's clock, in words with both times and the cure. */
export function clockProblem(sentAt: string, now = new Date()): string | undefined {
  const theirs = new Date(sentAt);
  if (Math.abs(theirs.getTime() - now.getTime()) <= allowedMs) return undefined;
  return (
    `the host's clock says ${theirs.toISOString()}, the control plane's ${now.toISOString()}; ` +
    "they may differ by 5 minutes: set both by NTP (timedatectl set-ntp true)"
  );
}
