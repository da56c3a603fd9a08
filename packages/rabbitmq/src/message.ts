/** What travels: the shapes that the publisher takes and the consumer gives. */
export interface MessageProperties {
  messageId?: string | undefined;
  type?: string | undefined;
  contentType?: string | undefined;
  contentEncoding?: string | undefined;
  correlationId?: string | undefined;
  replyTo?: string | undefined;
  appId?: string | undefined;
  /** Seconds since 1970. */
  timestamp?: number | undefined;
  priority?: number | undefined;
  /** Milliseconds, as a string: AMQP's per-message time to live. */
  expiration?: string | undefined;
  headers?: Readonly<Record<string, unknown>> | undefined;
}

export interface OutgoingMessage {
  /** Instead of the publisher's own exchange; '' is the default exchange (routing key = queue). */
  exchange?: string;
  routingKey: string;
  content: Buffer;
  properties?: MessageProperties;
}

/** One message as the handler gets it. */
export interface Delivery {
  content: Buffer;
  properties: MessageProperties;
  /** The key it was first published with, also after retries and redrives. */
  routingKey: string;
  /** The exchange it was first published to, also after retries and redrives. */
  exchange: string;
  queue: string;
  /** From 1; a crash of a consumer counts as an attempt where the broker counts it. */
  attempt: number;
  redelivered: boolean;
}

/** Headers of Warren's own, on retried and dead-lettered messages. */
export const headerNames = {
  /** Tells outstanding publishes without a message id apart when one is returned; of no meaning to consumers. */
  publishId: 'warren-publish-id',
  /** Ladder retries: the attempt that this delivery is. */
  attempt: 'warren-attempt',
  originalRoutingKey: 'warren-original-routing-key',
  originalExchange: 'warren-original-exchange',
  failureReason: 'warren-failure-reason',
  failureCode: 'warren-failure-code',
  failureAttempts: 'warren-failure-attempts',
  failureSubscription: 'warren-failure-subscription',
  failedAt: 'warren-failed-at',
  /** How many headers had to be left out because AMQP could not carry them. */
  headersDropped: 'warren-headers-dropped',
} as const;
