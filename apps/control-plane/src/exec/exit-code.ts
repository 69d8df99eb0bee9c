const firstSignalCode = 128;

/** Exit code as a shell gives it (POSIX.1-2017, XCU 2.8.2): the process's own, or 128 and the number of the signal. */
export function shellExitCode(ended: { exitCode: number; signal: number }): number {
  return ended.signal === 0 ? ended.exitCode : firstSignalCode + ended.signal;
}
