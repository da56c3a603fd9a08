/**
 * Every error of this package, each with a stable `code`.
 *
 * | code | class | means |
 * |---|---|---|
 * | `WARREN_CATALOGUE_INVALID` | CatalogueError | the catalogue itself is wrong: thrown when it is made, never later |
 * | `WARREN_CONTRACT_VIOLATION` | ContractError | an event's data is not what its schema says |
 * | `WARREN_UNKNOWN_EVENT` | ContractError | no such type, or no such version of it, in this catalogue |
 * | `WARREN_MALFORMED_EVENT` | MalformedEventError | a message that is no CloudEvent |
 *
 * What a message can cause is `permanent`: delivering the same message again cannot help, so a consumer
 * sets it aside at once.
 */

/** One thing that is wrong in an event's data: where (`lines[0].quantity`) and what. */
export interface ContractIssue {
  readonly field: string;
  readonly message: string;
}

export type ContractErrorCode = 'WARREN_CONTRACT_VIOLATION' | 'WARREN_UNKNOWN_EVENT';

/** An event that does not keep its contract; `issues` names the fields (empty for an unknown event). */
export class ContractError extends Error {
  override readonly name = 'ContractError';
  readonly code: ContractErrorCode;
  readonly issues: readonly ContractIssue[];
  readonly permanent = true;

  constructor(code: ContractErrorCode, message: string, issues: readonly ContractIssue[] = []) {
    super(message);
    this.code = code;
    this.issues = issues;
  }
}

/** A message that cannot be read as an event; its `message` is a sentence that says what is missing. */
export class MalformedEventError extends Error {
  override readonly name = 'MalformedEventError';
  readonly code = 'WARREN_MALFORMED_EVENT';
  readonly permanent = true;
}

/** A mistake in a catalogue, found when it is made: a gap in versions, an upcaster that is missing or wrong. */
export class CatalogueError extends Error {
  override readonly name = 'CatalogueError';
  readonly code = 'WARREN_CATALOGUE_INVALID';
}
