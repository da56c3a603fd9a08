/**
 * Text that came from elsewhere, for a terminal or a log: what could move the cursor, change the title, hide or reorder what
 * stands around it is shown and not sent.
 */

/**
 * Control characters (but for the first 32, which JSON escapes itself), line separators, marks of direction, and characters
 * without a width.
 */
const HIDDEN =
  '\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb';
const IN_JSON = new RegExp(`[${HIDDEN}]`, 'g');
const IN_TEXT = new RegExp(`[\\u0000-\\u001f${HIDDEN}]`, 'g');

/** `a\u{1b}[31m` instead of a colour. */
export function safeText(text: string): string {
  return text.replaceAll(IN_TEXT, (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`);
}

/** JSON of the same value in which these characters are escaped, whatever reads it. */
export function safeJson(value: unknown, space?: number): string {
  return JSON.stringify(value, undefined, space).replaceAll(
    IN_JSON,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
