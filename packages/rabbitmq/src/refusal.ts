/** Why the broker closed a channel on which something was published, as far as it says so. Pure. */

export interface Refusal {
  exchange: string;
  /** Only messages with this one are refused; all of the exchange where it is not there. */
  routingKey?: string;
}

/**
 * What a user may not do, out of the reason of a channel's end. The message that was refused got no answer of its own, so it is
 * told from its neighbours by what the broker says:
 *
 *   ACCESS_REFUSED - write access to topic 'order.placed' in exchange 'events' in vhost 'shop' refused for user 'one'
 *   ACCESS_REFUSED - write access to exchange 'events' in vhost 'shop' refused for user 'one'
 */
export function refusalIn(reason: Error): Refusal | undefined {
  if ((reason as { code?: unknown }).code !== 403) return undefined;
  const [, topic, exchange] =
    /access to (?:topic '([^']*)' in )?exchange '([^']*)' in vhost /.exec(reason.message) ?? [];
  if (exchange === undefined) return undefined;
  return { exchange, ...(topic === undefined ? {} : { routingKey: topic }) };
}
