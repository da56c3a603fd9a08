/** The writes that lead from what is found to what is wanted. Each may be made twice. */
import type { Binding, Exchange, Policy, Queue } from './objects.ts';

export type PolicyStep = { step: 'putPolicy'; policy: Policy } | { step: 'deletePolicy'; policy: string };

export type ObjectStep =
  | { step: 'declareExchange'; exchange: Exchange }
  /** With every binding of it. */
  | { step: 'deleteExchange'; exchange: string }
  | { step: 'declareQueue'; queue: Queue }
  | { step: 'bind'; binding: Binding }
  | { step: 'unbind'; binding: Binding }
  /** `onlyIfEmpty`: look again just before, and leave it when it holds a message (the broker has no such check). */
  | { step: 'deleteQueue'; queue: string; onlyIfEmpty: boolean };

export type Step = PolicyStep | ObjectStep;

/** For metrics: what is done to what. */
export function labelsOf({ step }: Step): { action: string; kind: string } {
  switch (step) {
    case 'declareExchange':
      return { action: 'declare', kind: 'exchange' };
    case 'deleteExchange':
      return { action: 'delete', kind: 'exchange' };
    case 'declareQueue':
      return { action: 'declare', kind: 'queue' };
    case 'bind':
      return { action: 'bind', kind: 'binding' };
    case 'unbind':
      return { action: 'unbind', kind: 'binding' };
    case 'deleteQueue':
      return { action: 'delete', kind: 'queue' };
    case 'putPolicy':
      return { action: 'put', kind: 'policy' };
    case 'deletePolicy':
      return { action: 'delete', kind: 'policy' };
  }
}

/** What a step does, as a person would say it: for events and logs. */
export function describeStep(step: Step): string {
  switch (step.step) {
    case 'declareExchange':
      return `declare exchange ${step.exchange.name}`;
    case 'deleteExchange':
      return `delete exchange ${step.exchange}`;
    case 'declareQueue':
      return `declare queue ${step.queue.name}`;
    case 'bind':
      return `bind ${step.binding.destination} to ${step.binding.source} by ${step.binding.routingKey}`;
    case 'unbind':
      return `unbind ${step.binding.destination} from ${step.binding.source} by ${step.binding.routingKey}`;
    case 'deleteQueue':
      return `delete queue ${step.queue}${step.onlyIfEmpty ? ' if it is empty' : ''}`;
    case 'putPolicy':
      return `put policy ${step.policy.name}`;
    case 'deletePolicy':
      return `delete policy ${step.policy}`;
  }
}

/** What is other than it should be, where a step would put it right: for a status that reports drift. */
export function describeDifference(step: Step): string {
  switch (step.step) {
    case 'declareExchange':
      return `exchange ${step.exchange.name} is missing`;
    case 'deleteExchange':
      return `exchange ${step.exchange} is not needed`;
    case 'declareQueue':
      return `queue ${step.queue.name} is missing`;
    case 'bind':
      return `${step.binding.destination} is not bound to ${step.binding.source} by ${step.binding.routingKey}`;
    case 'unbind':
      return `${step.binding.destination} is bound to ${step.binding.source} by ${step.binding.routingKey}`;
    case 'deleteQueue':
      return `queue ${step.queue} is not needed`;
    case 'putPolicy':
      return `policy ${step.policy.name} is not as it should be`;
    case 'deletePolicy':
      return `policy ${step.policy} is not needed`;
  }
}
