import { open } from "node:fs/promises";
import { errnoOf, type Finding } from "@wrenn/contracts";

/**
 * Whether a capsule's network card can be made: the device opens only where the kernel has the driver.
 * https://docs.kernel.org/networking/tuntap.html
 */
export async function checkTun(device = "/dev/net/tun"): Promise<Finding> {
  const name = "TUN";
  try {
    await using file = await open(device, "r+");
    const isDevice = (await file.stat()).isCharacterDevice();
    if (isDevice) return { name, status: "ok", detail: device };
    return { name, status: "failing", detail: `${device} is not a device`, cure: cureOf(device) };
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EACCES" || errno === "EPERM") {
      const detail = `${device} may not be opened by this user or in this container`;
      return { name, status: "failing", detail, cure: "run as root, or pass the device into the container" };
    }
    // The node may exist without the driver: then opening it says ENODEV or ENXIO.
    const detail = errno === "ENOENT" ? `there is no ${device}` : `${device} does not open (${errno})`;
    return { name, status: "failing", detail, cure: cureOf(device) };
  }
}

function cureOf(device: string): string {
  return `modprobe tun; if ${device} is still not there: mknod -m 666 ${device} c 10 200`;
}
