/**
 * The routing key of an event type, from its name alone: `OrderPlaced` -> `order.placed`.
 *
 * The first word is the topic's first word, what follows is joined by hyphens
 * (`UserEmailChanged` -> `user.email-changed`), so that a key always has two words and
 * `user.*` means every event of a user.
 *
 * @throws {RangeError} when the name is not PascalCase with at least two words.
 */
export function routingKeyOf(eventType: string): string {
  if (!isEventTypeName(eventType)) {
    throw new RangeError(
      `"${eventType}" is not an event type: write a PascalCase name of two or more words in the past tense, such as OrderPlaced`,
    );
  }
  const [subject, ...rest] = eventType.match(/[A-Z][a-z0-9]*/g) as [string, ...string[]];
  return `${subject}.${rest.join('-')}`.toLowerCase();
}

/** Whether a name has the form of an event type: PascalCase, two words or more. */
export function isEventTypeName(name: string): boolean {
  return /^(?:[A-Z][a-z0-9]*){2,}$/.test(name) && name.length <= 100;
}
