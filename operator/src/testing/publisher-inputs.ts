/** For tests: EventPublishers with mistakes; see inputs.ts. */
import type { BadInput } from './inputs.ts';

function publisher(it: string, name: string, spec: string, line: number, sentence: string): BadInput {
  const yaml = `apiVersion: warren.events/v1alpha1
kind: EventPublisher
metadata: { name: ${name}, namespace: default }
spec:
  ${spec}
`;
  return { it, yaml, says: [{ line, sentence }] };
}

export const publisherInputs = (notAnEvent: string): BadInput[] => [
  publisher('an unknown field of a publisher', 'probe', 'topics: [x.y]', 5, 'unknown field "spec.topics"'),
  publisher(
    'an event of a publisher that is none',
    'probe',
    'events: [Order, order.*]',
    5,
    `spec.events[0]: Invalid value: "Order": ${notAnEvent}`,
  ),
  publisher(
    'an event of a publisher twice',
    'probe',
    'events: [OrderPlaced, OrderPlaced]',
    5,
    'spec.events: Invalid value: an event is named twice: name each of them once',
  ),
  publisher(
    'an event of a publisher with many #',
    'probe',
    "events: ['#.a.#', '#.a.#.b.#']",
    5,
    'spec.events[1]: Invalid value: "#.a.#.b.#": the broker compares every event with it, and that takes too long: ' +
      'write # at most twice, such as #.order.#',
  ),
  publisher(
    'a publisher that publishes nothing',
    'probe',
    'events: []',
    5,
    'spec.events: Invalid value: 0: spec.events in body should have at least 1 items',
  ),
  publisher(
    'a dot in a publisher’s name',
    'a.b',
    'events: [OrderPlaced]',
    3,
    'metadata.name: Invalid value: a name has no dots, because its user is called publisher.namespace.name: write a hyphen instead',
  ),
];
