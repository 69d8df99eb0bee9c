/** What every guest sees, in every slot of every host: a snapshot carries these addresses with it. */
export const guestAddress = "169.254.0.21";
export const guestGateway = "169.254.0.22";
export const guestPrefix = 30;

/** Port of the guest agent in every capsule. */
export const guestAgentPort = 49983;

/** Name of the TAP device in every slot. */
export const tapName = "tap0";

/** Hardware address of every guest: part of the snapshot, so the same everywhere. */
export const guestMac = "52:54:00:12:34:56";

/** Hardware address of the gateway: the guest's neighbour table is part of its snapshot. */
export const gatewayMac = "02:fc:00:00:00:05";

/** Hosts side of the slots: each takes two addresses of 10.11.0.0/16. */
export const slotNetwork = "10.11.0.0/16";
export const maxSlots = 2 ** 15;

/** The two ends of a slot's link; `guest` is translated to the guest's own address inside the namespace. */
export function slotAddresses(index: number): { host: string; guest: string } {
  if (!Number.isInteger(index) || index < 0 || index >= maxSlots) throw new RangeError(`no slot ${index}`);
  const address = (offset: number) => `10.11.${(offset >> 8) & 255}.${offset & 255}`;
  return { host: address(index * 2), guest: address(index * 2 + 1) };
}

/** Ranges that a capsule never reaches: private, shared, link-local, multicast, reserved (RFC 6890). */
export const forbiddenRanges = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
] as const;
