/**
 * For tests: resources with mistakes, and what is said about each, whether a folder or an API server is asked. One table, so
 * that the two cannot drift apart (ADR 0006).
 */

import { publisherInputs } from './publisher-inputs.ts';

export interface BadInput {
  /** What is wrong with it. */
  it: string;
  /** One document. */
  yaml: string;
  /** In any order. The line is where a person looks for it in the document. */
  says: { line: number; sentence: string }[];
}

type Said = [line: number, sentence: string];

/** The spec begins at line 4, its first field at line 5. */
function subscription(it: string, spec: string, ...says: Said[]): BadInput {
  return named(it, 'probe', spec, ...says);
}

function named(it: string, name: string, spec: string, ...says: Said[]): BadInput {
  const yaml = `apiVersion: warren.events/v1alpha1
kind: EventSubscription
metadata: { name: ${name}, namespace: default }
spec:
${indented(spec)}
`;
  return { it, yaml, says: says.map(([line, sentence]) => ({ line, sentence })) };
}

function broker(it: string, spec: string, ...says: Said[]): BadInput {
  const yaml = `apiVersion: warren.events/v1alpha1
kind: EventBroker
metadata: { name: probe }
spec:
${indented(spec)}
`;
  return { it, yaml, says: says.map(([line, sentence]) => ({ line, sentence })) };
}

function indented(lines: string): string {
  return lines.replaceAll(/^/gm, '  ');
}

/** A spec that is right, but for what follows it. */
const right = 'events: [OrderPlaced]';
const notAnEvent =
  'neither an event type nor a routing pattern: write a PascalCase name of two or more words such as OrderPlaced, ' +
  'or words with dots between them such as order.* (# alone is everything)';
const notAWait =
  'not a duration: write a whole number from 1 to 999999 with ms, s, m or h, such as 500ms or 5m';
const notAnAge =
  'not a duration: write a whole number from 1 to 999999 with ms, s, m, h or d, such as 12h or 14d';
const initial = 'spec.delivery.retry.backoff.initial';
const backoff = (what: string) => `${right}\ndelivery: { retry: { backoff: { ${what} } } }`;

