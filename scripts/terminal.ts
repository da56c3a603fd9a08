/**
 * What the scripts write: steps that show how far they are, and colours where there is a terminal.
 * Into a file or a pipe goes plain text, one line a fact.
 */
import { createColors } from 'picocolors';

export interface Terminal {
  readonly paint: Paint;
  readonly line: (text?: string) => void;
  /** A step under way: `note` says how far it is, `done` and `failed` end it. Steps may overlap. */
  readonly step: (name: string) => Step;
}

export type Paint = ReturnType<typeof createColors>;

export interface Step {
  readonly note: (text: string) => void;
  readonly done: (text: string) => void;
  readonly failed: (text: string) => void;
  /** Ends it without a word, if it has not ended yet. */
  readonly gone: () => void;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const NAME_WIDTH = 14;
const FRAME_MS = 100;

interface ShownStep {
  name: string;
  text: string;
}

/** @param out where to write; colours and moving lines only when it is a terminal */
export function createTerminal(out: NodeJS.WriteStream = process.stdout): Terminal & Disposable {
  const live = out.isTTY && process.env['TERM'] !== 'dumb';
  const paint = createColors(live ? process.env['NO_COLOR'] === undefined : false);
  const open: ShownStep[] = [];
  let drawn = 0;
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;

  const width = () => Math.max(40, out.columns || 100);
  const clear = () => {
    if (drawn > 0) out.write(`\u001b[${drawn}A\u001b[J`);
    drawn = 0;
  };
  const draw = () => {
    if (!live) return;
    clear();
    for (const { name, text } of open) {
      const room = width() - NAME_WIDTH - 6;
      const shown = text.length > room ? `${text.slice(0, room - 1)}…` : text;
      out.write(`  ${paint.cyan(FRAMES[frame] ?? '')} ${name.padEnd(NAME_WIDTH)} ${paint.dim(shown)}\n`);
      drawn += 1;
    }
    if (open.length > 0) timer ??= setInterval(tick, FRAME_MS).unref();
    else stop();
  };
  const tick = () => {
    frame = (frame + 1) % FRAMES.length;
    draw();
  };
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
  };
  const line = (text = '') => {
    clear();
    out.write(`${text}\n`);
    draw();
  };

  return {
    paint,
    line,
    step: (name) => {
      const shown: ShownStep = { name, text: '' };
      open.push(shown);
      draw();
      const gone = () => {
        const index = open.indexOf(shown);
        if (index < 0) return false;
        open.splice(index, 1);
        draw();
        return true;
      };
      const end = (mark: string, text: string) => {
        if (gone()) line(`  ${mark} ${name.padEnd(NAME_WIDTH)} ${text}`);
      };
      return {
        note: (text) => {
          if (text === shown.text) return;
          shown.text = text;
          if (live) draw();
          else if (open.includes(shown)) out.write(`  · ${name.padEnd(NAME_WIDTH)} ${text}\n`);
        },
        done: (text) => end(paint.green('✓'), text),
        failed: (text) => end(paint.red('✗'), text),
        gone,
      };
    },
    [Symbol.dispose]: () => {
      open.length = 0;
      clear();
      stop();
    },
  };
}
