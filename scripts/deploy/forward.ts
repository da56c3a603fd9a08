/** `kubectl port-forward` to the services of a namespace, on free ports of this machine. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Forwards<Name extends string> extends AsyncDisposable {
  readonly urls: Readonly<Record<Name, string>>;
}

/** Rejects with kubectl's words when one cannot be reached. */
export async function forward<Name extends string>(
  kubectl: string,
  namespace: string,
  names: readonly Name[],
): Promise<Forwards<Name>> {
  const children: ChildProcess[] = [];
  const end = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  process.once('exit', end);
  const dispose = () => {
    process.off('exit', end);
    end();
    return Promise.resolve();
  };
  try {
    const urls = await Promise.all(
      names.map((name) => {
        const args = ['port-forward', '--namespace', namespace, `service/${name}`, ':80'];
        const child = spawn(kubectl, args, { stdio: ['ignore', 'pipe', 'pipe'] });
        children.push(child);
        return address(name, child);
      }),
    );
    return {
      urls: Object.fromEntries(names.map((name, index) => [name, urls[index]])) as Record<Name, string>,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function address(name: string, child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => {
        const [, port] = /^Forwarding from 127\.0\.0\.1:(\d+) /.exec(line) ?? [];
        if (port !== undefined) resolve(`http://127.0.0.1:${port}`);
      });
    child.once('error', reject);
    child.once('close', () => reject(new Error(`${name} cannot be reached: ${said.trim()}`)));
  });
}
