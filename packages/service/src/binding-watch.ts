/**
 * Follows one binding: tells its listener when it appears, changes, disappears or cannot be used.
 *
 * It reads instead of watching: a mounted Secret changes by a renamed link, which file watchers miss on some file
 * systems, and the folder is a dozen small files. A change counts only when two reads in a row agree, since an
 * operator may write key after key.
 */
import { readBinding } from './binding.ts';
import type { Binding } from './binding.ts';

/** What is known of a binding. */
export type BindingState =
  | { readonly kind: 'bound'; readonly binding: Binding }
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
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let told: string | undefined;
  let seen: string | undefined;

  const look = async (): Promise<void> => {
    const state = await readState(root, subscription);
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

async function readState(root: string, subscription: string): Promise<BindingState> {
  try {
    const binding = await readBinding(root, subscription);
    return binding === undefined ? { kind: 'missing' } : { kind: 'bound', binding };
  } catch (error) {
    return { kind: 'unusable', reason: error instanceof Error ? error.message : String(error) };
  }
}

function keyOf(state: BindingState): string {
  switch (state.kind) {
    case 'bound':
      return `bound ${state.binding.fingerprint}`;
    case 'missing':
      return 'missing';
    case 'unusable':
      return `unusable ${state.reason}`;
  }
}