export const badInputs: BadInput[] = [
  ...publisherInputs(notAnEvent),
  subscription('an unknown field', `${right}\nprefetch: 5`, [6, 'unknown field "spec.prefetch"']),
  subscription(
    'unknown fields in depth',
    `${right}\ndelivery:\n  retry:\n    attempt: 3\n  deadletter: {}`,
    [8, 'unknown field "spec.delivery.retry.attempt"'],
    [9, 'unknown field "spec.delivery.deadletter"'],
  ),
  subscription('no events', 'driftPolicy: Repair', [4, 'spec.events: Required value']),
  subscription('an empty list of events', 'events: []', [
    5,
    'spec.events: Invalid value: 0: spec.events in body should have at least 1 items',
  ]),
  subscription('a text instead of a list', 'events: OrderPlaced', [
    5,
    'spec.events: Invalid value: "string": spec.events in body must be of type array: "string"',
  ]),
  subscription('an event that is a number', 'events: [OrderPlaced, 5]', [
    5,
    'spec.events[1]: Invalid value: "integer": spec.events[1] in body must be of type string: "integer"',
  ]),
  ...[
    'orderplaced',
    'Order',
    'Order Placed',
    'order..placed',
    'order.',
    '.placed',
    '*',
    'order.Placed',
    '',
  ].map((event) =>
    subscription(
      `the event ${JSON.stringify(event)}`,
      `events:\n  - OrderPlaced\n  - ${JSON.stringify(event)}`,
      [7, `spec.events[1]: Invalid value: ${JSON.stringify(event)}: ${notAnEvent}`],
    ),
  ),
  subscription('an event twice', 'events: [OrderPlaced, order.*, OrderPlaced]', [
    5,
    'spec.events: Invalid value: an event is named twice: name each of them once',
  ]),
  subscription('an event with many #', "events: ['#.a.#', '#.a.#.b.#']", [
    5,
    'spec.events[1]: Invalid value: "#.a.#.b.#": RabbitMQ binds no pattern with more of them: ' +
      'write # at most twice, such as #.order.#',
  ]),
  subscription('an event of 101 letters', `events: [Order${'x'.repeat(95)}P]`, [
    5,
    'spec.events[0]: Too long: may not be more than 100 bytes',
  ]),
  subscription(
    'a hundred and one events',
    `events: [${Array.from({ length: 101 }, (_, index) => `a.b${index}`).join(', ')}]`,
    [5, 'spec.events: Too many: 101: must have at most 100 items'],
  ),
  ...[-1, 0].map((prefetch) =>
    subscription(`a prefetch of ${prefetch}`, `${right}\ndelivery: { prefetch: ${prefetch} }`, [
      6,
      `spec.delivery.prefetch: Invalid value: ${prefetch}: spec.delivery.prefetch in body should be greater than or equal to 1`,
    ]),
  ),
  subscription('a prefetch that no quorum queue takes', `${right}\ndelivery: { prefetch: 2001 }`, [
    6,
    'spec.delivery.prefetch: Invalid value: 2001: spec.delivery.prefetch in body should be less than or equal to 2000',
  ]),
  subscription('a prefetch in words', `${right}\ndelivery:\n  prefetch: many`, [
    7,
    'spec.delivery.prefetch: Invalid value: "string": spec.delivery.prefetch in body must be of type integer: "string"',
  ]),
  subscription('half an attempt', `${right}\ndelivery: { retry: { attempts: 1.5 } }`, [
    6,
    'spec.delivery.retry.attempts: Invalid value: "number": spec.delivery.retry.attempts in body must be of type integer: "number"',
  ]),
  subscription('no attempt', `${right}\ndelivery: { retry: { attempts: 0 } }`, [
    6,
    'spec.delivery.retry.attempts: Invalid value: 0: spec.delivery.retry.attempts in body should be greater than or equal to 1',
  ]),
  subscription('too many attempts', `${right}\ndelivery: { retry: { attempts: 31 } }`, [
    6,
    'spec.delivery.retry.attempts: Invalid value: 31: spec.delivery.retry.attempts in body should be less than or equal to 30',
  ]),
  ...['1week', '1.5s', '-1s', '0s', '1d', '10', ' 1s', ''].map((wait) =>
    subscription(`the wait ${JSON.stringify(wait)}`, backoff(`initial: ${JSON.stringify(wait)}`), [
      6,
      `${initial}: Invalid value: ${JSON.stringify(wait)}: ${notAWait}`,
    ]),
  ),
  subscription('a wait without a unit', backoff('initial: 10'), [
    6,
    `${initial}: Invalid value: "integer": ${initial} in body must be of type string: "integer"`,
  ]),
  subscription('a first wait longer than the longest', backoff('initial: 2m, max: 90s'), [
    6,
    'spec.delivery.retry.backoff.max: Invalid value: the first wait is longer than the longest: write a max that is at least as long as initial',
  ]),
  subscription('a first wait longer than the default of the longest', backoff('initial: 2m'), [
    6,
    'spec.delivery.retry.backoff.max: Invalid value: the first wait is longer than the longest: write a max that is at least as long as initial',
  ]),
  subscription('a wait of more than a day', backoff('max: 25h'), [
    6,
    'spec.delivery.retry.backoff.max: Invalid value: "25h": too long: write at most 24h',
  ]),
  ...['14 days', '14D', '2w'].map((age) =>
    subscription(`the age ${JSON.stringify(age)}`, `${right}\ndelivery: { deadLetter: { maxAge: ${age} } }`, [
      6,
      `spec.delivery.deadLetter.maxAge: Invalid value: ${JSON.stringify(age)}: ${notAnAge}`,
    ]),
  ),
  ...['50d', '1177h'].map((age) =>
    subscription(`dead letters kept for ${age}`, `${right}\ndelivery: { deadLetter: { maxAge: ${age} } }`, [
      6,
      `spec.delivery.deadLetter.maxAge: Invalid value: "${age}": too long: RabbitMQ keeps a message for at most 49d`,
    ]),
  ),
  subscription('partitions without keys', `${right}\ndelivery: { ordering: Strict, partitions: 4 }`, [
    6,
    'spec.delivery.partitions: Invalid value: partitions are of ordering PerKey: leave partitions out, or write ordering: PerKey',
  ]),
  subscription(
    'more partitions than there may be',
    `${right}\ndelivery: { ordering: PerKey, partitions: 65 }`,
    [
      6,
      'spec.delivery.partitions: Invalid value: 65: spec.delivery.partitions in body should be less than or equal to 64',
    ],
  ),
  subscription('an ordering that there is not', `${right}\ndelivery: { ordering: Sloppy }`, [
    6,
    'spec.delivery.ordering: Unsupported value: "Sloppy": supported values: "None", "PerKey", "Strict"',
  ]),
  subscription('a queue of a type that there is not', `${right}\nqueue: { type: lazy }`, [
    6,
    'spec.queue.type: Unsupported value: "lazy": supported values: "quorum", "classic", "stream"',
  ]),
  subscription('a stream for ever', `${right}\ndeletionPolicy: Delete\nqueue: { type: stream }`, [
    7,
    'spec.queue.maxAge: Invalid value: a stream grows until the disk is full: write how long an event is kept, such as maxAge: 7d',
  ]),
  subscription(
    'a stream of a length, of an age in milliseconds',
    `${right}\ndeletionPolicy: Delete\nqueue: { type: stream, maxLength: 5, maxAge: 500ms }`,
    [
      7,
      'spec.queue.maxLength: Invalid value: a stream is kept by age and refuses nothing: write maxAge, or type: quorum',
    ],
    [
      7,
      'spec.queue.maxAge: Invalid value: a stream counts age in whole seconds: write s, m, h or d, such as 12h or 7d',
    ],
  ),
  subscription('a stream to be deleted when it is empty', `${right}\nqueue: { type: stream, maxAge: 7d }`, [
    4,
    'spec.deletionPolicy: Invalid value: a stream is never empty: write Delete, or Retain to leave it when this resource is deleted',
  ]),
  subscription('priorities of a quorum queue', `${right}\nqueue: { maxPriority: 5 }`, [
    6,
    'spec.queue.maxPriority: Invalid value: only a classic queue is told its priorities: leave maxPriority out (a quorum queue knows priorities by itself), or write type: classic',
  ]),
  subscription(
    'priorities and an order',
    `${right}\ndelivery: { ordering: Strict }\nqueue: { type: classic, maxPriority: 5 }`,
    [
      7,
      'spec.queue.maxPriority: Invalid value: priorities change the order that ordering keeps: leave maxPriority out, or write ordering: None',
    ],
  ),
  subscription('a priority above all', `${right}\nqueue: { type: classic, maxPriority: 256 }`, [
    6,
    'spec.queue.maxPriority: Invalid value: 256: spec.queue.maxPriority in body should be less than or equal to 255',
  ]),
  subscription('events that may wait for 50d', `${right}\nqueue: { maxAge: 50d }`, [
    6,
    'spec.queue.maxAge: Invalid value: too long: RabbitMQ lets a message wait for at most 49d',
  ]),
  subscription('events that may wait for a while', `${right}\nqueue: { maxAge: soon }`, [
    6,
    `spec.queue.maxAge: Invalid value: "soon": ${notAnAge}`,
  ]),
  subscription('a queue that takes nothing', `${right}\nqueue: { maxLength: 0 }`, [
    6,
    'spec.queue.maxLength: Invalid value: 0: spec.queue.maxLength in body should be greater than or equal to 1',
  ]),
  subscription('a start in the past', `${right}\nstartFrom: Earliest`, [
    6,
    'spec.startFrom: Invalid value: only a stream holds what was published before: write Now, or leave startFrom out',
  ]),
  subscription(
    'a start in a thirteenth month',
    `${right}\ndeletionPolicy: Delete\nqueue: { type: stream, maxAge: 7d }\nstartFrom: 2026-13-01T10:00:00Z`,
    [
      8,
      'spec.startFrom: Invalid value: "2026-13-01T10:00:00Z": neither Now, Earliest nor a time: write a time such as 2026-11-25T10:00:00Z',
    ],
  ),
  subscription('a scaling of nobody', `${right}\nscaling: {}`, [
    4,
    'spec.consumer: Invalid value: scaling needs to know what to scale: write consumer: { kind: Deployment, name: … } as well',
  ]),
  subscription(
    'more replicas at least than at most',
    `${right}\nconsumer: { name: loyalty }\nscaling: { minReplicas: 3, maxReplicas: 2 }`,
    [
      7,
      'spec.scaling.maxReplicas: Invalid value: fewer replicas at most than at least: write a maxReplicas that is at least minReplicas',
    ],
  ),
  subscription(
    'a negative number of replicas, and an engine that there is not',
    `${right}\nconsumer: { name: loyalty }\nscaling: { minReplicas: -1, engine: Steam }`,
    [
      7,
      'spec.scaling.minReplicas: Invalid value: -1: spec.scaling.minReplicas in body should be greater than or equal to 0',
    ],
    [7, 'spec.scaling.engine: Unsupported value: "Steam": supported values: "Auto", "Keda", "Hpa"'],
  ),
  subscription('a consumer without a name', `${right}\nconsumer: { kind: Deployment }`, [
    6,
    'spec.consumer.name: Required value',
  ]),
  subscription('a consumer that cannot be scaled', `${right}\nconsumer: { kind: Job, name: nightly }`, [
    6,
    'spec.consumer.kind: Unsupported value: "Job": supported values: "Deployment", "StatefulSet"',
  ]),
  subscription('a broker without a name', `${right}\nbrokerRef: { name: '' }`, [
    6,
    'spec.brokerRef.name: Invalid value: "": spec.brokerRef.name in body should be at least 1 chars long',
  ]),
  subscription(
    'policies that there are not',
    `${right}\ndeletionPolicy: Keep\ndriftPolicy: Ignore`,
    [
      6,
      'spec.deletionPolicy: Unsupported value: "Keep": supported values: "Retain", "DeleteWhenEmpty", "Delete"',
    ],
    [7, 'spec.driftPolicy: Unsupported value: "Ignore": supported values: "Repair", "Report"'],
  ),
  subscription(
    'several mistakes at once',
    'events: [Order]\ndelivery:\n  prefetch: 0\n  retry: { attempts: 0 }',
    [5, `spec.events[0]: Invalid value: "Order": ${notAnEvent}`],
    [
      7,
      'spec.delivery.prefetch: Invalid value: 0: spec.delivery.prefetch in body should be greater than or equal to 1',
    ],
    [
      8,
      'spec.delivery.retry.attempts: Invalid value: 0: spec.delivery.retry.attempts in body should be greater than or equal to 1',
    ],
  ),
  named('a name with a dot', 'loyalty.dead', right, [
    3,
    'metadata.name: Invalid value: a name has no dots, because its queue is called namespace.name: write a hyphen instead',
  ]),
  named('a name of 64 letters', 'x'.repeat(64), right, [
    3,
    'metadata.name: Too long: may not be more than 63 bytes',
  ]),
  broker('a broker without a secret', "allowedNamespaces: ['*']", [4, 'spec.secretRef: Required value']),
  broker('a secret without a namespace', 'secretRef: { name: rabbitmq }', [
    5,
    'spec.secretRef.namespace: Required value',
  ]),
  broker('a broker with its password in it', 'secretRef: { namespace: a, name: b }\npassword: x', [
    6,
    'unknown field "spec.password"',
  ]),
  broker('a broker for nobody', 'secretRef: { namespace: a, name: b }\nallowedNamespaces: []', [
    6,
    'spec.allowedNamespaces: Invalid value: 0: spec.allowedNamespaces in body should have at least 1 items',
  ]),
  broker(
    "exchanges with names of RabbitMQ's own or with a space",
    "secretRef: { namespace: a, name: b }\nexchanges: { events: amq.topic, failedEvents: 'a b' }",
    [
      6,
      'spec.exchanges.events: Invalid value: "amq.topic": names that begin with amq. are RabbitMQ\'s own: write another one',
    ],
    [
      6,
      'spec.exchanges.failedEvents: Invalid value: "a b": a name of an exchange has letters, digits, dots, hyphens and underscores: write one such as failed_events',
    ],
  ),
  broker(
    'a broker that may not be asked',
    'secretRef: { namespace: a, name: b }\nrateLimit: { requestsPerSecond: 0 }',
    [
      6,
      'spec.rateLimit.requestsPerSecond: Invalid value: 0: spec.rateLimit.requestsPerSecond in body should be greater than or equal to 1',
    ],
  ),
  broker(
    'one exchange for both',
    'secretRef: { namespace: a, name: b }\nexchanges: { failedEvents: events }',
    [6, 'spec.exchanges: Invalid value: events and failedEvents are two exchanges: write two names'],
  ),
  broker(
    'a pattern of namespaces',
    'secretRef: { namespace: a, name: b }\nallowedNamespaces: [shop, "shop-*"]',
    [
      6,
      'spec.allowedNamespaces[1]: Invalid value: "shop-*": not the name of a namespace: write one such as shop, or * for every namespace',
    ],
  ),
];

