/** What a consumer needs to know of its subscription; made by `consumerSettings()` of @warren/topology. */
export interface ConsumerSettings {
  /** `namespace/name`, for headers and observers. */
  subscription: string;
  queue: string;
  prefetch: number;
  /** How often a message is tried in all before it becomes a dead letter. */
  attempts: number;
  deadLetter: { exchange: string; routingKey: string };
  /** `waits[n - 1]` holds a message after its n-th failure; the last one holds all later failures too. */
  retry: { mode: 'broker' } | { mode: 'ladder'; waits: { queue: string; delayMs: number }[] };
  /** One message at a time, in order. */
  strict: boolean;
}
