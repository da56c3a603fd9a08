/**
 * How a service that subscribes to nothing finds its broker: by the binding of the EventPublisher that has its name. One that
 * subscribes publishes by its first subscription's binding, and looks for no other.
 */
import type { BrokerAccess } from './binding.ts';
import { watchPublisherBinding } from './binding-watch.ts';
import type { BindingWatch } from './binding-watch.ts';
import type { Logger } from './log.ts';

/** Calls `use` with the broker whenever the binding leads to another one, or to it in another way. */
export function followPublisherBinding(options: {
  readonly root: string;
  /** The service's. */
  readonly name: string;
  readonly pollMs: number;
  readonly log: Logger;
  readonly use: (broker: BrokerAccess) => void;
}): BindingWatch {
  const { root, name, pollMs, log, use } = options;
  return watchPublisherBinding(root, name, pollMs, (state) => {
    // Without it, or with a bad one, it goes on with what it had, as long as that holds.
    if (state.kind === 'bound') use(state.binding.broker);
    else if (state.kind === 'missing') log.warn({ binding: name }, 'the binding to publish by is not there');
    else log.warn({ binding: name, reason: state.reason }, 'the binding to publish by cannot be used');
  });
}