/** Specs of EventSubscriptions that both accept, and fill in alike. */
export const goodSpecs: { it: string; spec: string }[] = [
  {
    it: 'the one resource of the design',
    spec: `events: [OrderPlaced, "payment.*"]
consumer: { kind: Deployment, name: loyalty }
brokerRef: { name: default }
delivery:
  prefetch: 50
  ordering: None
  retry: { attempts: 5, backoff: { initial: 1s, max: 1m } }
  deadLetter: { maxAge: 14d }
queue: { maxLength: 1000000 }
startFrom: Now
scaling: { minReplicas: 1, maxReplicas: 10, drainWithin: 30s, engine: Auto }
deletionPolicy: DeleteWhenEmpty
driftPolicy: Repair`,
  },
  { it: 'events only', spec: right },
  { it: 'patterns', spec: `events: ['#', order.placed, '*.placed', order.#, '*.*', a-b.c-2.*]` },
  { it: 'what is null and has a default', spec: `${right}\ndelivery: null\nqueue: { type: null }` },
  {
    it: 'everything at its longest',
    spec: `events: [${Array.from({ length: 100 }, (_, index) => `${'a'.repeat(96)}.b${index}`.slice(-100)).join(', ')}]
delivery:
  prefetch: 2000
  ordering: Strict
  retry: { attempts: 30, backoff: { initial: 24h, max: 1440m } }
  deadLetter: { maxAge: 49d }
queue: { type: quorum, maxLength: 1000000000 }
consumer: { kind: StatefulSet, name: ${'x'.repeat(253)} }
scaling: { minReplicas: 0, maxReplicas: 1000 }
deletionPolicy: Retain
driftPolicy: Report`,
  },
  {
    it: 'a classic queue',
    spec: `${right}\nqueue: { type: classic, maxLength: 1, maxAge: 49d, maxPriority: 255 }`,
  },
  {
    it: 'a stream',
    spec: `${right}\ndeletionPolicy: Retain\nqueue: { type: stream, maxAge: 3650d }\nstartFrom: 2026-11-25T10:00:00.5+01:00`,
  },
  {
    it: 'everything at its least',
    spec: `${right}\ndelivery: { prefetch: 1, retry: { attempts: 1, backoff: { initial: 1ms, max: 1ms } }, deadLetter: { maxAge: 1ms } }`,
  },
];
