import { isIP } from "node:net";
import { httpUrl, isLoopback, type Parse } from "@wrenn/daemon";

/** A control plane's URL: https, or plain http to this machine, since the host token must not cross a network. */
export const controlPlaneUrl: Parse<string> = (text) => {
  const url = httpUrl(text);
  if (url.startsWith("http:") && !isLocalUrl(url)) {
    throw new Error("must be https unless the control plane is on this machine (http://127.0.0.1:8000)");
  }
  return url;
};

/** Whether a URL is of this machine. A name that only begins like an address (127.example.org) is not. */
export function isLocalUrl(url: string): boolean {
  const host = hostOf(url);
  return isLoopback(host) && (host === "localhost" || isIP(host) !== 0);
}

/** Host of a URL, an IPv6 address without its brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, "");
}

export function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  return Number(port) || (protocol === "https:" ? 443 : 80);
}
