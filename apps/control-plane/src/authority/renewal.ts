import type { Logger } from "@wrenn/daemon";
import type { Authority } from "./authority.ts";

const lookEveryMs = 3600_000;

/** Remakes our own certificate before it ends, and tells who shows it. */
export function renewRegularly(authority: Authority, logger: Logger, renewed: () => void): Disposable {
  const look = async (): Promise<void> => {
    if (!(await authority.renewOwn())) return;
    renewed();
    logger.info("renewed this control plane's certificate");
  };
  const timer = setInterval(() => {
    look().catch((err: unknown) => logger.error({ err }, "the certificate could not be renewed"));
  }, lookEveryMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
