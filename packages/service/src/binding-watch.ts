/**
 * Follows one binding: tells its listener when it appears, changes, disappears or cannot be used.
 *
 * It reads instead of watching: a mounted Secret changes by a renamed link, which file watchers miss on some file
 * systems, and the folder is a dozen small files. A change counts only when two reads in a row agree, since an
 * operator may write key after key.
 */
import { readBinding, readPublisherBinding } from './binding.ts';
import type { Binding, PublisherBinding } from './binding.ts';

/** What is known of a binding. */
export type BindingState<B = Binding> =
  | { readonly kind: 'bound'; readonly binding: B }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unusable'; readonly reason: string };

/** Owns the timer. */
export interface BindingWatch {
  stop(): void;
}

/** Starts at once; `onState` is called for every change of the state. */
export function watchBinding(
  root: string,
  subscription: string,
  pollMs: number,
  onState: (state: BindingState) => void,
): BindingWatch {
  return watch(() => readBinding(root, subscription), pollMs, onState);
}

/** The same of a service that only publishes. */
export function watchPublisherBinding(
  root: string,
  name: string,
  pollMs: number,
  onState: (state: BindingState<PublisherBinding>) => void,
): BindingWatch {
  return watch(() => readPublisherBinding(root, name), pollMs, onState);
}

function watch<B extends { fingerprint: string }>(
  read: () => Promise<B | undefined>,
  pollMs: number,
  onState: (state: BindingState<B>) => void,
): BindingWatch {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let told: string | undefined;
  let seen: string | undefined;

  const look = async (): Promise<void> => {
    const state = await readState(read);
    if (stopped) return;
    const key = keyOf(state);
    const settled = key === seen;
    seen = key;
    if (settled && key !== told) {
      told = key;
      onState(state);
    }
    // The second look at something new comes soon.
    timer = setTimeout(() => void look(), key === told ? pollMs : Math.min(pollMs, 50));
  };
  void look();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

async function readState<B>(read: () => Promise<B | undefined>): Promise<BindingState<B>> {
  try {
    const binding = await read();
    return binding === undefined ? { kind: 'missing' } : { kind: 'bound', binding };
  } catch (error) {
    return { kind: 'unusable', reason: error instanceof Error ? error.message : String(error) };
  }
}

function keyOf(state: BindingState<{ fingerprint: string }>): string {
  switch (state.kind) {
    case 'bound':
      return `bound ${state.binding.fingerprint}`;
    case 'missing':
      return 'missing';
    case 'unusable':
      return `unusable ${state.reason}`;
  }
}
