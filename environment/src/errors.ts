/**
 * Every error of this package, by its stable code.
 *
 * | code | means | what to do |
 * |---|---|---|
 * | `WARREN_ENVIRONMENT_DOWN` | nothing runs that could be used | `npm run env:up` |
 * | `WARREN_ENVIRONMENT_UNAVAILABLE` | neither a URL, nor Docker, nor root on Debian: the part cannot be had here | what the message says |
 * | `WARREN_ENVIRONMENT_BUILD` | a command that builds a part failed | read its last lines in the message |
 * | `WARREN_ENVIRONMENT_START` | a part ended, or did not become ready in time | read the end of its log in the message |
 */
export type EnvironmentErrorCode =
  | 'WARREN_ENVIRONMENT_DOWN'
  | 'WARREN_ENVIRONMENT_UNAVAILABLE'
  | 'WARREN_ENVIRONMENT_BUILD'
  | 'WARREN_ENVIRONMENT_START';

export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
  readonly code: EnvironmentErrorCode;

  constructor(code: EnvironmentErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
