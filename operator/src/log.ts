/**
 * The operator's log: lines of JSON for machines, short lines for a person at a terminal. Never a secret: what may hold one
 * (a URL, a Secret, a binding) is not given to it.
 */
import { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Logger } from 'pino';

const LEVELS: Record<number, string> = { 20: 'debug', 30: 'info', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' };

export interface LogOptions {
  level?: string;
  /** Readable lines instead of JSON. */
  pretty?: boolean;
  out?: NodeJS.WritableStream;
}

export function createLog({ level = 'info', pretty = false, out = process.stdout }: LogOptions = {}): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!pretty) return pino(options, out);
  return pino({ ...options, formatters: {} }, readableLines(out));
}

function readableLines(out: NodeJS.WritableStream): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      out.write(`${readableLine(chunk.toString())}\n`);
      done();
    },
  });
}

/** `16:20:01 info  declared queue shop.loyalty  subscription=shop/loyalty` */
export function readableLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown> & {
    level: number;
    time: string;
    msg?: string;
  };
  const rest = Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
  const head = `${time.slice(11, 19)} ${(LEVELS[level] ?? String(level)).padEnd(5)} ${msg ?? ''}`;
  return rest === '' ? head : `${head}  ${rest}`;
}
