/** Bindings, which have no names: two are the same where everything about them is. */
import { isSameValue } from './canonical.ts';
import type { Binding } from './objects.ts';

/** Without what the broker adds, such as the key by which it names a binding. */
export function plain({
  source,
  destination,
  destinationType,
  routingKey,
  arguments: args,
}: Binding): Binding {
  return { source, destination, destinationType, routingKey, arguments: args };
}

export function isSameBinding(a: Binding, b: Binding): boolean {
  return (
    a.routingKey === b.routingKey &&
    a.source === b.source &&
    a.destination === b.destination &&
    a.destinationType === b.destinationType &&
    isSameValue(a.arguments, b.arguments)
  );
}
