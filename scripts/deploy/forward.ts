/**
 * `kubectl port-forward` to the services of a namespace, on free ports of this machine. One forward leads to one pod and ends
 * with it; another is made then, so a service stays reachable through a rollout, on another port.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { endingWithUs } from '@warren/environment';

export interface Forwards<Name extends string> extends AsyncDisposable {
  /** Where the services are now. */
  readonly urls: Readonly<Record<Name, string>>;
}

const PAUSE_MS = 250;

/** The port `http` of each, whatever its number. Rejects with kubectl's words when one cannot be reached at first. */
export async function forward<Name extends string>(
  kubectl: string,
  namespace: string,
  names: readonly Name[],
): Promise<Forwards<Name>> {
  const children = new Map<Name, ChildProcess>();
  const urls: Partial<Record<Name, string>> = {};
  let ending = false;
  const end = () => {
    ending = true;
    for (const child of children.values()) child.kill('SIGKILL');
  };
  const open = async (name: Name): Promise<void> => {
    const command = [kubectl, 'port-forward', '--namespace', namespace, `service/${name}`, ':http'];
    const child = spawn(...endingWithUs(...command), { env: process.env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.set(name, child);
    urls[name] = await address(name, child);
    child.once('close', () => void reopen(name));
  };
  const reopen = async (name: Name): Promise<void> => {
    while (!ending) {
      try {
        await open(name);
        return;
      } catch {
        // No pod is ready yet.
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  };
  process.once('exit', end);
  const dispose = () => {
    process.off('exit', end);
    end();
    return Promise.resolve();
  };
  try {
    await Promise.all(names.map(open));
  } catch (error) {
    await dispose();
    throw error;
  }
  return { urls: urls as Record<Name, string>, [Symbol.asyncDispose]: dispose };
}

function address(name: string, child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      // kubectl does not end when its pod does, it fails every request from then on.
      if (/lost connection|error forwarding port/i.test(said)) child.kill('SIGKILL');
      said = said.slice(-500);
    });
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => {
        const [, port] = /^Forwarding from 127\.0\.0\.1:(\d+) /.exec(line) ?? [];
        if (port !== undefined) resolve(`http://127.0.0.1:${port}`);
      });
    child.once('error', reject);
    child.once('close', () => reject(new Error(`${name} cannot be reached: ${said.trim()}`)));
  });
}
