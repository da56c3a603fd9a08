/**
 * For tests: a process that is killed. It is forked with a database URL and a scene, tells its parent over IPC where it
 * is, and waits there for ever; or, in the scene `busy`, never stops working.
 */
import { createInbox } from '../inbox.ts';
import { createRelay } from '../relay.ts';
import { orders } from './projections.ts';
import { cause, openStore, placed } from './test-store.ts';

export type Scene = 'appended' | 'published' | 'claimed' | 'rebuilding' | 'busy';

/** What the worker tells: where it is, or which event it has published. */
export type Report = { readonly at: Scene; readonly key?: string } | { readonly published: string };

const [, , url, scene] = process.argv as [string, string, string, Scene];
const never = new Promise<never>(() => undefined);
const tell = (report: Report): Promise<void> =>
  new Promise((resolve, reject) => {
    process.send?.(report, (error: Error | null) => {
      if (error) reject(error);
      else resolve();
    });
  });
setInterval(() => undefined, 1000); // lives until it is killed

const { store, connection } = await openStore(url, { projections: [orders] });
const publish = ({ id }: { id: string }): Promise<void> => tell({ published: id });

switch (scene) {
  case 'appended':
    await store.append('o', 0, [placed('o'), placed('o')], cause);
    await tell({ at: scene });
    break;

  case 'published': {
    const mark = async (): Promise<void> => {
      await tell({ at: scene });
      await never;
    };
    createRelay({ store: { ...store, outbox: { ...store.outbox, mark } }, publish }).start();
    await store.append('o', 0, [placed('o'), placed('o')], cause);
    break;
  }

  case 'claimed':
    await createInbox({ connection }).once(
      'h',
      'm',
      async (key) => {
        await tell({ at: scene, key });
        await never;
      },
      { leaseMs: 1500 },
    );
    break;

  case 'rebuilding':
    await store.rebuildProjections({
      pageSize: 5,
      onProgress: ({ done }) => {
        if (done < 10) return;
        void tell({ at: scene });
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      },
    });
    break;

  case 'busy':
    createRelay({ store, publish, graceMs: 0 }).start();
    for (let n = 0; ; n++) {
      const order = `o${n % 5}`;
      const { length } = await store.read(order);
      await store.append(order, length, [placed(order), placed(order)], cause);
    }
}
