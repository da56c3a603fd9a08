/** What is going on, for people: one plain line a step, with the time since the start. */
import { isatty } from 'node:tty';
import pc from 'picocolors';

export type Report = (part: string, message: string) => void;

/** Prints `  12.3s  rabbitmq    message` to a stream, stderr by default. */
export function printer(out: NodeJS.WriteStream & { fd: number } = process.stderr): Report {
  const paint = pc.createColors(pc.isColorSupported && isatty(out.fd));
  const started = performance.now();
  return (part, message) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6);
    out.write(`${paint.dim(`${seconds}s`)}  ${paint.bold(part.padEnd(11))} ${message}\n`);
  };
}

export const silent: Report = () => {};
