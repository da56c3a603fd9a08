/** What a broker can do, by its version. */

export interface BrokerCapabilities {
  /** Quorum queues retry with a delay of their own, and it can be set by policy: RabbitMQ 4.3.1 (ADR 0008). */
  delayedRetry: boolean;
  /** Quorum queues have a delivery limit of 20 where none is set, and -1 lifts it: RabbitMQ 4.0. */
  deliveryLimitByDefault: boolean;
}

/** @param version such as "4.3.6" or "4.3.0-rc.1". Of a version that cannot be read only the least is expected. */
export function capabilitiesOf(version: string): BrokerCapabilities {
  return {
    delayedRetry: isAtLeast(version, [4, 3, 1]),
    deliveryLimitByDefault: isAtLeast(version, [4, 0, 0]),
  };
}

function isAtLeast(version: string, wanted: readonly [number, number, number]): boolean {
  const [, major, minor, patch, suffix = ''] = /^(\d+)\.(\d+)(?:\.(\d+))?(.*)$/.exec(version.trim()) ?? [];
  if (major === undefined || minor === undefined) return false;
  const numbers = [Number(major), Number(minor), Number(patch ?? 0)];
  for (const [index, number] of numbers.entries()) {
    const least = wanted[index] ?? 0;
    if (number !== least) return number > least;
  }
  // A release candidate comes before its release.
  return !/^[-.~]?(?:alpha|beta|rc|milestone)/i.test(suffix);
}
